// A state that was written down is read back whole, or not at all.
import { encodeFrame, Frame } from './frame';
import { decodeState, encodeState, partsOf, SnapshotError, SnapshotReader } from './ledger-snapshot';
import type { OperationContext } from './state/operation-context';
import { LedgerState } from './ledger-state';
import type { Operation, Reply } from './operation';

const empty = (): LedgerState => new LedgerState({ dispatch: () => undefined });

function contextWith(texts: readonly string[]): OperationContext {
  return { at: 1, maxWaitingJobs: 100_000, text: (part) => texts[part] ?? '', addPart: () => 0 };
}

function apply(state: LedgerState, operation: Operation, ...texts: string[]): Reply {
  return state.apply(operation, contextWith(texts));
}

function enqueue(
  state: LedgerState,
  id: string,
  keys: { executionKey?: string; queueKey?: string },
  body = id,
): void {
  apply(state, { op: 'enqueue', partition: 'p', id, queue: 'q', ...keys, body: 0 }, body);
}

function claim(state: LedgerState, id: string, chain: number): Reply {
  const dispatch = state.partitions.get('p')?.jobs.get(id)?.dispatch ?? 0;
  return apply(state, { op: 'claim', partition: 'p', id, state: state.id, dispatch, owner: 'o', chain });
}

function readAll(parts: readonly Buffer[]): LedgerState {
  const state = empty();
  const reader = new SnapshotReader(state);
  for (const [index, part] of parts.entries()) expect(reader.add(part)).toBe(index === parts.length - 1);
  return state;
}

describe('a snapshot', () => {
  it('of many jobs has several parts, and restores all of them in their order', () => {
    const state = empty();
    for (let n = 0; n < 5_000; n++) enqueue(state, `j${n}`, { executionKey: `k${n % 7}`, queueKey: `u${n}` });
    const parts = [...partsOf(state)];
    expect(parts).toHaveLength(3);
    const copy = readAll(parts);
    expect([...partsOf(copy)]).toEqual(parts);
    expect(copy.waitingCount).toBe(4_993);
    const line = [...(copy.partitions.get('p')?.lines.get('k3')?.waiting() ?? [])];
    expect(line.slice(0, 3).map(({ id }) => id)).toEqual(['j10', 'j17', 'j24']);
  });

  it('has parts of a bounded size when jobs are large', () => {
    const state = empty();
    for (let n = 0; n < 10; n++) enqueue(state, `j${n}`, { executionKey: 'k' }, 'x'.repeat(600_000));
    const parts = [...partsOf(state)];
    expect(parts.length).toBeGreaterThanOrEqual(5);
    expect(readAll(parts).waitingCount).toBe(9);
  });

  it('keeps when a delayed job is due, and until when cancels are kept', () => {
    const state = empty();
    apply(state, { op: 'enqueue', partition: 'p', id: 'later', queue: 'q', body: 0, runAt: 9_001 }, 'x');
    apply(state, { op: 'keep cancels', partition: 'far', until: 99_000 });
    const copy = readAll([...partsOf(state)]);
    expect(copy.partitions.get('far')?.cancelsKeptUntil).toBe(99_000);
    copy.apply({ op: 'dispatch all again' }, { ...contextWith([]), at: 5_001 });
    expect(copy.partitions.get('p')?.jobs.get('later')?.route).toEqual({ kind: 'delay', seconds: 4 });
  });

  it('keeps a lease and the order of its jobs', () => {
    const state = empty();
    for (const id of ['a', 'b', 'c', 'd']) enqueue(state, id, { executionKey: 'k' });
    expect(claim(state, 'a', 3)).toMatchObject({ claim: 'granted' });
    const copy = readAll([...partsOf(state)]);
    const [lease] = copy.leases.values();
    expect(lease?.jobs.map(({ id, body }) => [id, body])).toEqual([
      ['a', undefined],
      ['b', 'b'],
      ['c', 'c'],
    ]);
    expect(lease?.owner).toBe('o');
    expect(copy.partitions.get('p')?.lines.get('k')?.holder?.id).toBe('a');
    expect(copy.partitions.get('p')?.lines.get('k')?.next?.id).toBe('d');
  });

  it('keeps a burial under way, whose keys are free and whose partition may be gone', () => {
    const state = empty();
    enqueue(state, 'a', { queueKey: 'u' });
    const { fence } = claim(state, 'a', 1) as unknown as { fence: number };
    const reason = { type: 'Error', message: 'failed' };
    apply(
      state,
      { op: 'settle', partition: 'p', id: 'a', fence, outcome: { kind: 'bury', reason, body: 0 } },
      'the end',
    );
    expect(state.partitions.size).toBe(0);
    const copy = readAll([...partsOf(state)]);
    expect(copy.partitions.size).toBe(0);
    const [job] = copy.sending.values();
    expect(job).toMatchObject({ id: 'a', body: 'the end', route: { kind: 'bury', reason } });
    expect(encodeState(copy)).toEqual(encodeState(state));
  });

  it('keeps cancels, pauses, what was answered, and the tokens of adopted jobs', () => {
    const state = empty();
    apply(state, { op: 'cancel', partition: 'p', id: 'unknown', reason: 'enough' });
    apply(state, { op: 'pause', partition: 'p2', queue: 'q' });
    state.sessions.open('s', 1, 1);
    state.sessions.answered('s', 1, { met: 'unseen' });
    state.sessions.answered('s', 2, undefined);
    const token = { state: 'an older one', dispatch: 3 };
    apply(state, {
      op: 'adopt',
      partition: 'p',
      id: 'old',
      queue: 'q',
      executionKey: 'k',
      owner: 'o',
      ...token,
    });
    const copy = empty();
    decodeState(encodeState(state), copy);
    expect(copy.standing()).toEqual(state.standing());
    expect(copy.sessions.recall('s', 1)).toEqual({ met: 'unseen' });
    expect([2, 3, 4].map((number) => copy.sessions.isInOrder('s', number))).toEqual([true, true, false]);
    expect(copy.partitions.get('p')?.jobs.get('old')?.adoptedFrom).toEqual(token);
    expect(encodeState(copy)).toEqual(encodeState(state));
  });

  it('is refused when a part is missing or comes twice', () => {
    const state = empty();
    for (let n = 0; n < 5_000; n++) enqueue(state, `j${n}`, { executionKey: 'k' });
    const [first, second, third] = [...partsOf(state)] as [Buffer, Buffer, Buffer];
    const reader = new SnapshotReader(empty());
    expect(() => reader.add(second)).toThrow(SnapshotError);
    reader.add(first);
    expect(() => reader.add(first)).toThrow('part 1 is missing');
    expect(() => reader.add(third)).toThrow('part 1 is missing');
  });

  it.each([[{ format: 3, part: 0 }], [null], ['text'], [{}]])(
    'is refused in a foreign format: %j',
    (head) => {
      expect(() => new SnapshotReader(empty()).add(encodeFrame(head))).toThrow(SnapshotError);
    },
  );

  it('is refused when a job runs under a lease that it does not have', () => {
    const state = empty();
    enqueue(state, 'a', {});
    claim(state, 'a', 1);
    const frame = Frame.read([...partsOf(state)][0] ?? Buffer.alloc(0));
    const head = frame.head as { rest: object };
    const part = encodeFrame({ ...head, rest: { ...head.rest, leases: [] } });
    expect(() => new SnapshotReader(empty()).add(part)).toThrow('lease 1 is missing');
  });

  it('of a persister is refused when it is foreign, of another format, or not whole', () => {
    const [part] = [...partsOf(empty())] as [Buffer];
    const of =
      (head: unknown, ...parts: Buffer[]) =>
      () => {
        decodeState(encodeFrame(head, parts), empty());
      };
    expect(of({ ledger: 'roger', format: 1 }, part)).not.toThrow();
    expect(of({ ledger: 'roger', format: 1 })).toThrow('it is not whole');
    expect(of({ ledger: 'roger', format: 1 }, part, part)).toThrow(SnapshotError);
    expect(of({ ledger: 'roger', format: 9 }, part)).toThrow('its format is 9, not 1');
    expect(of({ ledger: 'mine' }, part)).toThrow('it is not the state of a ledger');
    expect(of(null, part)).toThrow(SnapshotError);
  });
});
