// A run that should end early is told so, and left behind when it doesn't.
import { DeliveryLostError, JobCancelledError, JobTimeoutError, ShutdownError } from '../job/errors';
import { AbortLadder } from './abort-ladder';

const GRACE_MS = 100;
const LIMIT = { afterMs: 500, error: () => new JobTimeoutError(500, 'test') };
const cancelled = new JobCancelledError('enough');
const lost = new DeliveryLostError('cut');

/** A handler that ends when the test says so, and what became of the run. */
class Climb {
  readonly ladder = new AbortLadder();
  end: (result?: unknown) => void = () => undefined;
  fail: (error: Error) => void = () => undefined;
  outcome: unknown = 'runs';
  readonly late: unknown[] = [];

  constructor(limit?: typeof LIMIT) {
    const handler = new Promise((resolve, reject) => {
      this.end = resolve;
      this.fail = reject;
    });
    if (limit !== undefined) this.ladder.limit(limit);
    this.ladder
      .untilEnd(handler, GRACE_MS, (end) => {
        end.then(
          (result) => this.late.push(result),
          (error: unknown) => this.late.push(error),
        );
      })
      .then(
        (result) => (this.outcome = result),
        (error: unknown) => (this.outcome = error),
      );
  }

  async pass(ms: number): Promise<unknown> {
    await jest.advanceTimersByTimeAsync(ms);
    return this.outcome;
  }
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

test('a handler that ends within its limit leaves no timer behind', async () => {
  const climb = new Climb(LIMIT);
  climb.end('result');
  expect(await climb.pass(0)).toBe('result');
  expect(jest.getTimerCount()).toBe(0);
  expect(climb.ladder.signal.aborted).toBe(false);
});

test('at the limit the signal aborts, and a handler that heeds it ends the run', async () => {
  const climb = new Climb(LIMIT);
  const { signal } = climb.ladder;
  await climb.pass(499);
  expect(signal.aborted).toBe(false);
  await climb.pass(1);
  expect(signal.reason).toBeInstanceOf(JobTimeoutError);
  const error = new Error('stopped');
  climb.fail(error);
  expect(await climb.pass(GRACE_MS)).toBe(error);
  expect(climb.ladder.isLeftBehind).toBe(false);
});

test('a handler that ends well within the grace counts', async () => {
  const climb = new Climb(LIMIT);
  await climb.pass(550);
  climb.end('just in time');
  expect(await climb.pass(GRACE_MS)).toBe('just in time');
});

test.each([
  ['a cancel', cancelled],
  ['a shutdown', new ShutdownError(1)],
])('after %s, a handler that goes on is left behind, and its late end is told', async (_what, reason) => {
  const climb = new Climb();
  climb.ladder.abort(reason);
  expect(await climb.pass(GRACE_MS - 1)).toBe('runs');
  expect(await climb.pass(1)).toBe(reason);
  expect(climb.ladder.isLeftBehind).toBe(true);
  expect(climb.late).toEqual([]);
  climb.fail(new Error('late'));
  await climb.pass(0);
  expect(climb.late).toEqual([new Error('late')]);
  expect(jest.getTimerCount()).toBe(0);
});

test('the first reason counts, and a second one gives no second grace', async () => {
  const climb = new Climb(LIMIT);
  climb.ladder.abort(cancelled);
  await climb.pass(GRACE_MS / 2);
  climb.ladder.abort(new ShutdownError(1));
  expect(await climb.pass(GRACE_MS / 2)).toBe(cancelled);
});

test('a run that was aborted before its handler began has its grace all the same', async () => {
  const ladder = new AbortLadder(cancelled);
  let reason: unknown;
  ladder
    .untilEnd(new Promise(() => undefined), GRACE_MS, () => undefined)
    .catch((error: unknown) => (reason = error));
  await jest.advanceTimersByTimeAsync(GRACE_MS);
  expect(reason).toBe(cancelled);
});

test('a run whose delivery was lost keeps its worker until its time is over', async () => {
  const climb = new Climb(LIMIT);
  climb.ladder.abort(lost);
  expect(await climb.pass(500)).toBe('runs');
  expect(await climb.pass(GRACE_MS)).toBe(lost);
});

test('a delivery that is lost in the grace outweighs the reason of it, and the signal keeps the first', async () => {
  const climb = new Climb();
  climb.ladder.abort(cancelled);
  expect(climb.ladder.signal.reason).toBe(cancelled);
  climb.ladder.abort(lost);
  expect(await climb.pass(GRACE_MS)).toBe(lost);
  expect(climb.ladder.signal.reason).toBe(cancelled);
});
