// Keeps a ledger when the broker chooses this node: logs each request, reads it back, carries it out, answers.
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LedgerStateError, oneLine } from '../job/errors';
import type { RogerLog } from '../job/log';
import type {
  BrokerMessageToAck,
  LedgerMember,
  LedgerMembership,
  LedgerTransport,
} from '../ledger-transport';
import { Dispatcher } from './dispatcher';
import { encodeFrame } from './frame';
import type { RecordHead } from './ledger-record';
import { decodeState, encodeState, partsOf } from './ledger-snapshot';
import type { AppliedOperation } from './log-reader';
import { LogReader } from './log-reader';
import type { LostJobsParts } from './lost-jobs';
import { LOOK_MS, LostJobs } from './lost-jobs';
import type { Operation } from './operation';
import type { StatePersister } from './state-persister';

/** A record that has not come back after this long will not: somebody else is the keeper, or nobody. */
const LATE_MS = 4_000;
const WATCH_MS = 1_000;
/** Who can't read the past keeps the place so long before it lets others, or itself, try again. */
const GIVE_UP_MS = 1_000;
/** While so many records are on their way, what comes is put together into the next. */
const RECORDS_UNDER_WAY = 3;
/** So that the last part of a large snapshot doesn't wait longer than a late record may. */
const PARTS_UNDER_WAY = 8;
const RECORD_BYTES = 4 * 1024 * 1024;
/** A broker holds what is unacknowledged in a table of its own; its bound is 65535. */
const RECORDS_TO_SNAPSHOT = 30_000;
const BYTES_TO_SNAPSHOT = 8 * 1024 * 1024;
/** A successor reads all of them before it answers: with a small state they are not worth keeping. */
const RECORDS_TO_SMALL_SNAPSHOT = 2_000;
/** A broker closes the channel of who holds something for longer than its consumer_timeout, 30 min by default. */
const SNAPSHOT_MS = 10 * 60 * 1_000;
const TICK_MS = 60_000;
/** A keeper to which no request has come for so long makes sure that requests do come. */
const IDLE_MS = 20_000;
const PROBE_LATE_MS = 10_000;
const PROBE = Buffer.from('PROBE');
/** What only tidies up may wait a little for company. */
const OWN_OPERATIONS_MS = 5;

export interface KeeperParts {
  readonly ledger: number;
  readonly transport: LedgerTransport;
  readonly log: RogerLog;
  readonly maxWaitingJobs: number;
  /** Keeps the state beside the log; undefined: the log is all. */
  readonly persister:
    { readonly store: StatePersister; readonly id: string; readonly intervalMs: number } | undefined;
  /** Answers what has been applied. */
  readonly reply: (applied: readonly AppliedOperation[]) => void;
  readonly lostJobs: LostJobsParts;
  readonly onKeeping: () => void;
}

interface RecordUnderWay {
  readonly sentAt: number;
  readonly requests: readonly BrokerMessageToAck[];
}

/** Everything between two losses of the broker's choice; a new one begins with nothing. */
class Term {
  /** Not the node's: a node that is chosen twice must not take its earlier records for those of now. */
  readonly nonce = randomBytes(9).toString('base64url');
  readonly dispatcher: Dispatcher;
  readonly reader: LogReader;
  isKeeping = false;
  isOver = false;
  /** Records given since the broker chose this node, and those of them that are trimmed. */
  received = 0;
  trimmed = 0;
  bytesSinceSnapshot = 0;
  recordsSinceSnapshot = 0;
  snapshotAt = performance.now();
  snapshotBytes = 0;
  isSnapshotting = false;
  snapshotBegin = 0;
  readonly arrived: BrokerMessageToAck[] = [];
  readonly own: Operation[] = [];
  readonly underWay: RecordUnderWay[] = [];
  /** Told when a record has come back. */
  onArrival: (() => void) | undefined;
  isFlushDue = false;
  ownTimer: NodeJS.Timeout | undefined;
  /** Runs once it has been given up, until the place is free. */
  givenUp: NodeJS.Timeout | undefined;
  isChanged = false;
  /** When a record last came. */
  recordAt = performance.now();
  /** When a request last came, and when one was last sent by the keeper to see whether any would come. */
  requestAt = performance.now();
  probedAt = 0;
  readonly lostJobs: LostJobs;

  constructor(
    makeDispatcher: (term: Term) => Dispatcher,
    makeReader: (term: Term) => LogReader,
    lostJobs: LostJobsParts,
  ) {
    this.lostJobs = new LostJobs(lostJobs);
    this.dispatcher = makeDispatcher(this);
    this.reader = makeReader(this);
  }
}

export class Keeper implements LedgerMember {
  private readonly membership: LedgerMembership;
  private term: Term | undefined;
  private readonly watch: NodeJS.Timeout;
  private lastTickAt = performance.now();
  private lastLookAt = performance.now();
  private isLooking = false;
  private lastStoreAt = performance.now();
  private isStoring = false;
  private isClosed = false;
  /** Why the ledger could not be kept here; said once. */
  private complaint: string | undefined;

  constructor(private readonly parts: KeeperParts) {
    this.membership = parts.transport.join(parts.ledger, this);
    this.watch = setInterval(() => {
      this.look();
    }, WATCH_MS);
    this.watch.unref();
  }

  get isKeeping(): boolean {
    return this.term?.isKeeping ?? false;
  }

  /** The state, while this node keeps the ledger. */
  get state() {
    return this.term?.isKeeping === true ? this.term.reader.state : undefined;
  }

  /** Takes its place anew: the broker may have forgotten the one that it had. */
  rejoin(detail: string): void {
    // While the broker chooses it, it has its own ways to find out; and a long past takes its time to read.
    if (this.term === undefined && !this.membership.isBlocked && !this.isClosed)
      this.membership.stepDown(detail);
  }

  async close(): Promise<void> {
    clearInterval(this.watch);
    this.isClosed = true;
    const { term } = this;
    if (term?.isKeeping === true && term.isChanged) await this.store(term);
    this.end();
    this.membership.leave();
  }

  onRecord(bytes: Buffer): void {
    // Without the past, which has been given already, a new term would begin with nothing.
    if (this.isClosed) return;
    const term = (this.term ??= this.begin());
    term.recordAt = performance.now();
    if (term.isOver) return;
    term.received++;
    term.bytesSinceSnapshot += bytes.length;
    term.recordsSinceSnapshot++;
    try {
      this.read(term, bytes);
    } catch (error) {
      // A record that can't be applied stops every keeper: better none than one with another state.
      this.giveUp(term, 'a record of its log is damaged', error);
    }
  }

  private read(term: Term, bytes: Buffer): void {
    const applied: AppliedOperation[] = [];
    const read = term.reader.read(bytes, term.isKeeping ? (one) => applied.push(one) : undefined);
    if (read.kind === 'void') return;
    if (read.by !== term.nonce) {
      if (read.kind === 'claim' && term.isKeeping) this.stepDown('another node has claimed the ledger');
      return;
    }
    if (read.kind === 'claim') void this.keep(term);
    else if (read.kind === 'requests') this.answer(term, applied);
    else this.onSnapshotPart(term, read.isFirst, read.isComplete);
  }

  onRequest(request: BrokerMessageToAck): void {
    const { term } = this;
    if (term === undefined) return;
    term.requestAt = performance.now();
    if (request.body.equals(PROBE)) {
      request.ack();
      return;
    }
    term.arrived.push(request);
    this.flushSoon(term);
  }

  onLost(detail: string): void {
    const { log, ledger } = this.parts;
    const wasChosen = this.term !== undefined;
    const wasKeeping = this.isKeeping;
    this.end();
    if (wasKeeping) log.warn(`Ledger ${ledger} is no longer kept here: ${detail}`);
    else if (wasChosen) log.debug(`Ledger ${ledger} was about to be kept here: ${detail}`);
  }

  /** Records count when they have come back, and not before. */
  protected append(term: Term, record: Buffer, requests: readonly BrokerMessageToAck[]): void {
    term.underWay.push({ sentAt: performance.now(), requests });
    this.membership.append(record);
  }

  private begin(): Term {
    const { transport, log, ledger } = this.parts;
    const term: Term = new Term(
      (own) =>
        new Dispatcher({
          transport,
          log,
          stateId: () => own.reader.state.id,
          onDispatched: (dispatch) => {
            this.noteIn(own, { op: 'dispatched', dispatch });
          },
          onDoubtful: (dispatch) => {
            this.noteIn(own, { op: 'dispatch again', dispatch });
          },
        }),
      (own) =>
        new LogReader(
          {
            dispatch: (job) => {
              if (own.isKeeping) own.dispatcher.dispatch(job);
            },
          },
          (problem) => {
            if (own.isKeeping) log.error(`Ledger ${ledger}: ${problem}`);
          },
          own.nonce,
        ),
      this.parts.lostJobs,
    );
    const claim: RecordHead = { kind: 'claim', by: term.nonce, stateId: newStateId(), at: Date.now() };
    // What was given so far is the past; when the claim comes back, the past is complete.
    this.append(term, encodeFrame(claim), []);
    this.membership.takeRequests();
    return term;
  }

  /** The past has been read, and from here on nobody else's records count. */
  private async keep(term: Term): Promise<void> {
    this.arrive(term);
    if (!(await this.load(term)) || this.isOver(term)) return;
    term.isKeeping = true;
    term.isChanged = true;
    this.complaint = undefined;
    if (term.reader.state.sending.size > 0) this.noteIn(term, { op: 'dispatch all again' });
    this.flush(term);
    this.parts.onKeeping();
  }

  /** A log without a past: it is new, or it was lost. What a persister kept is the state then. */
  private async load(term: Term): Promise<boolean> {
    const { persister } = this.parts;
    if (persister === undefined || term.reader.state.lastPlace > 0 || term.reader.state.partitions.size > 0) {
      return true;
    }
    try {
      await persister.store.init(persister.id);
      const bytes = await persister.store.load(persister.id);
      if (bytes === undefined || this.isOver(term)) return true;
      const { state } = term.reader;
      try {
        decodeState(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), state);
      } catch (error) {
        throw new LedgerStateError(persister.id, error instanceof Error ? error.message : String(error), {
          cause: error,
        });
      }
      // What happened after it was stored is unknown: jobs that were sent since belong to another state.
      state.beginAnew(newStateId(), Date.now());
      await this.writeSnapshot(term);
      return true;
    } catch (error) {
      this.giveUp(term, 'its stored state could not be loaded', error);
      return false;
    }
  }

  private answer(term: Term, applied: readonly AppliedOperation[]): void {
    const record = this.arrive(term);
    term.isChanged = true;
    if (applied.length > 0) this.parts.reply(applied);
    for (const request of record?.requests ?? []) request.ack();
    if (term.arrived.length > 0 || term.own.length > 0) this.flushSoon(term);
    this.snapshotIfDue(term);
  }

  /** Logs an operation of the keeper's own, when the next requests are logged or a little later. */
  private noteIn(term: Term, operation: Operation): void {
    if (term.isOver) return;
    term.own.push(operation);
    term.ownTimer ??= setTimeout(() => {
      term.ownTimer = undefined;
      this.flush(term);
    }, OWN_OPERATIONS_MS);
  }

  private flushSoon(term: Term): void {
    if (term.isFlushDue || term.underWay.length >= RECORDS_UNDER_WAY) return;
    term.isFlushDue = true;
    setImmediate(() => {
      term.isFlushDue = false;
      this.flush(term);
    });
  }

  private flush(term: Term): void {
    if (!term.isKeeping || term.isOver || term.isSnapshotting) return;
    if (term.underWay.length >= RECORDS_UNDER_WAY || (term.arrived.length === 0 && term.own.length === 0))
      return;
    let bytes = 0;
    let count = 0;
    while (count < term.arrived.length && bytes < RECORD_BYTES)
      bytes += term.arrived[count++]?.body.length ?? 0;
    const requests = term.arrived.splice(0, count);
    const head: RecordHead = {
      kind: 'requests',
      by: term.nonce,
      at: Date.now(),
      maxWaitingJobs: this.parts.maxWaitingJobs,
      own: term.own.splice(0),
    };
    clearTimeout(term.ownTimer);
    term.ownTimer = undefined;
    this.append(
      term,
      encodeFrame(
        head,
        requests.map(({ body }) => body),
      ),
      requests,
    );
  }

  private snapshotIfDue(term: Term): void {
    const isDue =
      term.recordsSinceSnapshot >= RECORDS_TO_SNAPSHOT ||
      (term.recordsSinceSnapshot >= RECORDS_TO_SMALL_SNAPSHOT &&
        term.bytesSinceSnapshot >= 2 * term.snapshotBytes) ||
      term.bytesSinceSnapshot >= Math.max(BYTES_TO_SNAPSHOT, 2 * term.snapshotBytes) ||
      performance.now() - term.snapshotAt >= SNAPSHOT_MS;
    if (isDue && term.isKeeping && !term.isSnapshotting) void this.writeSnapshot(term);
  }

  /** Requests wait meanwhile: a snapshot is of one moment. The rest of the process has its turns between the parts. */
  private async writeSnapshot(term: Term): Promise<void> {
    term.isSnapshotting = true;
    await this.untilUnderWay(term, 0);
    let first = true;
    let bytes = 0;
    for (const part of partsOf(term.reader.state)) {
      if (this.isOver(term)) return;
      const head: RecordHead = { kind: 'snapshot', by: term.nonce, first };
      bytes += part.length;
      first = false;
      this.append(term, encodeFrame(head, [part]), []);
      await nextTurn();
      await this.untilUnderWay(term, PARTS_UNDER_WAY);
    }
    term.snapshotBytes = bytes;
  }

  /** Until no more than so many records are on their way, or the term is over. */
  private async untilUnderWay(term: Term, most: number): Promise<void> {
    while (term.underWay.length > most && !this.isOver(term)) {
      await new Promise<void>((resolve) => (term.onArrival = resolve));
    }
  }

  private arrive(term: Term): RecordUnderWay | undefined {
    const record = term.underWay.shift();
    term.onArrival?.();
    return record;
  }

  private onSnapshotPart(term: Term, isFirst: boolean, isComplete: boolean): void {
    this.arrive(term);
    if (isFirst) term.snapshotBegin = term.received - 1;
    if (!isComplete) return;
    this.membership.trim(term.snapshotBegin - term.trimmed);
    term.trimmed = term.snapshotBegin;
    term.recordsSinceSnapshot = 0;
    term.bytesSinceSnapshot = 0;
    term.snapshotAt = performance.now();
    term.isSnapshotting = false;
    this.flush(term);
  }

  private look(): void {
    const { term } = this;
    if (term === undefined || term.isOver) return;
    const now = performance.now();
    const [oldest] = term.underWay;
    // The claim comes back behind the whole past, and is late when that has stopped to come.
    const waitsSince = term.isKeeping ? oldest?.sentAt : Math.max(oldest?.sentAt ?? 0, term.recordAt);
    if (oldest !== undefined && now - (waitsSince ?? now) > LATE_MS && !this.membership.isBlocked) {
      this.stepDown('a record did not come back');
      return;
    }
    if (!term.isKeeping) return;
    this.snapshotIfDue(term);
    if (now - this.lastTickAt >= TICK_MS) {
      this.lastTickAt = now;
      this.noteIn(term, { op: 'tick' });
    }
    this.probe(term, now);
    if (now - this.lastLookAt >= LOOK_MS && !this.isLooking) void this.lookForLost(term);
    const { persister } = this.parts;
    if (persister !== undefined && term.isChanged && now - this.lastStoreAt >= persister.intervalMs) {
      void this.store(term);
    }
  }

  /** After a split of the broker's cluster a consumer can be left that the queue has forgotten. */
  private probe(term: Term, now: number): void {
    if (term.probedAt > term.requestAt && now - term.probedAt > PROBE_LATE_MS) {
      if (!this.membership.isBlocked) this.stepDown('requests do not come');
    } else if (term.probedAt <= term.requestAt && now - term.requestAt > IDLE_MS) {
      term.probedAt = now;
      this.parts.transport.request(this.parts.ledger, PROBE);
    }
  }

  private async lookForLost(term: Term): Promise<void> {
    this.isLooking = true;
    try {
      const lost = await term.lostJobs.look(term.reader.state, Date.now());
      if (lost.length > 0 && !term.isOver) {
        this.parts.log.warn(
          `Ledger ${this.parts.ledger}: ${lost.length} jobs are not in their queues any more (removed by hand?); their keys are free`,
        );
        for (const operation of lost) this.noteIn(term, operation);
      }
    } catch {
      // Not connected, or without the right to look: the next time will tell.
    }
    this.lastLookAt = performance.now();
    this.isLooking = false;
  }

  private async store(term: Term): Promise<void> {
    const { persister, log, ledger } = this.parts;
    if (persister === undefined || this.isStoring) return;
    this.isStoring = true;
    term.isChanged = false;
    try {
      await persister.store.store(persister.id, encodeState(term.reader.state));
    } catch (error) {
      term.isChanged = true;
      log.error(`The state of ledger ${ledger} could not be stored: ${oneLine(String(error))}; trying on`);
    }
    this.lastStoreAt = performance.now();
    this.isStoring = false;
  }

  /** A call, for it changes while something is awaited. */
  private isOver(term: Term): boolean {
    return term.isOver;
  }

  private giveUp(term: Term, detail: string, error: unknown): void {
    const { ledger, log } = this.parts;
    const reason = oneLine(error instanceof Error ? error.message : String(error));
    const complaint = `Ledger ${ledger} can't be kept here, ${detail}: ${reason}`;
    if (complaint !== this.complaint) log.error(complaint, error instanceof Error ? error.stack : undefined);
    this.complaint = complaint;
    this.stop(term);
    // At once, it would go round as fast as the broker can choose.
    term.givenUp = setTimeout(() => {
      this.stepDown(detail);
    }, GIVE_UP_MS);
  }

  private stepDown(detail: string): void {
    // `onLost` follows.
    this.membership.stepDown(detail);
  }

  private end(): void {
    const { term } = this;
    if (term === undefined) return;
    this.term = undefined;
    clearTimeout(term.givenUp);
    this.stop(term);
  }

  private stop(term: Term): void {
    term.isOver = true;
    term.onArrival?.();
    term.dispatcher.stop();
    clearTimeout(term.ownTimer);
    term.isKeeping = false;
  }
}

function newStateId(): string {
  return randomBytes(6).toString('base64url');
}
