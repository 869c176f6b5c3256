// A log says the same to whoever reads it, whatever else stands in it.
import { encodeFrame } from './frame';
import type { RecordHead, RequestHead } from './ledger-record';
import { encodeState, partsOf } from './ledger-snapshot';
import type { AppliedOperation } from './log-reader';
import { LogReader } from './log-reader';
import type { ClaimReply, Operation, Reply } from './operation';

class Log {
  readonly records: Buffer[] = [];
  readonly complaints: string[] = [];
  readonly reader = this.newReader('self');
  readonly sent: string[] = [];

  newReader(self: string): LogReader {
    return new LogReader(
      { dispatch: ({ id }) => this.sent.push(id) },
      (problem) => this.complaints.push(problem),
      self,
    );
  }

  write(head: RecordHead | Record<string, unknown>, parts: readonly Buffer[] = []) {
    const record = encodeFrame(head, parts);
    this.records.push(record);
    return this.reader.read(record);
  }

  claim(by: string): void {
    this.write({ kind: 'claim', by, stateId: `state of ${by}`, at: 1 });
  }

  ask(
    by: string,
    operation: Operation,
    { number = 1, low = 1, session = 's' } = {},
    texts = ['body'],
  ): Reply[] {
    const head: RequestHead = { node: 'n', session, low, operations: [[number, operation]] };
    return this.request(by, encodeFrame(head, texts)).map(({ reply }) => reply);
  }

  request(by: string, request: Buffer): AppliedOperation[] {
    const head: RecordHead = { kind: 'requests', by, at: 1, maxWaitingJobs: 10, own: [] };
    const record = encodeFrame(head, [request]);
    this.records.push(record);
    const applied: AppliedOperation[] = [];
    this.reader.read(record, (one) => applied.push(one));
    return applied;
  }

  get jobs(): string[] {
    return [...(this.reader.state.partitions.get('p')?.jobs.keys() ?? [])];
  }
}

const enqueue = (id: string, keys: { queueKey?: string; executionKey?: string } = {}): Operation => ({
  ...{ op: 'enqueue', partition: 'p', id, queue: 'q', body: 0 },
  ...keys,
});

describe('a log', () => {
  it('is void before anybody has claimed it', () => {
    const log = new Log();
    expect(log.ask('a', enqueue('j'))).toEqual([]);
    expect(log.write({ kind: 'requests' })).toEqual({ kind: 'void' });
    expect(log.jobs).toEqual([]);
  });

  it('counts what its claimant writes, and nothing of an earlier one', () => {
    const log = new Log();
    log.claim('a');
    log.ask('a', enqueue('j1'));
    log.claim('b');
    expect(log.ask('a', enqueue('j2'), { number: 2 })).toEqual([]);
    expect(log.ask('b', enqueue('j3'), { number: 2 })).toEqual([{}]);
    expect(log.jobs).toEqual(['j1', 'j3']);
    expect(log.sent).toEqual(['j1', 'j3']);
  });

  it('belongs to the state of its first claim', () => {
    const log = new Log();
    log.claim('a');
    log.claim('b');
    expect(log.reader.state.id).toBe('state of a');
  });

  it('says the same to whoever reads it again', () => {
    const log = new Log();
    log.claim('a');
    log.ask('a', enqueue('j1', { executionKey: 'k' }));
    log.ask('a', enqueue('j2', { executionKey: 'k' }), { number: 2 });
    const other = log.newReader('other');
    for (const record of log.records) other.read(record);
    expect(encodeState(other.state)).toEqual(encodeState(log.reader.state));
  });

  it('is read on from its oldest snapshot when all before that was trimmed, the claim too', () => {
    const log = new Log();
    log.claim('a');
    log.ask('a', enqueue('j1'));
    log.records.length = 0;
    for (const part of partsOf(log.reader.state))
      log.write({ kind: 'snapshot', by: 'a', first: true }, [part]);
    log.ask('a', enqueue('j2'), { number: 2 });
    const successor = log.newReader('b');
    for (const record of log.records) successor.read(record);
    expect([...(successor.state.partitions.get('p')?.jobs.keys() ?? [])]).toEqual(['j1', 'j2']);
    expect(encodeState(successor.state)).toEqual(encodeState(log.reader.state));
  });

  it('passes over an interrupted snapshot of a keeper that died', () => {
    const log = new Log();
    log.claim('a');
    log.ask('a', enqueue('j1'));
    const other = new Log();
    other.claim('x');
    for (let n = 0; n < 5_000; n++) other.ask('x', enqueue(`other${n}`), { number: n + 1 });
    const [first, second] = [...partsOf(other.reader.state)] as [Buffer, Buffer];
    expect(log.write({ kind: 'snapshot', by: 'a', first: true }, [first])).toMatchObject({
      isComplete: false,
    });
    log.claim('b');
    expect(log.write({ kind: 'snapshot', by: 'a', first: false }, [second])).toEqual({ kind: 'void' });
    expect(log.write({ kind: 'snapshot', by: 'b', first: false }, [second])).toEqual({ kind: 'void' });
    log.ask('b', enqueue('j2'), { number: 2 });
    expect(log.jobs).toEqual(['j1', 'j2']);
  });

  it("doesn't read back the snapshots of who reads it", () => {
    const log = new Log();
    log.claim('self');
    log.ask('self', enqueue('j1'));
    const { state } = log.reader;
    const parts = [...partsOf(state)];
    const read = parts.map((part) => log.write({ kind: 'snapshot', by: 'self', first: true }, [part]));
    expect(read).toEqual([{ kind: 'snapshot', by: 'self', isFirst: true, isComplete: true }]);
    expect(log.reader.state).toBe(state);
  });

  it('passes over garbage and what it does not know, and complains of it', () => {
    const log = new Log();
    log.claim('a');
    expect(log.reader.read(Buffer.from('JOIN n'))).toEqual({ kind: 'void' });
    expect(log.complaints).toEqual([]);
    expect(log.reader.read(Buffer.from('garbage that is long enough'))).toEqual({ kind: 'void' });
    expect(log.reader.read(Buffer.alloc(0))).toEqual({ kind: 'void' });
    expect(log.write({ kind: 'newer', by: 'a' })).toEqual({ kind: 'void' });
    expect(log.reader.read(encodeFrame(null))).toEqual({ kind: 'void' });
    log.request('a', Buffer.from('no request'));
    log.request('a', encodeFrame({ session: 's', operations: [] }));
    log.request('a', encodeFrame({ node: 'n', session: 's', low: 1, operations: [null, [1]] }));
    expect(log.complaints).toHaveLength(7);
    expect(log.ask('a', enqueue('j'))).toEqual([{}]);
  });
});

describe('a request', () => {
  let log: Log;

  beforeEach(() => {
    log = new Log();
    log.claim('a');
  });

  it('that is asked twice is done once, and answered alike', () => {
    log.ask('a', enqueue('j', { queueKey: 'k' }));
    const purged = log.reader.state.partitions.get('p')?.jobs.get('j')?.dispatch ?? 0;
    const token = { state: 'state of a', dispatch: purged };
    log.ask('a', { op: 'discard', partition: 'p', id: 'j', ...token }, { number: 2 });
    expect(log.jobs).toEqual([]);
    expect(log.ask('a', enqueue('j', { queueKey: 'k' }))).toEqual([{}]);
    expect(log.jobs).toEqual([]);
  });

  it('that was answered, as its asker knows, is not even answered', () => {
    log.ask('a', enqueue('j1'), { number: 1 });
    log.ask('a', enqueue('j2'), { number: 2, low: 2 });
    expect(log.ask('a', enqueue('j1'), { number: 1 })).toEqual([]);
  });

  it('for the right to run is answered again with the bytes, as long as the run goes on', () => {
    log.ask('a', enqueue('j1', { executionKey: 'k' }), { number: 1 });
    log.ask('a', enqueue('j2', { executionKey: 'k' }), { number: 2 }, ['second']);
    const claim: Operation = {
      ...{ op: 'claim', partition: 'p', id: 'j1', state: 'state of a', dispatch: 1, owner: 'o', chain: 2 },
    };
    const head: RequestHead = { node: 'n', session: 's', low: 3, operations: [[3, claim]] };
    const [first] = log.request('a', encodeFrame(head));
    const [again] = log.request('a', encodeFrame(head));
    expect(first?.parts).toEqual(['second']);
    expect(again).toEqual(first);
    const { fence } = first?.reply as unknown as ClaimReply & { claim: 'granted' };
    for (const [number, id] of [
      [4, 'j1'],
      [5, 'j2'],
    ] as const) {
      const settle: Operation = { op: 'settle', partition: 'p', id, fence, outcome: { kind: 'done' } };
      log.ask('a', settle, { number, low: 3 });
    }
    const [late] = log.request('a', encodeFrame(head));
    expect(late?.reply).toEqual({ claim: 'stale' });
  });

  it('to take in a job of a lost state does so once, even when it comes again after the job has ended', () => {
    const adopt: Operation = {
      ...{ op: 'adopt', partition: 'p', id: 'old', queue: 'q', executionKey: 'k' },
      ...{ state: 'lost', dispatch: 7, owner: 'o' },
    };
    const [reply] = log.ask('a', adopt) as unknown as [ClaimReply & { claim: 'granted' }];
    expect(reply.claim).toBe('granted');
    const { fence } = reply;
    log.ask(
      'a',
      { op: 'settle', partition: 'p', id: 'old', fence, outcome: { kind: 'done' } },
      { number: 2 },
    );
    expect(log.ask('a', adopt)).toEqual([{ claim: 'stale' }]);
    expect(log.reader.state.partitions.size).toBe(0);
  });

  it('that is malformed or lacks its bytes changes nothing, and can be understood later', () => {
    const before = encodeState(log.reader.state);
    const malformed = { op: 'explode', partition: 'p' } as unknown as Operation;
    const [reply] = log.ask('a', malformed);
    expect(reply).toEqual({ malformed: true });
    const pause = { op: 'pause', queue: 7 } as unknown as Operation;
    expect(log.ask('a', pause)).toEqual([reply]);
    expect(log.reader.state.changeOf(pause, reply ?? {})).toBeUndefined();
    expect(log.ask('a', enqueue('j', { queueKey: 'u', executionKey: 'k' }), {}, [])).toEqual([
      { malformed: true },
    ]);
    log.reader.state.sessions.forgetSilentSince(2);
    expect(encodeState(log.reader.state)).toEqual(before);
    expect(log.ask('a', enqueue('j'))).toEqual([{}]);
  });

  it('that is malformed and was passed by others is not done behind them, whoever understands it by then', () => {
    const malformed = { op: 'explode', partition: 'p' } as unknown as Operation;
    log.ask('a', malformed);
    const asked: Operation = { op: 'is queued', partition: 'p', key: 'k' };
    expect(log.ask('a', asked, { number: 2 })).toEqual([{}]);
    expect(log.ask('a', enqueue('j', { queueKey: 'k' }))).toEqual([{ malformed: true }]);
    expect(log.ask('a', null as unknown as Operation)).toEqual([{ malformed: true }]);
    expect(log.jobs).toEqual([]);
    log.ask('a', enqueue('j', { queueKey: 'k' }), { number: 3 });
    expect(log.ask('a', asked, { number: 2 })).toEqual([{ job: 'j' }]);
  });

  it("can't ask for what only a keeper may", () => {
    log.ask('a', enqueue('j'));
    expect(log.ask('a', { op: 'dispatched', dispatch: 1 }, { number: 2 })).toEqual([{ malformed: true }]);
    expect(log.reader.state.sending.size).toBe(1);
  });
});

describe('the requests of a session', () => {
  let log: Log;

  beforeEach(() => {
    log = new Log();
    log.claim('a');
  });

  const idsIn = ({ state }: LogReader): string[] => [...(state.partitions.get('p')?.jobs.keys() ?? [])];
  const successor = (): LogReader => {
    const reader = log.newReader('successor');
    for (const record of log.records) reader.read(record);
    return reader;
  };
  const all = (low: number, ...numbers: readonly number[]): Buffer => {
    const head: RequestHead = {
      ...{ node: 'n', session: 's', low },
      operations: numbers.map((number) => [number, enqueue(`j${number}`)]),
    };
    return encodeFrame(head, ['body']);
  };
  const numbersOf = (applied: readonly AppliedOperation[]): number[] => applied.map(({ number }) => number);

  it('are not carried out, nor answered, before one that was lost', () => {
    expect(numbersOf(log.request('a', all(1, 2, 3)))).toEqual([]);
    expect(log.jobs).toEqual([]);
    expect(numbersOf(log.request('a', all(1, 1)))).toEqual([1]);
    expect(numbersOf(log.request('a', all(1, 3)))).toEqual([]);
    expect(log.jobs).toEqual(['j1']);
  });

  it('are carried out in their order, each once, when all are asked again', () => {
    log.request('a', all(1, 1));
    log.request('a', all(1, 3));
    expect(numbersOf(log.request('a', all(1, 1, 2, 3, 4)))).toEqual([1, 2, 3, 4]);
    expect(numbersOf(log.request('a', all(1, 3, 2)))).toEqual([3, 2]);
    expect(log.sent).toEqual(['j1', 'j2', 'j3', 'j4']);
  });

  it('are not taken out of turn within one request either', () => {
    expect(numbersOf(log.request('a', all(1, 2, 1, 3)))).toEqual([1]);
    expect(numbersOf(log.request('a', all(1, 2, 3)))).toEqual([2, 3]);
    expect(log.sent).toEqual(['j1', 'j2', 'j3']);
  });

  it('pass one that was given up, which then comes too late', () => {
    log.request('a', all(1, 2));
    expect(numbersOf(log.request('a', all(2, 2, 3)))).toEqual([2, 3]);
    expect(numbersOf(log.request('a', all(1, 1)))).toEqual([]);
    expect(log.jobs).toEqual(['j2', 'j3']);
  });

  it('pass a question and what is malformed when it was answered', () => {
    const head: RequestHead = {
      ...{ node: 'n', session: 's', low: 1 },
      operations: [
        [1, { op: 'standing' }],
        [2, { op: 'explode' } as unknown as Operation],
        [3, enqueue('j3')],
      ],
    };
    expect(numbersOf(log.request('a', encodeFrame(head, ['body'])))).toEqual([1, 2, 3]);
    expect(log.jobs).toEqual(['j3']);
  });

  it("don't wait for those of another session", () => {
    log.request('a', all(1, 2));
    expect(log.ask('a', enqueue('j'), { session: 'other' })).toEqual([{}]);
  });

  it.each(['a snapshot', 'the log'])('keep their order under a successor that reads %s', (from) => {
    log.request('a', all(1, 1));
    log.request('a', all(1, 3));
    if (from === 'a snapshot') {
      log.records.length = 0;
      const parts = [...partsOf(log.reader.state)];
      for (const part of parts) log.write({ kind: 'snapshot', by: 'a', first: true }, [part]);
    }
    log.claim('b');
    log.request('b', all(1, 3));
    expect(idsIn(successor())).toEqual(['j1']);
    log.request('b', all(1, 1, 2, 3));
    expect(idsIn(successor())).toEqual(['j1', 'j2', 'j3']);
    expect(encodeState(successor().state)).toEqual(encodeState(log.reader.state));
  });
});

test('a claim moves what is on its way by the time for which nobody kept the ledger, with and without a snapshot', () => {
  const log = new Log();
  const requests = (by: string, at: number, own: readonly Operation[], part?: Buffer): void => {
    log.write({ kind: 'requests', by, at, maxWaitingJobs: 10, own }, part === undefined ? [] : [part]);
  };
  log.write({ kind: 'claim', by: 'one', stateId: 's', at: 1_000 });
  const later: Operation = { ...(enqueue('later') as Operation & { op: 'enqueue' }), runAt: 61_000 };
  const head: RequestHead = { node: 'n', session: 's', low: 1, operations: [[1, later]] };
  requests('one', 1_000, [], encodeFrame(head, ['body']));
  requests('one', 2_000, [{ op: 'dispatched', dispatch: 1 }]);
  const restored = log.newReader('other');
  for (const [index, part] of [...partsOf(log.reader.state)].entries()) {
    restored.read(encodeFrame({ kind: 'snapshot', by: 'one', first: index === 0 }, [part]));
  }
  const claim = encodeFrame({ kind: 'claim', by: 'two', stateId: 's2', at: 42_000 });
  for (const reader of [log.reader, restored]) {
    reader.read(claim);
    expect(reader.state.partitions.get('p')?.jobs.get('later')?.since).toBe(102_000);
  }
});
