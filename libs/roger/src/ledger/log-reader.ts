// Reads a ledger's log, record by record, and makes its state. The same records give the same state on every node.
import { describe } from '../job/names';
import { Frame, FrameError } from './frame';
import type { RecordHead, RequestHead } from './ledger-record';
import { SnapshotReader } from './ledger-snapshot';
import type { LedgerEffects } from './ledger-state';
import type { OperationContext } from './state/operation-context';
import { LedgerState } from './ledger-state';
import type { ClaimReply, Operation, Reply } from './operation';
import { isOperation } from './operation-check';

/** What a record was, for whoever keeps the ledger. */
export type ReadRecord =
  /** Nothing that counts. */
  | { readonly kind: 'void' }
  | { readonly kind: 'claim'; readonly by: string }
  | { readonly kind: 'requests'; readonly by: string }
  | {
      readonly kind: 'snapshot';
      readonly by: string;
      readonly isFirst: boolean;
      readonly isComplete: boolean;
    };

/** Told of each operation when it has been applied. */
export type OnApplied = (applied: AppliedOperation) => void;

export interface AppliedOperation {
  readonly operation: Operation;
  readonly reply: Reply;
  readonly parts: readonly string[];
  readonly number: number;
  readonly request: RequestHead;
}

const KINDS: ReadonlySet<unknown> = new Set<RecordHead['kind']>(['claim', 'requests', 'snapshot']);
const MALFORMED: Reply = { malformed: true };
const VOID: ReadRecord = { kind: 'void' };

/** They change nothing, and are answered anew when they are asked twice. Everything else is done once. */
const QUESTIONS: ReadonlySet<Operation['op']> = new Set([
  'standing',
  'paused',
  'is queued',
  'is executing',
  'is cancelled',
  'is moved',
  'is held',
  'held jobs',
  'held reasons',
  'schedules',
]);

export class LogReader {
  state: LedgerState;
  /** Whose records count. */
  claimant: string | undefined;
  private snapshot:
    { readonly by: string; readonly state: LedgerState; readonly reader: SnapshotReader } | undefined;

  constructor(
    private readonly effects: LedgerEffects,
    /** Told what could not be understood. */
    private readonly complain: (problem: string) => void,
    /** Keeps its own snapshots instead of reading them back. */
    private readonly self: string,
  ) {
    this.state = new LedgerState(effects);
  }

  read(bytes: Buffer, onApplied?: OnApplied): ReadRecord {
    const record = this.open(bytes);
    if (record === undefined) return VOID;
    const head = record.head as RecordHead;
    if (!KINDS.has((head as { kind?: unknown } | null)?.kind)) {
      this.complain(`a record is of no known kind`);
      return VOID;
    }
    if (head.kind === 'claim') {
      this.claimant = head.by;
      this.snapshot = undefined;
      this.state.wasUnkeptUntil(head.at);
      if (this.state.id === '') this.state.beginAnew(head.stateId, head.at);
      return { kind: 'claim', by: head.by };
    }
    // The claim of who has written the oldest snapshot was trimmed away with all that was before it.
    if (head.kind === 'snapshot' && head.first) this.claimant ??= head.by;
    if (this.claimant === undefined || !this.counts(head.by)) return VOID;
    if (head.kind === 'snapshot') return this.readSnapshot(head, record.part(0));
    for (let index = 0; index < record.count; index++)
      this.carryOutRequest(record.part(index), head, onApplied);
    for (const operation of head.own) this.carryOutOwn(operation, head);
    this.state.keptAt = Math.max(this.state.keptAt, head.at);
    return { kind: 'requests', by: head.by };
  }

  /** Whoever has claimed later has taken over: what an earlier keeper still writes is void. */
  protected counts(by: string): boolean {
    return by === this.claimant;
  }

  private open(bytes: Buffer): Frame | undefined {
    // A node's joining, which only makes sure that there is something to be given.
    if (bytes.length >= 4 && bytes.toString('latin1', 0, 4) === 'JOIN') return undefined;
    try {
      return Frame.read(bytes);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.complain(`a record can't be read: ${error.message}`);
      return undefined;
    }
  }

  private readSnapshot({ by, first }: RecordHead & { kind: 'snapshot' }, part: Buffer): ReadRecord {
    if (by === this.self) return { kind: 'snapshot', by, isFirst: first, isComplete: isLastPart(part) };
    if (first) {
      const state = new LedgerState(this.effects);
      this.snapshot = { by, state, reader: new SnapshotReader(state) };
    }
    if (this.snapshot?.by !== by) return VOID;
    const isComplete = this.snapshot.reader.add(part);
    if (isComplete) {
      this.state = this.snapshot.state;
      this.snapshot = undefined;
    }
    return { kind: 'snapshot', by, isFirst: first, isComplete };
  }

  private carryOutRequest(bytes: Buffer, context: Context, onApplied: OnApplied | undefined): void {
    let frame: Frame;
    try {
      frame = Frame.read(bytes);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.complain(`a request can't be read: ${error.message}`);
      return;
    }
    const request = frame.head as RequestHead;
    if (!isRequest(request)) {
      this.complain(`a request is malformed: ${describe(request)}`);
      return;
    }
    const { state } = this;
    state.sessions.open(request.session, request.low, context.at);
    for (const [number, operation] of request.operations) {
      const recalled = this.recall(request.session, number);
      if (recalled === 'over' || !state.sessions.isInOrder(request.session, number)) continue;
      const parts: string[] = [];
      let reply: Reply;
      if (recalled !== undefined) reply = this.repeat(operation, recalled, parts);
      // Malformed it was, when it was its turn; understood by now, it would be done behind what came after it.
      else if (state.sessions.isPassed(request.session, number) && !isQuestion(operation)) reply = MALFORMED;
      else reply = this.apply(operation, context, frame, parts);
      if (recalled === undefined) {
        const isToRemember = reply !== MALFORMED && !isQuestion(operation);
        state.sessions.answered(request.session, number, isToRemember ? reply : undefined);
      }
      onApplied?.({ operation, reply, parts, number, request });
    }
  }

  /** What was asked before is answered as before. */
  protected recall(session: string, number: number): 'over' | Reply | undefined {
    return this.state.sessions.recall(session, number);
  }

  /** The bytes that were granted are not remembered; and the grant may be over. */
  private repeat(operation: Operation, reply: Reply, parts: string[]): Reply {
    if (!isOperation(operation) || (operation.op !== 'claim' && operation.op !== 'adopt')) return reply;
    if ((reply as unknown as ClaimReply).claim !== 'granted') return reply;
    return { ...this.state.claimAgain(operation, { addPart: (text) => parts.push(text) - 1 }) };
  }

  private apply(operation: Operation, { at, maxWaitingJobs }: Context, frame: Frame, parts: string[]): Reply {
    // A newer node may ask what this one doesn't know; it must not be mistaken for done.
    if (!isOperation(operation)) return MALFORMED;
    const context: OperationContext = {
      at,
      maxWaitingJobs,
      text: (part) => frame.text(part),
      addPart: (text) => parts.push(text) - 1,
    };
    try {
      return this.state.apply(operation, context);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.complain(`an operation lacks its bytes: ${error.message}`);
      return MALFORMED;
    }
  }

  private carryOutOwn(operation: Operation, { at, maxWaitingJobs }: Context): void {
    this.state.apply(operation, { at, maxWaitingJobs, text: () => '', addPart: () => 0 });
  }
}

type Context = Pick<OperationContext, 'at' | 'maxWaitingJobs'>;

/** Untrusted. */
function isQuestion(operation: Operation): boolean {
  return QUESTIONS.has((operation as Operation | null | undefined)?.op as Operation['op']);
}

function isLastPart(part: Buffer): boolean {
  return (Frame.read(part).head as { isLast?: unknown }).isLast === true;
}

function isRequest(head: unknown): boolean {
  const { node, session, low, operations } = (head ?? {}) as Partial<Record<keyof RequestHead, unknown>>;
  return (
    typeof node === 'string' &&
    typeof session === 'string' &&
    typeof low === 'number' &&
    Array.isArray(operations) &&
    operations.every((one: unknown) => Array.isArray(one) && typeof one[0] === 'number')
  );
}
