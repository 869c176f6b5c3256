// Copies of a job that was taken over are void as long as they may turn up, and the job is never there twice.
import { decodeState, encodeState } from '../ledger-snapshot';
import { LedgerState } from '../ledger-state';
import type { Operation, Reply } from '../operation';

const DAY_MS = 24 * 60 * 60 * 1_000;
const COPIES = { partition: 'p', id: 'plain', queuedAt: 5 } as const;

class Ledger {
  readonly sent: string[] = [];
  readonly state = new LedgerState({
    dispatch: ({ id, route }) => void this.sent.push(`${id} ${route?.kind ?? ''}`),
  });
  at = 1_000;

  ask(operation: Operation, maxWaitingJobs = 10): Reply {
    const text = (): string => 'bytes';
    return this.state.apply(operation, { at: this.at, maxWaitingJobs, text, addPart: () => 0 });
  }

  hold(more: Partial<Operation & { op: 'hold' }> = {}, maxWaitingJobs?: number): Reply {
    return this.ask({ ...COPIES, op: 'hold', queue: 'q', why: 'operator', body: 0, ...more }, maxWaitingJobs);
  }

  get isVoid(): unknown {
    return this.ask({ op: 'is moved', ...COPIES })['yes'];
  }

  pass(ms: number): void {
    this.at += ms;
    this.ask({ op: 'tick' });
  }
}

describe('copies of a job that was taken over', () => {
  let ledger: Ledger;

  beforeEach(() => {
    ledger = new Ledger();
  });

  it('are void for as long as it is held, and a day more', () => {
    expect(ledger.hold()).toEqual({ met: 'unseen', moved: true });
    ledger.pass(3 * DAY_MS);
    expect(ledger.isVoid).toBe(true);
    expect(ledger.ask({ op: 'release', partition: 'p', id: 'plain' })).toEqual({ met: 'held' });
    ledger.pass(DAY_MS - 1);
    expect(ledger.isVoid).toBe(true);
    ledger.pass(2);
    expect(ledger.isVoid).toBe(false);
  });

  it('are kept in mind for as long as cancels are', () => {
    ledger.hold();
    ledger.ask({ op: 'keep cancels', partition: 'p', until: ledger.at + 3 * DAY_MS });
    ledger.ask({ op: 'release', partition: 'p', id: 'plain' });
    ledger.pass(2 * DAY_MS);
    expect(ledger.isVoid).toBe(true);
    ledger.pass(2 * DAY_MS);
    expect(ledger.isVoid).toBe(false);
  });

  it('stay void when one was met while it is held, and are forgotten at its release', () => {
    ledger.hold();
    expect(ledger.ask({ op: 'met moved', ...COPIES })).toEqual({ removed: false });
    expect(ledger.isVoid).toBe(true);
    ledger.ask({ op: 'release', partition: 'p', id: 'plain' });
    expect(ledger.isVoid).toBe(false);
  });

  it('are not those that were enqueued at another time', () => {
    ledger.hold();
    expect(ledger.ask({ op: 'is moved', ...COPIES, queuedAt: 6 })['yes']).toBe(false);
    expect(ledger.hold({ queuedAt: 6 })).toEqual({ met: 'unseen', refused: true });
    expect(ledger.hold({ queuedAt: 6, isDelivered: true })).toEqual({ met: 'unseen', refused: true });
  });

  it('count again when one runs, and it is held no longer', () => {
    ledger.hold();
    expect(ledger.ask({ op: 'undo hold', ...COPIES })).toEqual({ undone: true });
    expect(ledger.isVoid).toBe(false);
    expect(ledger.state.partitions.size).toBe(0);
  });

  it('do not count again when it was released before the run was known of', () => {
    ledger.hold();
    ledger.ask({ op: 'release', partition: 'p', id: 'plain' });
    expect(ledger.ask({ op: 'undo hold', ...COPIES })).toEqual({});
    expect(ledger.isVoid).toBe(true);
  });

  it('are no matter of a copy that is handed in, which makes none void', () => {
    expect(ledger.hold({ isDelivered: true, why: 'definition:d' })).toEqual({ met: 'unseen' });
    expect(ledger.hold({ isDelivered: true, why: 'definition:d' })).toEqual({ met: 'held' });
    expect(ledger.isVoid).toBe(false);
    expect(ledger.ask({ op: 'held reasons' })).toEqual({ reasons: [['p', 'definition:d', 1]] });
  });
});

describe('a hold', () => {
  it('is refused where there is no room, and changes nothing then', () => {
    const ledger = new Ledger();
    ledger.hold({ id: 'one' }, 1);
    expect(ledger.hold({}, 1)).toEqual({ met: 'unseen', full: 1 });
    expect(ledger.isVoid).toBe(false);
    expect(ledger.ask({ op: 'held jobs', partition: 'p', count: 10 })).toEqual({
      jobs: [['one', 'q', 'operator', 1_000]],
    });
  });

  it('of a job with keys that is over makes no new one', () => {
    const ledger = new Ledger();
    expect(ledger.hold({ hasKeys: true })).toEqual({ met: 'unseen', refused: true });
    expect(ledger.state.partitions.size).toBe(0);
  });
});

describe('a state', () => {
  it('with held jobs is refused by readers that do not know of them, and one without is read by all', () => {
    const ledger = new Ledger();
    const formatOf = (): unknown => /"format":(\d)/.exec(encodeState(ledger.state).toString('latin1'))?.[1];
    expect(formatOf()).toBe('1');
    ledger.hold();
    expect(formatOf()).toBe('2');
    const copy = new LedgerState({ dispatch: () => undefined });
    decodeState(encodeState(ledger.state), copy);
    expect(copy.partitions.get('p')?.jobs.get('plain')).toMatchObject({ phase: 'held', heldWhy: 'operator' });
  });
});
