// What a ledger answers, in single cases; whether it holds in all is asked by the model beside.
import type { OperationContext } from './state/operation-context';
import { LedgerState } from './ledger-state';
import type { ClaimReply, Operation, Reply } from './operation';

type Granted = ClaimReply & { readonly claim: 'granted' };

class Ledger {
  readonly sent: string[] = [];
  readonly state = new LedgerState({
    dispatch: ({ id, route, dispatch }) => this.sent.push(`${id} ${route?.kind ?? ''} ${dispatch}`),
  });
  private owners = 0;

  constructor() {
    this.state.id = 'now';
  }

  do(operation: Operation, at = 1): Reply {
    const context: OperationContext = {
      at,
      maxWaitingJobs: 3,
      text: (part) => `part ${part}`,
      addPart: () => 0,
    };
    return this.state.apply(operation, context);
  }

  enqueue(id: string, executionKey?: string, queueKey?: string): Reply {
    return this.do({ op: 'enqueue', partition: 'p', id, queue: 'q', queueKey, executionKey, body: 0 });
  }

  claim(id: string, dispatch: number, { state = 'now', chain = 1 } = {}): ClaimReply {
    const owner = `o${++this.owners}`;
    return this.do({
      op: 'claim',
      partition: 'p',
      id,
      state,
      dispatch,
      owner,
      chain,
    }) as unknown as ClaimReply;
  }

  adopt(id: string, state: string, dispatch: number, executionKey?: string): ClaimReply {
    const owner = `o${++this.owners}`;
    const operation: Operation = {
      ...{ op: 'adopt', partition: 'p', id, queue: 'q', queueKey: `u ${id}`, executionKey },
      ...{ state, dispatch, owner },
    };
    return this.do(operation) as unknown as ClaimReply;
  }

  park(id: string, state: string, dispatch: number): Reply {
    return this.do({ op: 'park', partition: 'p', id, state, dispatch, body: 0 });
  }

  done(id: string, fence: number): Reply {
    return this.do({ op: 'settle', partition: 'p', id, fence, outcome: { kind: 'done' } });
  }

  cancel(id: string): Reply {
    return this.do({ op: 'cancel', partition: 'p', id, reason: 'enough' });
  }

  get isEmpty(): boolean {
    const { partitions, leases, sending, waitingCount } = this.state;
    return partitions.size + leases.size + sending.size + waitingCount === 0;
  }
}

describe('a job of a state that is gone', () => {
  let ledger: Ledger;

  beforeEach(() => {
    ledger = new Ledger();
  });

  it('is taken in, holds its keys, and frees them at its end', () => {
    expect(ledger.claim('old', 3, { state: 'lost' })).toEqual({ claim: 'foreign' });
    const { fence } = ledger.adopt('old', 'lost', 3, 'k') as Granted;
    expect(ledger.enqueue('new', undefined, 'u old')).toEqual({ duplicate: 'old' });
    ledger.enqueue('next', 'k');
    expect(ledger.sent).toEqual([]);
    ledger.done('old', fence);
    expect(ledger.sent).toEqual(['next express 2']);
    expect(ledger.enqueue('new', undefined, 'u old')).toEqual({});
  });

  it('runs beside others of other lost states, whatever their numbers', () => {
    const first = ledger.adopt('a', 'lost', 3) as Granted;
    const second = ledger.adopt('b', 'lost before', 3) as Granted;
    const third = ledger.adopt('c', '', 0) as Granted;
    const fourth = ledger.adopt('d', '', 0) as Granted;
    expect([first, second, third, fourth].map(({ jobs: [job] }) => job?.id)).toEqual(['a', 'b', 'c', 'd']);
    for (const [id, { fence }] of Object.entries({ a: first, b: second, c: third, d: fourth })) {
      expect(ledger.done(id, fence)).toEqual({});
    }
    expect(ledger.isEmpty).toBe(true);
  });

  it('is granted to whoever has its message, and to no other copy', () => {
    const first = ledger.adopt('a', 'lost', 3) as Granted;
    expect(ledger.claim('a', 4, { state: 'lost' })).toEqual({ claim: 'stale' });
    expect(ledger.adopt('a', 'lost before', 3)).toEqual({ claim: 'stale' });
    expect(ledger.claim('a', 3, { state: 'lost' })).toEqual({ claim: 'foreign' });
    const second = ledger.adopt('a', 'lost', 3) as Granted;
    expect(second.fence).toBeGreaterThan(first.fence);
    expect(ledger.done('a', first.fence)).toEqual({ refused: true });
    expect(ledger.done('a', second.fence)).toEqual({});
  });

  it('waits in line when its execution key is taken', () => {
    const { fence } = ledger.adopt('a', 'lost', 1, 'k') as Granted;
    expect(ledger.adopt('b', 'lost', 2, 'k')).toEqual({ claim: 'wait' });
    ledger.park('b', 'lost', 2);
    expect(ledger.claim('b', 2, { state: 'lost' })).toEqual({ claim: 'stale' });
    expect(ledger.adopt('b', 'lost', 2, 'k')).toEqual({ claim: 'stale' });
    ledger.done('a', fence);
    const [sent] = ledger.sent;
    expect(sent).toMatch(/^b express/);
    const { fence: next } = ledger.claim('b', Number(sent?.split(' ')[2])) as Granted;
    ledger.done('b', next);
    expect(ledger.isEmpty).toBe(true);
  });

  it('does not run when it was cancelled, before or after it was taken in', () => {
    ledger.cancel('a');
    expect(ledger.adopt('a', 'lost', 1, 'k')).toEqual({ claim: 'cancelled', reason: 'enough' });
    ledger.do({ op: 'bid farewell', partition: 'p', id: 'a', state: 'lost', dispatch: 1 });
    expect(ledger.state.partitions.get('p')?.jobs.size).toBe(0);
    const { fence } = ledger.adopt('b', 'lost', 2, 'k') as Granted;
    expect(ledger.adopt('c', 'lost', 3, 'k')).toEqual({ claim: 'wait' });
    ledger.cancel('c');
    ledger.done('b', fence);
    expect(ledger.adopt('c', 'lost', 3, 'k')).toEqual({ claim: 'cancelled', reason: 'enough' });
  });

  it('is over when its message was removed', () => {
    ledger.adopt('a', 'lost', 1, 'k');
    ledger.do({ op: 'discard', partition: 'p', id: 'a', state: 'lost', dispatch: 2 });
    expect(ledger.isEmpty).toBe(false);
    ledger.do({ op: 'discard', partition: 'p', id: 'a', state: 'lost', dispatch: 1 });
    expect(ledger.isEmpty).toBe(true);
  });
});

describe('a delayed job', () => {
  const SECOND = 1_000;
  let ledger: Ledger;

  const enqueueLater = (id: string, runAt: number, executionKey?: string, queueKey?: string, at = 0): Reply =>
    ledger.do({ op: 'enqueue', partition: 'p', id, queue: 'q', queueKey, executionKey, body: 0, runAt }, at);
  const routeOf = (id: string) => ledger.state.partitions.get('p')?.jobs.get(id)?.route;

  beforeEach(() => {
    ledger = new Ledger();
  });

  it('holds its queue key at once, and its execution key only when it is due', () => {
    expect(enqueueLater('a', 9 * SECOND, 'k', 'u')).toEqual({});
    expect(routeOf('a')).toEqual({ kind: 'delay', seconds: 9 });
    expect(enqueueLater('b', 9 * SECOND, undefined, 'u')).toEqual({ duplicate: 'a' });
    ledger.enqueue('c', 'k');
    expect(ledger.sent).toEqual(['a delay 1', 'c normal 2']);
    expect(ledger.state.waitingCount).toBe(0);
  });

  it('waits in line, when it comes, for the one that has its execution key', () => {
    enqueueLater('a', 9 * SECOND, 'k');
    ledger.enqueue('b', 'k');
    const { fence } = ledger.claim('b', 2) as Granted;
    ledger.do({ op: 'dispatched', dispatch: 1 });
    expect(ledger.claim('a', 1)).toEqual({ claim: 'wait' });
    ledger.park('a', 'now', 1);
    ledger.done('b', fence);
    expect(ledger.sent).toEqual(['a delay 1', 'b normal 2', 'a express 3']);
    const { fence: next } = ledger.claim('a', 3) as Granted;
    ledger.done('a', next);
    expect(ledger.isEmpty).toBe(true);
  });

  it('is sent again by the time that is left, and to its queue when it is due', () => {
    enqueueLater('a', 9 * SECOND);
    enqueueLater('b', 4 * SECOND);
    ledger.do({ op: 'dispatch all again' }, 5 * SECOND);
    expect([routeOf('a'), routeOf('b')]).toEqual([{ kind: 'delay', seconds: 4 }, { kind: 'normal' }]);
  });

  it('is due at once when its time has come meanwhile', () => {
    enqueueLater('a', 9 * SECOND, 'k', undefined, 9 * SECOND);
    expect(ledger.sent).toEqual(['a normal 1']);
  });

  it('is met as delayed by a cancel until it is due, frees its key, and is bidden farewell when it comes', () => {
    enqueueLater('a', 9 * SECOND, 'k', 'u');
    enqueueLater('b', 9 * SECOND);
    ledger.do({ op: 'dispatched', dispatch: 1 });
    const cancel = (id: string, at: number): Reply =>
      ledger.do({ op: 'cancel', partition: 'p', id, reason: 'enough' }, at);
    expect(cancel('a', 8 * SECOND)).toEqual({ met: 'delayed' });
    expect(cancel('b', 9 * SECOND)).toEqual({ met: 'queued' });
    expect(ledger.enqueue('c', undefined, 'u')).toEqual({});
    expect(ledger.claim('a', 1)).toEqual({ claim: 'cancelled', reason: 'enough' });
    ledger.do({ op: 'bid farewell', partition: 'p', id: 'a', state: 'now', dispatch: 1 });
    expect([...(ledger.state.partitions.get('p')?.jobs.keys() ?? [])]).toEqual(['b', 'c']);
  });

  it('is tried again like any other', () => {
    enqueueLater('a', 9 * SECOND);
    const { fence } = ledger.claim('a', 1) as Granted;
    const outcome = { kind: 'retry', afterSeconds: 3, body: 0 } as const;
    ledger.do({ op: 'settle', partition: 'p', id: 'a', fence, outcome }, 9 * SECOND);
    ledger.do({ op: 'dispatch all again' }, 0);
    expect(routeOf('a')).toEqual({ kind: 'retry', afterSeconds: 3 });
  });
});

describe('the cancel of a job that the ledger does not know', () => {
  const DAY = 24 * 60 * 60 * 1_000;

  it('goes after a day, or when the time has come until which it was to be kept', () => {
    const ledger = new Ledger();
    const isCancelled = (id: string): unknown => ledger.do({ op: 'is cancelled', partition: 'p', id })['yes'];
    ledger.cancel('early');
    ledger.do({ op: 'tick' }, 2 * DAY);
    expect(isCancelled('early')).toBe(false);
    ledger.do({ op: 'keep cancels', partition: 'p', until: 9 * DAY }, 2 * DAY);
    ledger.do({ op: 'keep cancels', partition: 'p', until: 5 * DAY }, 2 * DAY);
    ledger.cancel('kept');
    ledger.do({ op: 'tick' }, 9 * DAY - 1);
    expect(isCancelled('kept')).toBe(true);
    ledger.do({ op: 'tick' }, 9 * DAY);
    expect(ledger.isEmpty).toBe(true);
  });

  it('is announced to the nodes as kept', () => {
    const ledger = new Ledger();
    const keep = { op: 'keep cancels', partition: 'p', until: 9 * DAY } as const;
    const reply = ledger.do(keep);
    expect(ledger.state.changeOf(keep, reply)).toEqual({
      kind: 'keep cancels',
      partition: 'p',
      until: 9 * DAY,
    });
    expect(ledger.state.standing().cancelsKept).toEqual([['p', 9 * DAY]]);
  });
});

describe('a cancelled job', () => {
  it('leaves the turn to others, though it was about to be handed in', () => {
    const ledger = new Ledger();
    ledger.enqueue('a', 'k');
    const { fence } = ledger.claim('a', 1) as Granted;
    ledger.do({
      ...{ op: 'settle', partition: 'p', id: 'a', fence },
      outcome: { kind: 'retry', afterSeconds: 1, body: 0 },
    });
    ledger.enqueue('b', 'k');
    expect(ledger.claim('a', 2)).toEqual({ claim: 'wait' });
    const b = ledger.claim('b', 3) as Granted;
    ledger.cancel('a');
    ledger.done('b', b.fence);
    ledger.park('a', 'now', 2);
    expect(ledger.claim('a', 4)).toEqual({ claim: 'cancelled', reason: 'enough' });
    ledger.enqueue('c', 'k');
    expect(ledger.sent.at(-1)).toBe('c normal 5');
    ledger.do({ op: 'bid farewell', partition: 'p', id: 'a', state: 'now', dispatch: 4 });
    const c = ledger.claim('c', 5) as Granted;
    ledger.done('c', c.fence);
    expect(ledger.isEmpty).toBe(true);
  });

  it('does not run when it was cancelled before it was enqueued', () => {
    const ledger = new Ledger();
    expect(ledger.cancel('a')).toEqual({ met: 'unseen' });
    ledger.enqueue('a', 'k', 'u');
    ledger.enqueue('b', 'k', 'u');
    expect(ledger.sent).toEqual(['a normal 1', 'b normal 2']);
    expect(ledger.claim('a', 1)).toEqual({ claim: 'cancelled', reason: 'enough' });
  });

  it('tells the node where it runs, by its fence, and all nodes when nobody knows it', () => {
    const ledger = new Ledger();
    ledger.enqueue('a');
    const { fence } = ledger.claim('a', 1) as Granted;
    const cancel: Operation = { op: 'cancel', partition: 'p', id: 'a', reason: 'enough' };
    const change = { kind: 'cancel', partition: 'p', id: 'a', reason: 'enough' };
    expect(ledger.state.changeOf(cancel, ledger.do(cancel))).toEqual({ ...change, fence });
    expect(ledger.state.standing().cancelled).toEqual([['p', 'a', 'enough', fence]]);
    ledger.done('a', fence);
    expect(ledger.state.changeOf(cancel, ledger.do(cancel))).toEqual(change);
    expect(ledger.state.standing().cancelled).toEqual([['p', 'a', 'enough']]);
  });

  it('that nobody ever meets is forgotten after a day', () => {
    const ledger = new Ledger();
    ledger.cancel('a');
    ledger.do({ op: 'tick' }, 23 * 3_600_000);
    expect(ledger.isEmpty).toBe(false);
    ledger.do({ op: 'tick' }, 25 * 3_600_000);
    expect(ledger.isEmpty).toBe(true);
  });
});

describe('a line', () => {
  it('takes no more than it may, and says so', () => {
    const ledger = new Ledger();
    for (const id of ['a', 'b', 'c', 'd']) expect(ledger.enqueue(id, 'k')).toEqual({});
    expect(ledger.enqueue('e', 'k')).toEqual({ full: 3 });
    expect(ledger.enqueue('f', 'free')).toEqual({});
    expect(ledger.enqueue('g')).toEqual({});
    expect(ledger.enqueue('d', 'k')).toEqual({});
  });

  it('goes on when an operator takes the key from a run, whose jobs are given back later', () => {
    const ledger = new Ledger();
    for (const id of ['a', 'b']) ledger.enqueue(id, 'k');
    const { fence } = ledger.claim('a', 1, { chain: 2 }) as Granted;
    expect(ledger.do({ op: 'remove executed', partition: 'p', key: 'k' })).toEqual({ job: 'a' });
    ledger.do({ op: 'settle', partition: 'p', id: 'b', fence, outcome: { kind: 'release' } });
    expect(ledger.sent.at(-1)).toBe('b express 2');
    ledger.done('a', fence);
    ledger.done('b', (ledger.claim('b', 2) as Granted).fence);
    expect(ledger.isEmpty).toBe(true);
  });

  it('waits for the one that goes on when another of the same grant is given back', () => {
    const ledger = new Ledger();
    for (const id of ['a', 'b', 'c']) ledger.enqueue(id, 'k');
    const { fence } = ledger.claim('a', 1, { chain: 3 }) as Granted;
    ledger.done('a', fence);
    ledger.do({ op: 'settle', partition: 'p', id: 'b', fence, outcome: { kind: 'release' } });
    expect(ledger.sent).toEqual(['a normal 1']);
    ledger.done('c', fence);
    expect(ledger.sent.at(-1)).toBe('b express 2');
  });

  it('keeps its order when all that are left of a grant are given back, one after the other', () => {
    const ledger = new Ledger();
    for (const id of ['a', 'b', 'c', 'd']) ledger.enqueue(id, 'k');
    const { fence } = ledger.claim('a', 1, { chain: 3 }) as Granted;
    ledger.done('a', fence);
    for (const id of ['b', 'c'])
      ledger.do({ op: 'settle', partition: 'p', id, fence, outcome: { kind: 'release' } });
    expect(ledger.sent).toEqual(['a normal 1', 'b express 2']);
    expect(ledger.claim('b', 2, { chain: 3 })).toMatchObject({
      jobs: [{ id: 'b' }, { id: 'c' }, { id: 'd' }],
    });
  });

  it('has no place for who was cancelled and is given back, and its queue key is free', () => {
    const ledger = new Ledger();
    ledger.enqueue('a', 'k');
    ledger.enqueue('b', 'k', 'u');
    const { fence } = ledger.claim('a', 1, { chain: 2 }) as Granted;
    ledger.cancel('b');
    expect(ledger.enqueue('c', undefined, 'u')).toEqual({ duplicate: 'b' });
    ledger.do({ op: 'settle', partition: 'p', id: 'b', fence, outcome: { kind: 'release' } });
    expect(ledger.claim('b', 2)).toEqual({ claim: 'cancelled', reason: 'enough' });
    expect(ledger.enqueue('c', undefined, 'u')).toEqual({});
  });

  it('refuses to take in a job that a late claim was granted, for its message is still needed', () => {
    const ledger = new Ledger();
    for (const id of ['a', 'b']) ledger.enqueue(id, 'k');
    const { fence } = ledger.claim('a', 1) as Granted;
    ledger.done('a', fence);
    expect(ledger.claim('b', 2).claim).toBe('granted');
    expect(ledger.park('b', 'now', 2)).toEqual({ refused: true });
    expect(ledger.claim('b', 2).claim).toBe('granted');
  });
});

describe('a ledger that begins anew after its log was lost', () => {
  let ledger: Ledger;

  beforeEach(() => {
    ledger = new Ledger();
  });

  it('takes in jobs that it has never known, and those that it knows, once each', () => {
    ledger.enqueue('a', 'k');
    ledger.enqueue('b', 'k');
    ledger.do({ op: 'dispatched', dispatch: 1 });
    ledger.state.beginAnew('later', 1_000);
    expect(ledger.claim('a', 1)).toEqual({ claim: 'foreign' });
    const a = ledger.adopt('a', 'now', 1, 'k') as Granted;
    expect(a.fence).toBeGreaterThan(1_000);
    // Sent by the lost state after it was last stored.
    expect(ledger.adopt('c', 'now', 2, 'k')).toEqual({ claim: 'wait' });
    ledger.done('a', a.fence);
    expect(ledger.sent.at(-1)).toMatch(/^b express/);
  });

  it('gives back what was granted: the next claim shows who has it', () => {
    ledger.enqueue('a', 'k');
    ledger.enqueue('b', 'k');
    const before = ledger.claim('a', 1, { chain: 2 }) as Granted;
    expect(before.jobs).toHaveLength(2);
    ledger.state.beginAnew('later', 0);
    expect(ledger.state.leases.size).toBe(0);
    expect(ledger.adopt('a', 'now', 1, 'k')).toMatchObject({ claim: 'granted', jobs: [{ id: 'a' }] });
  });
});
