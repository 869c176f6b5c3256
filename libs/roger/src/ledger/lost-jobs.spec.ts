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

const MISSING = { op: 'missing', partition: 'acme', id: 'a', dispatch: 1 };

test('a job that should be in a queue that is empty twice is missing, and its key is free', async () => {
  const state = stateWithQueued(0);
  const lost = new LostJobs(() => Promise.resolve(0));
  expect(await lost.look(state, 50_000)).toEqual([]);
  expect(await lost.look(state, 60_000)).toEqual([MISSING]);
  const context = { at: 60_000, maxWaitingJobs: 10, text: () => '', addPart: () => 0 };
  state.apply({ op: 'missing', partition: 'acme', id: 'a', dispatch: 1 }, context);
  expect(state.apply({ op: 'is queued', partition: 'acme', key: 'k' }, context)).toEqual({});
});

test('so is one whose queue is gone', async () => {
  const lost = new LostJobs(() => Promise.resolve(undefined));
  const state = stateWithQueued(0);
  await lost.look(state, 50_000);
  expect(await lost.look(state, 60_000)).toEqual([MISSING]);
});

test.each([
  ['that was sent a short while ago', 30_000, 0],
  ['in a queue that holds jobs', 0, 1],
])('a job %s is not', async (_, since, ready) => {
  const lost = new LostJobs(() => Promise.resolve(ready));
  const state = stateWithQueued(since);
  expect(await lost.look(state, 50_000)).toEqual([]);
  expect(await lost.look(state, 60_000)).toEqual([]);
});

test('nor one of a paused queue, or one that was claimed meanwhile', async () => {
  const lost = new LostJobs(() => Promise.resolve(0));
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
