// A job that is to go out goes out, once under each number, and the log says what hinders it once.
import type { DispatchedJob, DispatchRoute } from '../ledger-transport';
import { DispatchDoubtfulError } from '../ledger-transport';
import { Dispatcher } from './dispatcher';
import { KeyedJob, PartitionState } from './state/partition-state';

function jobOf(dispatch: number, route: DispatchRoute, body = '{"id":"j"}', queue = 'q'): KeyedJob {
  const job = new KeyedJob(new PartitionState('p'), `j${dispatch}`, queue, undefined, 'k', dispatch);
  return Object.assign(job, { dispatch, route, body });
}

const NORMAL: DispatchRoute = { kind: 'normal' };

describe('a dispatcher', () => {
  let sent: DispatchedJob[];
  let answer: (job: DispatchedJob) => Promise<void>;
  let events: string[];
  let warnings: string[];
  let dispatcher: Dispatcher;

  beforeEach(() => {
    jest.useFakeTimers();
    sent = [];
    events = [];
    warnings = [];
    answer = () => Promise.resolve();
    const log = { log: jest.fn(), error: jest.fn(), debug: jest.fn() };
    dispatcher = new Dispatcher({
      transport: {
        dispatch: (job) => {
          sent.push(job);
          return answer(job);
        },
      },
      log: { ...log, warn: (message) => warnings.push(message) },
      stateId: () => 'state-1',
      onDispatched: (dispatch) => events.push(`dispatched ${dispatch}`),
      onDoubtful: (dispatch) => events.push(`doubtful ${dispatch}`),
    });
  });

  afterEach(() => {
    dispatcher.stop();
    jest.useRealTimers();
  });

  const settle = async (ms = 0): Promise<void> => {
    await jest.advanceTimersByTimeAsync(ms);
  };

  it('sends a job with the token by which it is claimed, and says when the broker has it', async () => {
    dispatcher.dispatch(jobOf(7, NORMAL));
    await settle();
    expect(sent).toEqual([
      {
        ...{ partition: 'p', queue: 'q', id: 'j7', route: NORMAL },
        body: Buffer.from('{"id":"j","ledger":{"state":"state-1","dispatch":7}}'),
      },
    ]);
    expect(events).toEqual(['dispatched 7']);
  });

  it('puts the token into the place of an earlier one, and leaves alone what only looks like one', async () => {
    const inArgs = '"args":{"ledger":{"state":"mine","dispatch":1}}';
    const earlier = '"ledger":{"state":"aB_-9","dispatch":12}';
    dispatcher.dispatch(jobOf(7, NORMAL, `{${inArgs},${earlier}}`));
    dispatcher.dispatch(jobOf(8, NORMAL, `{${inArgs}}`));
    await settle();
    expect(sent.map(({ body }) => body.toString())).toEqual([
      `{${inArgs},"ledger":{"state":"state-1","dispatch":7}}`,
      `{${inArgs},"ledger":{"state":"state-1","dispatch":8}}`,
    ]);
  });

  it('buries a job with the bytes that it had', async () => {
    const body = Buffer.from('{"name":"é"}').toString('latin1');
    dispatcher.dispatch(jobOf(1, { kind: 'bury', reason: { type: 'E', message: 'm' } }, body));
    await settle();
    expect(sent[0]?.body.toString()).toBe('{"name":"é"}');
  });

  it('leaves a doubtful job to the ledger, which gives it another number', async () => {
    answer = () => Promise.reject(new DispatchDoubtfulError());
    dispatcher.dispatch(jobOf(3, NORMAL));
    await settle(60_000);
    expect(events).toEqual(['doubtful 3']);
    expect(sent).toHaveLength(1);
    expect(warnings).toEqual([]);
  });

  it('tries on under the same number when it surely has not arrived, more and more slowly', async () => {
    answer = () => Promise.reject(new Error('not connected'));
    dispatcher.dispatch(jobOf(3, NORMAL));
    await settle(700);
    expect(sent).toHaveLength(4);
    await settle(60_000);
    expect(sent.length).toBeLessThan(20);
    answer = () => Promise.resolve();
    await settle(5_000);
    expect(events).toEqual(['dispatched 3']);
    expect(new Set(sent.map(({ body }) => body.toString())).size).toBe(1);
  });

  it('complains once per queue and cause, however many jobs and tries', async () => {
    answer = ({ queue }) => (queue === 'fine' ? Promise.resolve() : Promise.reject(new Error(`no ${queue}`)));
    for (let dispatch = 1; dispatch <= 6; dispatch++) {
      dispatcher.dispatch(jobOf(dispatch, NORMAL, '{}', ['a', 'b', 'fine'][dispatch % 3]));
      await settle(50);
    }
    await settle(10_000);
    expect(warnings).toEqual([
      "A job with a key can't be sent to p/b yet: no b; trying on",
      "A job with a key can't be sent to p/a yet: no a; trying on",
    ]);
    answer = () => Promise.resolve();
    await settle(10_000);
    answer = () => Promise.reject(new Error('no a'));
    dispatcher.dispatch(jobOf(9, NORMAL, '{}', 'a'));
    await settle();
    expect(warnings).toHaveLength(3);
  });

  it.each<[string, DispatchRoute, string, string | undefined]>([
    ['with a priority goes by its lane', NORMAL, '{"priority":7}', 'p7'],
    ['with a priority whose turn has come goes by its lane', { kind: 'express' }, '{"priority":1}', 'p1'],
    ['with a priority comes home to its lane', { kind: 'retry', afterSeconds: 1 }, '{"priority":9}', 'p9'],
    ['with a priority is due on its lane', { kind: 'delay', seconds: 9 }, '{"priority":2}', 'p2'],
    ['to be run now goes before all', { kind: 'express' }, '{"priority":3,"runNow":true}', 'now'],
    [
      'to be run now is retried by its priority',
      { kind: 'retry', afterSeconds: 1 },
      '{"runNow":true}',
      undefined,
    ],
    ['that only speaks of priority has none', NORMAL, '{"args":{"priority":9,"runNow":true}}', undefined],
    ['of a forged priority goes as ever, for a worker to bury it', NORMAL, '{"priority":"99"}', undefined],
    [
      'that is buried has no lane',
      { kind: 'bury', reason: { type: 'E', message: 'm' } },
      '{"priority":7}',
      undefined,
    ],
  ])('a job %s', async (_what, route, body, lane) => {
    dispatcher.dispatch(jobOf(1, route, body));
    await settle();
    expect(sent.map((job) => job.lane)).toEqual([lane]);
  });

  it('says and tries nothing any more when it was stopped', async () => {
    answer = () => Promise.reject(new Error('not connected'));
    dispatcher.dispatch(jobOf(1, NORMAL));
    await settle();
    let arrive: () => void = () => undefined;
    answer = () => new Promise((resolve) => (arrive = resolve));
    dispatcher.dispatch(jobOf(2, NORMAL));
    dispatcher.stop();
    arrive();
    dispatcher.dispatch(jobOf(3, NORMAL));
    await settle(60_000);
    expect(sent).toHaveLength(2);
    expect(events).toEqual([]);
    expect(jest.getTimerCount()).toBe(0);
  });
});
