// Whoever asks a ledger is answered or told in bounded time that there is no answer; nothing is asked under two numbers.
import { performance } from 'node:perf_hooks';
import { EnqueueBufferFullError, LedgerUnavailableError, RogerClosedError } from '../job/errors';
import { Frame } from './frame';
import type { Answer } from './ledger-client';
import { LedgerClient } from './ledger-client';
import type { RequestHead } from './ledger-record';
import type { Replies } from './mail';
import type { Operation } from './operation';

const met = (id: string): Operation => ({ op: 'met', partition: 'p', id });

describe('a client of a ledger', () => {
  let now: number;
  let silences: number[];
  let requests: Frame[];
  let client: LedgerClient;
  let trouble: Error | undefined;

  beforeEach(() => {
    jest.useFakeTimers();
    now = 1_000;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
    requests = [];
    silences = [];
    trouble = undefined;
    client = new LedgerClient({
      ...{ nodeId: 'n', ledger: 1, timeoutMs: 5_000, maxBufferedBytes: 10_000 },
      send: (bytes) => requests.push(Frame.read(bytes)),
      trouble: () => trouble,
      onSilence: (times) => silences.push(times),
    });
  });

  afterEach(() => {
    jest.useRealTimers();
    jest.restoreAllMocks();
  });

  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 50) {
      now += 50;
      await jest.advanceTimersByTimeAsync(50);
    }
  }

  const turn = (): Promise<void> => jest.advanceTimersByTimeAsync(1);
  const headOf = (index: number): RequestHead | undefined => requests[index]?.head as RequestHead | undefined;
  const numbersOf = (index: number): number[] => (headOf(index)?.operations ?? []).map(([number]) => number);
  const answer = (...replies: [number, object, number][]): void => {
    client.take(replies as unknown as Replies, (part) => `part ${part}`);
  };

  it('puts what is asked in one turn into one request, in its order', async () => {
    const asked = ['a', 'b', 'c'].map((id) =>
      client.ask('p', (add) => ({ op: 'enqueue', partition: 'p', id, queue: 'q', body: add(`body ${id}`) })),
    );
    await turn();
    expect(requests).toHaveLength(1);
    expect(headOf(0)).toMatchObject({ node: 'n', session: client.session, low: 1 });
    expect(headOf(0)?.operations.map(([number, one]) => [number, (one as { id: string }).id])).toEqual([
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ]);
    expect([0, 1, 2].map((part) => requests[0]?.text(part))).toEqual(['body a', 'body b', 'body c']);
    answer([2, { two: 2 }, 1], [1, {}, 0], [3, {}, 2]);
    const answers = await Promise.all(asked);
    expect(answers[1]?.reply).toEqual({ two: 2 });
    expect(answers[1]?.text(1)).toBe('part 2');
    expect(jest.getTimerCount()).toBe(0);
  });

  it('tells below which number it has all answers', async () => {
    for (const id of ['a', 'b', 'c']) void client.ask('p', () => met(id));
    await turn();
    answer([1, {}, 0], [3, {}, 0]);
    void client.ask('p', () => met('d'));
    await turn();
    expect(headOf(1)?.low).toBe(2);
    answer([2, {}, 0], [4, {}, 0]);
    void client.ask('p', () => met('e'));
    await turn();
    expect(headOf(2)?.low).toBe(5);
    answer([5, {}, 0]);
  });

  it('asks again after a second under the same numbers, until it is answered', async () => {
    const asked = Promise.all([client.ask('p', () => met('a')), client.ask('p', () => met('b'))]);
    await turn();
    answer([1, {}, 0]);
    await pass(900);
    expect(requests).toHaveLength(1);
    await pass(300);
    expect(requests).toHaveLength(2);
    expect(numbersOf(1)).toEqual([2]);
    await pass(1_000);
    expect(numbersOf(2)).toEqual([2]);
    answer([2, { b: true }, 0], [2, { again: true }, 0]);
    expect((await asked).map(({ reply }: Answer) => reply)).toEqual([{}, { b: true }]);
    await pass(2_000);
    expect(requests).toHaveLength(3);
  });

  it('asks all that is unanswered again, in its order, when one is late', async () => {
    const asked = [client.ask('p', () => met('a')), client.ask('p', () => met('b'))];
    await turn();
    await pass(500);
    asked.push(
      client.ask('p', () => met('c')),
      client.ask('p', () => met('d')),
    );
    await turn();
    answer([1, {}, 0]);
    await pass(700);
    expect(requests).toHaveLength(3);
    expect(numbersOf(2)).toEqual([2, 3, 4]);
    expect(headOf(2)?.low).toBe(2);
    await pass(700);
    expect(requests).toHaveLength(3);
    answer([2, {}, 0], [3, {}, 0], [4, {}, 0]);
    await expect(Promise.all(asked)).resolves.toHaveLength(4);
  });

  it('gives an answer more time when a later one has come: what was asked before it was taken, too', async () => {
    const asked = [client.ask('p', () => met('a')), client.ask('p', () => met('b'))];
    await turn();
    answer([2, {}, 0]);
    await pass(3_500);
    expect(requests).toHaveLength(1);
    await pass(1_000);
    expect(numbersOf(1)).toEqual([1]);
    answer([1, {}, 0]);
    await expect(Promise.all(asked)).resolves.toHaveLength(2);
  });

  it('waits for what it has given up no longer, and lets those behind it pass', async () => {
    const lost = client.ask('p', () => met('a'), 0, 1_500).catch((error: unknown) => error);
    const behind = client.ask('p', () => met('b'));
    await turn();
    await pass(1_700);
    expect(await lost).toBeInstanceOf(LedgerUnavailableError);
    expect(numbersOf(1)).toEqual([1, 2]);
    await pass(1_000);
    expect(numbersOf(2)).toEqual([2]);
    expect(headOf(2)?.low).toBe(2);
    answer([2, {}, 0]);
    await behind;
  });

  it('asks again at once when there is a new keeper', async () => {
    void client.ask('p', () => met('a')).catch(() => undefined);
    await turn();
    client.askAllAgain();
    expect(numbersOf(1)).toEqual([1]);
    answer([1, {}, 0]);
    client.askAllAgain();
    expect(requests).toHaveLength(2);
  });

  it('says after its time that the ledger did not answer, why, and that the request may have taken effect', async () => {
    trouble = new Error('not connected');
    const asked = client.ask('p', () => met('a')).catch((error: unknown) => error);
    await pass(5_300);
    const error = await asked;
    expect(error).toBeInstanceOf(LedgerUnavailableError);
    expect(error).toMatchObject({ partition: 'p', maybeEnqueued: true, cause: trouble });
    expect(jest.getTimerCount()).toBe(0);
    answer([1, {}, 0]);
    void client.ask('p', () => met('b'));
    await turn();
    expect(headOf(requests.length - 1)?.low).toBe(2);
    answer([2, {}, 0]);
  });

  it('names the time that the question was given, not the usual one', async () => {
    const asked = client.ask('p', () => met('a'), 0, 500);
    const told = asked.catch((error: unknown) => String(error));
    await pass(1_000);
    expect(await told).toContain('500 ms');
  });

  it('counts how often it has met with silence since the last answer, over all its questions', async () => {
    client.ask('p', () => met('a')).catch(() => undefined);
    await pass(9_000);
    expect(silences).toEqual([]);
    client.ask('p', () => met('b'), 0, 30_000).catch(() => undefined);
    await pass(17_000);
    expect(silences).toEqual([1, 2]);
    answer([2, {}, 0]);
    client.ask('p', () => met('c'), 0, 30_000).catch(() => undefined);
    await pass(9_000);
    expect(silences).toEqual([1, 2, 1]);
    void client.close(0);
  });

  it('takes no more than its buffer holds, and takes again when there is room', async () => {
    const first = client.ask('p', () => met('a'), 9_000);
    await expect(client.ask('p', () => met('b'), 9_000)).rejects.toThrow(EnqueueBufferFullError);
    await turn();
    answer([1, {}, 0]);
    await first;
    const second = client.ask('p', () => met('c'), 9_000);
    await turn();
    answer([2, {}, 0]);
    await expect(second).resolves.toMatchObject({ reply: {} });
  });

  it('splits what is too much for one request, and has only so much under way', async () => {
    client = new LedgerClient({
      ...{ nodeId: 'n', ledger: 1, timeoutMs: 5_000, maxBufferedBytes: 100_000_000 },
      send: (bytes) => requests.push(Frame.read(bytes)),
      trouble: () => undefined,
      onSilence: () => undefined,
    });
    const asked = Array.from({ length: 4_100 }, (_, n) => client.ask('p', () => met(`j${n}`)));
    await turn();
    expect(requests).toHaveLength(8);
    expect(numbersOf(7).at(-1)).toBe(4_000);
    answer(...Array.from({ length: 4_000 }, (_, n): [number, object, number] => [n + 1, {}, 0]));
    await turn();
    expect(numbersOf(8)).toHaveLength(100);
    answer(...Array.from({ length: 100 }, (_, n): [number, object, number] => [n + 4_001, {}, 0]));
    await expect(Promise.all(asked)).resolves.toHaveLength(4_100);
  });

  it('leaves no gap in its numbers for what it gives up before it was sent', async () => {
    client = new LedgerClient({
      ...{ nodeId: 'n', ledger: 1, timeoutMs: 5_000, maxBufferedBytes: 100_000_000 },
      send: (bytes) => requests.push(Frame.read(bytes)),
      trouble: () => undefined,
      onSilence: () => undefined,
    });
    const asked = Array.from({ length: 4_000 }, (_, n) => client.ask('p', () => met(`j${n}`)));
    const unsent = client.ask('p', () => met('unsent'), 0, 200).catch((error: unknown) => error);
    asked.push(client.ask('p', () => met('last')));
    await turn();
    await pass(300);
    expect(await unsent).toMatchObject({ maybeEnqueued: false });
    answer([4_000, {}, 0]);
    await turn();
    expect(headOf(8)).toMatchObject({ low: 1, operations: [[4_001, { id: 'last' }]] });
    answer(...Array.from({ length: 4_001 }, (_, n): [number, object, number] => [n + 1, {}, 0]));
    await expect(Promise.all(asked)).resolves.toHaveLength(4_001);
  });

  it('waits for its answers when it closes, and rejects what has none', async () => {
    const answered = client.ask('p', () => met('a'));
    const unanswered = client.ask('p', () => met('b')).catch((error: unknown) => error);
    await turn();
    const closed = client.close(500);
    await expect(client.ask('p', () => met('c'))).rejects.toThrow(RogerClosedError);
    answer([1, {}, 0]);
    await answered;
    await pass(600);
    await closed;
    expect(await unanswered).toBeInstanceOf(LedgerUnavailableError);
    expect(jest.getTimerCount()).toBe(0);
  });

  it.each([undefined, null, 'text', {}, [null], [1], [[1]], [[1, null, 0]], [['1', {}, 0]], [[99, {}, 0]]])(
    'is not confused by an answer that is none: %j',
    async (replies) => {
      const asked = client.ask('p', () => met('a'));
      await turn();
      client.take(replies as Replies, () => '');
      answer([1, { fine: true }, 0]);
      await expect(asked).resolves.toMatchObject({ reply: { fine: true } });
    },
  );
});
