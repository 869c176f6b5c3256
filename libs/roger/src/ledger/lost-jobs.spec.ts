// Jobs whose message is gone: found when their queue is empty again and again, and no sooner.
import { LedgerState } from './ledger-state';
import { LostJobs } from './lost-jobs';

function stateWithQueued(since: number): LedgerState {
  const state = new LedgerState({ dispatch: () => undefined });
  const context = { at: since, maxWaitingJobs: 10, text: () => '{}', addPart: () => 0 };
  state.apply({ op: 'enqueue', partition: 'acme', id: 'a', queue: 'mail', queueKey: 'k', body: 0 }, context);
  state.apply({ op: 'dispatched', dispatch: 1 }, context);
  return state;
}

function lostJobs(ready: number | undefined, isHeld = true): LostJobs {
  return new LostJobs({
    countReady: () => Promise.resolve(ready),
    heldAmong: (owners) => Promise.resolve(new Set(isHeld ? owners : [])),
  });
}

const MISSING = { op: 'missing', partition: 'acme', id: 'a', dispatch: 1 };

test('a job that should be in a queue that is empty twice is missing, and its key is free', async () => {
  const state = stateWithQueued(0);
  const lost = lostJobs(0);
  expect(await lost.look(state, 50_000)).toEqual([]);
  expect(await lost.look(state, 60_000)).toEqual([MISSING]);
  const context = { at: 60_000, maxWaitingJobs: 10, text: () => '', addPart: () => 0 };
  state.apply({ op: 'missing', partition: 'acme', id: 'a', dispatch: 1 }, context);
  expect(state.apply({ op: 'is queued', partition: 'acme', key: 'k' }, context)).toEqual({});
});

test('so is one whose queue is gone', async () => {
  const lost = lostJobs(undefined);
  const state = stateWithQueued(0);
  await lost.look(state, 50_000);
  expect(await lost.look(state, 60_000)).toEqual([MISSING]);
});

test.each([
  ['that was sent a short while ago', 30_000, 0],
  ['in a queue that holds jobs', 0, 1],
])('a job %s is not', async (_, since, ready) => {
  const lost = lostJobs(ready);
  const state = stateWithQueued(since);
  expect(await lost.look(state, 50_000)).toEqual([]);
  expect(await lost.look(state, 60_000)).toEqual([]);
});

test('a delayed job is none before it is due, and a while after', async () => {
  const state = new LedgerState({ dispatch: () => undefined });
  const context = { at: 0, maxWaitingJobs: 10, text: () => '{}', addPart: () => 0 };
  const job = { partition: 'acme', id: 'a', queue: 'mail', queueKey: 'k', body: 0, runAt: 3_600_000 };
  state.apply({ op: 'enqueue', ...job }, context);
  state.apply({ op: 'dispatched', dispatch: 1 }, context);
  const lost = lostJobs(0);
  await lost.look(state, 3_600_000);
  expect(await lost.look(state, 3_630_000)).toEqual([]);
  await lost.look(state, 3_650_000);
  expect(await lost.look(state, 3_830_000)).toEqual([]);
  await lost.look(state, 3_850_000);
  expect(await lost.look(state, 3_860_000)).toEqual([MISSING]);
});

test('a delayed job may come as much later as nobody kept the ledger, for the broker may have been away', async () => {
  const state = new LedgerState({ dispatch: () => undefined });
  const context = { at: 0, maxWaitingJobs: 10, text: () => '{}', addPart: () => 0 };
  const job = { partition: 'acme', id: 'a', queue: 'mail', queueKey: 'k', body: 0, runAt: 3_600_000 };
  state.apply({ op: 'enqueue', ...job }, context);
  state.apply({ op: 'dispatched', dispatch: 1 }, context);
  state.keptAt = 1_000_000;
  state.wasUnkeptUntil(3_000_000);
  const lost = lostJobs(0);
  await lost.look(state, 5_600_000);
  expect(await lost.look(state, 5_630_000)).toEqual([]);
  await lost.look(state, 5_850_000);
  expect(await lost.look(state, 5_860_000)).toEqual([MISSING]);
});

test('a retry is none as long as its level may hold it up', async () => {
  const state = stateWithQueued(0);
  const context = { at: 0, maxWaitingJobs: 10, text: () => '{}', addPart: () => 0 };
  state.id = 's';
  const of = { partition: 'acme', id: 'a' };
  const holder = { state: 's', dispatch: 1, owner: 'me/1', chain: 1 };
  const { fence } = state.apply({ op: 'claim', ...of, ...holder }, context) as { fence: number };
  const outcome = { kind: 'retry', afterSeconds: 1, body: 0 } as const;
  state.apply({ op: 'settle', ...of, fence, outcome }, context);
  state.apply({ op: 'dispatched', dispatch: 2 }, context);
  const lost = lostJobs(0);
  await lost.look(state, 200_000);
  expect(await lost.look(state, 210_000)).toEqual([]);
  await lost.look(state, 250_000);
  expect(await lost.look(state, 260_000)).toEqual([{ ...MISSING, dispatch: 2 }]);
});

test('nor one of a paused queue, or one that was claimed meanwhile', async () => {
  const lost = lostJobs(0);
  const state = stateWithQueued(0);
  const context = { at: 0, maxWaitingJobs: 10, text: () => '', addPart: () => 0 };
  state.id = 's';
  await lost.look(state, 50_000);
  state.apply({ op: 'pause', partition: 'acme', queue: 'mail' }, context);
  expect(await lost.look(state, 60_000)).toEqual([]);
  state.apply({ op: 'resume', partition: 'acme', queue: 'mail' }, context);
  await lost.look(state, 70_000);
  const claim = {
    op: 'claim',
    partition: 'acme',
    id: 'a',
    state: 's',
    dispatch: 1,
    owner: 'me',
    chain: 1,
  } as const;
  expect(state.apply(claim, context)).toMatchObject({ claim: 'granted' });
  expect(await lost.look(state, 80_000)).toEqual([]);
});

describe('a job that was granted, and whose delivery nobody has in hand any more', () => {
  const context = { at: 0, maxWaitingJobs: 10, text: () => '{}', addPart: () => 0 };

  function stateWithRunning(): LedgerState {
    const state = stateWithQueued(0);
    state.id = 's';
    const holder = { state: 's', dispatch: 1, owner: 'gone/1' };
    state.apply({ op: 'claim', partition: 'acme', id: 'a', ...holder, chain: 1 }, context);
    return state;
  }

  test('is missing when its message has not come back for 40 s, and comes back whenever it turns up', async () => {
    const state = stateWithRunning();
    const lost = lostJobs(0, false);
    expect(await lost.look(state, 100_000)).toEqual([]);
    expect(await lost.look(state, 130_000)).toEqual([]);
    expect(await lost.look(state, 140_000)).toEqual([MISSING]);
    state.apply({ op: 'missing', partition: 'acme', id: 'a', dispatch: 1 }, context);
    expect(state.leases.size).toBe(0);
    expect(state.apply({ op: 'is queued', partition: 'acme', key: 'k' }, context)).toEqual({});
    const holder = { state: 's', dispatch: 1, owner: 'other/1', deliveries: 1 };
    const claim = { op: 'claim', partition: 'acme', id: 'a', ...holder, chain: 1 } as const;
    expect(state.apply(claim, context)).toMatchObject({ claim: 'granted' });
  });

  test('is not when another has it meanwhile, or it is in hand after all', async () => {
    const state = stateWithRunning();
    const lost = lostJobs(0, false);
    await lost.look(state, 100_000);
    const holder = { state: 's', dispatch: 1, owner: 'gone/2', deliveries: 1 };
    state.apply({ op: 'claim', partition: 'acme', id: 'a', ...holder, chain: 1 }, context);
    const present = lostJobs(0, true);
    await present.look(state, 100_000);
    expect(await present.look(state, 200_000)).toEqual([]);
  });

  test('is not while its queue is paused: it can be at hand, and nobody claims it', async () => {
    const state = stateWithRunning();
    const lost = lostJobs(0, false);
    await lost.look(state, 100_000);
    state.apply({ op: 'pause', partition: 'acme', queue: 'mail' }, context);
    expect(await lost.look(state, 200_000)).toEqual([]);
  });
});
