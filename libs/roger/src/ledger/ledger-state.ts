// A ledger's state: which keys are held, who waits, what was sent. Pure: the same operations give the same state anywhere.
import { secondsUntil } from '../job/delays';
import type { DispatchRoute } from '../ledger-transport';
import type {
  Cancelled,
  ClaimReply,
  DispatchToken,
  EnqueueReply,
  LedgerOutcome,
  Operation,
  Reply,
  Standing,
  StandingChange,
} from './operation';
import type { Line } from './state/partition-state';
import { KeyedJob, Lease, PartitionState } from './state/partition-state';
import type { OperationContext } from './state/operation-context';
import { Holds } from './state/holds';
import { Sessions } from './state/sessions';
import { placeOf, survey } from './state/survey';
import { Timetable } from './state/timetable';

/** Cancels that never meet their job (and are not said to be kept for longer), and jobs that never turn up again, go after a day. */
const KEPT_MS = 24 * 60 * 60 * 1_000;
/** Longer than any request can take: what it may ask twice is remembered until then. */
const SILENT_MS = 10 * 60 * 1_000;

/** What has to happen outside. Told while an operation is applied, and not when it is only made up for. */
export interface LedgerEffects {
  /** Send the job out, under its present dispatch number and by its present route. */
  dispatch(job: KeyedJob): void;
}

const OK: Reply = Object.freeze({});
const REFUSED: Reply = Object.freeze({ refused: true });
const STALE: ClaimReply = Object.freeze({ claim: 'stale' });

export class LedgerState {
  /** Given at the first claim; jobs that were sent out under another one belong to a state that is gone. */
  id = '';
  readonly partitions = new Map<string, PartitionState>();
  readonly sessions = new Sessions();
  /** Sent out and not known to have arrived, by dispatch number. */
  readonly sending = new Map<number, KeyedJob>();
  readonly leases = new Map<number, Lease>();
  readonly missing = new Set<KeyedJob>();
  /** Jobs in line and those that are held, over all partitions. */
  waitingCount = 0;
  lastDispatch = 0;
  lastFence = 0;
  lastPlace = 0;
  /** Until when the ledger was surely kept, in ms since the epoch; 0: it is new. */
  keptAt = 0;
  /** Grows with every cancel and pause that nodes have to know of. */
  standingVersion = 0;

  private readonly timetable = new Timetable({
    stateId: () => this.id,
    partitions: this.partitions,
    partition: (id) => this.partition(id),
    enqueue: (operation, context) => this.enqueue(operation, context),
    nextRevision: () => ++this.lastPlace,
    tidy: (id) => this.tidy(id),
  });

  private readonly holds = new Holds({
    partitions: this.partitions,
    partition: (id) => this.partition(id),
    waitingCount: () => this.waitingCount,
    addToWaiting: (count) => (this.waitingCount += count),
    newPlace: () => ++this.lastPlace,
    takeQueueKey: (job) => this.takeQueueKey(job),
    leaveLine: (job) => this.leaveLine(job),
    waitInLine: (job, line) => this.waitInLine(job, line),
    passOn: (job) => this.passOn(job),
    recall: (job) => this.recall(job),
    send: (job, route) => this.send(job, route),
    forget: (job) => this.forget(job),
    tidy: (id) => this.tidy(id),
    onStandingChange: () => this.standingVersion++,
  });

  constructor(private readonly effects: LedgerEffects) {}

  apply(operation: Operation, context: OperationContext): Reply {
    switch (operation.op) {
      case 'enqueue':
        return { ...this.enqueue(operation, context) };
      case 'enqueue held':
        return { ...this.enqueue({ ...operation, op: 'enqueue' }, context, operation.why) };
      case 'hold':
      case 'undo hold':
      case 'release':
      case 'release all':
      case 'is moved':
      case 'met moved':
      case 'is held':
      case 'held jobs':
      case 'held reasons':
        return this.holds.apply(operation, context);
      case 'claim':
        return { ...this.claim(operation, context) };
      case 'adopt':
        return { ...this.adopt(operation, context) };
      case 'park':
        return this.park(operation, context);
      case 'settle':
        return { ...this.settle(operation, context) };
      case 'bid farewell':
        return this.bidFarewell(operation);
      case 'cancel':
        return this.cancel(operation, context);
      case 'met':
        this.partitions.get(operation.partition)?.cancelled.delete(operation.id);
        this.standingVersion++;
        return this.tidy(operation.partition);
      case 'is cancelled':
        return { yes: this.isCancelled(operation) };
      case 'keep cancels':
        return this.keepCancels(operation);
      case 'discard':
        return this.discard(operation);
      case 'pause':
        this.partition(operation.partition).paused.add(operation.queue);
        this.standingVersion++;
        return OK;
      case 'resume':
        this.partitions.get(operation.partition)?.paused.delete(operation.queue);
        this.standingVersion++;
        return this.tidy(operation.partition);
      case 'purge waiting':
        return { removed: this.purgeWaiting(operation) };
      case 'standing':
        return { ...this.standing() };
      case 'paused':
        return { queues: [...(this.partitions.get(operation.partition)?.paused ?? [])] };
      case 'survey':
        return { ...survey(this.partitions.get(operation.partition), operation.count, context.at) };
      case 'is queued':
        return this.describe(this.partitions.get(operation.partition)?.queueKeys.get(operation.key));
      case 'is executing':
        return this.describe(this.runningUnder(operation));
      case 'remove queued':
        return this.removeQueued(operation);
      case 'remove executed':
        return this.removeExecuted(operation);
      case 'schedule':
      case 'unschedule':
      case 'pause schedule':
      case 'resume schedule':
      case 'run schedule':
      case 'cron tick':
      case 'schedules':
        return this.timetable.apply(operation, context);
      case 'dispatched':
        this.dispatched(operation.dispatch, context.at);
        return OK;
      case 'dispatch again':
        this.dispatchAgain(operation.dispatch, context.at);
        return OK;
      case 'dispatch all again':
        for (const dispatch of [...this.sending.keys()]) this.dispatchAgain(dispatch, context.at);
        return OK;
      case 'missing':
        this.miss(operation, context.at);
        return OK;
      case 'tick':
        this.tick(context.at);
        return OK;
    }
  }

  /**
   * Becomes another state: of what was sent out before, only what is known here counts, and what is not is taken in.
   * @param at a time, in ms since the epoch: fences grow even over a loss of what they were
   */
  beginAnew(id: string, at: number): void {
    const formerId = this.id;
    this.id = id;
    this.lastFence = Math.max(this.lastFence, at);
    for (const lease of [...this.leases.values()]) {
      for (const job of [...lease.jobs].reverse()) {
        this.release(job, lease);
        if (job.lease === undefined) continue;
        // Its message is with somebody, or back in its queue: its next claim shows.
        lease.remove(job);
        job.phase = 'queued';
        job.since = at;
        job.partition.addQueued(job);
      }
      this.leases.delete(lease.dispatch);
    }
    for (const { jobs } of this.partitions.values()) {
      for (const job of jobs.values()) {
        if (job.phase !== 'queued' && job.phase !== 'missing') continue;
        job.adoptedFrom ??= { state: formerId, dispatch: job.dispatch };
      }
    }
  }

  /**
   * Somebody keeps the ledger again. If nobody did for want of a broker, what was on its way then comes later by that: the
   * broker's own clock stood still.
   */
  wasUnkeptUntil(at: number): void {
    const { keptAt } = this;
    this.keptAt = Math.max(keptAt, at);
    if (keptAt === 0 || at <= keptAt) return;
    for (const { queued } of this.partitions.values()) {
      for (const jobs of queued.values())
        for (const job of jobs) if (job.since > keptAt) job.since += at - keptAt;
    }
  }

  /** What every node has to hear of an operation; undefined: nothing. */
  changeOf(operation: Operation, reply: Reply): StandingChange | undefined {
    // It may be anything.
    if (reply['malformed'] === true) return undefined;
    switch (operation.op) {
      case 'pause':
      case 'resume':
        return { kind: operation.op, partition: operation.partition, queue: operation.queue };
      case 'met':
        return { kind: 'met', partition: operation.partition, id: operation.id };
      case 'hold':
      case 'met moved': {
        if (reply['moved'] !== true && reply['removed'] !== true) return undefined;
        const { partition, id, queuedAt } = operation;
        return { kind: operation.op === 'hold' ? 'moved' : 'unmoved', partition, id, queuedAt };
      }
      case 'keep cancels':
        return { kind: 'keep cancels', partition: operation.partition, until: operation.until };
      case 'cancel': {
        const { partition, id, reason } = operation;
        if (reply['met'] === 'unseen') return { kind: 'cancel', partition, id, reason };
        const fence = this.partitions.get(partition)?.jobs.get(id)?.lease?.fence;
        return fence === undefined ? undefined : { kind: 'cancel', partition, id, reason, fence };
      }
      default:
        return undefined;
    }
  }

  standing(): Standing {
    const partitions = [...this.partitions.values()];
    const running = [...this.leases.values()].flatMap(({ jobs }) => jobs);
    return {
      state: this.id,
      version: this.standingVersion,
      cancelled: [
        ...partitions.flatMap(({ id, cancelled }) =>
          [...cancelled].map(([job, { reason }]): Cancelled => [id, job, reason]),
        ),
        ...running.flatMap(({ partition, id, cancelReason, lease }) =>
          cancelReason === undefined || lease === undefined
            ? []
            : [[partition.id, id, cancelReason, lease.fence] as const],
        ),
      ],
      moved: partitions.flatMap(({ id, moved }) =>
        [...moved.values()].map(({ id: job, queuedAt }) => [id, job, queuedAt] as const),
      ),
      paused: partitions.flatMap(({ id, paused }) => [...paused].map((queue) => [id, queue] as const)),
      cancelsKept: partitions.flatMap(({ id, cancelsKeptUntil }) =>
        cancelsKeptUntil === 0 ? [] : [[id, cancelsKeptUntil] as const],
      ),
    };
  }

  partition(id: string): PartitionState {
    const existing = this.partitions.get(id);
    if (existing !== undefined) return existing;
    const partition = new PartitionState(id);
    this.partitions.set(id, partition);
    return partition;
  }

  // --- enqueue

  private enqueue(
    { partition: id, id: jobId, queue, queueKey, executionKey, body, runAt }: Operation & { op: 'enqueue' },
    { at, text, maxWaitingJobs }: OperationContext,
    heldWhy?: string,
  ): EnqueueReply {
    const bytes = text(body);
    const partition = this.partition(id);
    const existing = partition.jobs.get(jobId);
    // The same job asked for anew: it is there. One that was cancelled and not yet met is in the way.
    if (existing !== undefined) return existing.cancelReason === undefined ? {} : { duplicate: jobId };
    const holder = queueKey === undefined ? undefined : partition.queueKeys.get(queueKey);
    if (holder !== undefined) return { duplicate: holder.id };
    const cancel = partition.cancelled.get(jobId);
    const isDelayed = runAt !== undefined && secondsUntil(runAt, at) > 0;
    const isHeld = heldWhy !== undefined && cancel === undefined;
    // What is not due yet has no turn, nor has what is held or won't run.
    const line =
      executionKey === undefined || cancel !== undefined || isDelayed || isHeld
        ? undefined
        : partition.lineOf(executionKey);
    if ((isHeld || line?.holder !== undefined) && this.waitingCount >= maxWaitingJobs) {
      this.tidy(id);
      return { full: maxWaitingJobs };
    }

    const job = new KeyedJob(partition, jobId, queue, queueKey, line?.key ?? executionKey, ++this.lastPlace);
    job.body = bytes;
    job.runAt = runAt;
    if (cancel !== undefined) {
      // The cancel was there before the job, which won't run, and is used up by it.
      job.cancelReason = cancel.reason;
      partition.cancelled.delete(jobId);
      this.standingVersion++;
    }
    partition.jobs.set(jobId, job);
    this.takeQueueKey(job);
    if (isHeld) {
      this.holds.take(job, heldWhy, at);
    } else if (line === undefined) {
      this.send(job, cancel === undefined ? this.routeUntilDue(job, at) : NORMAL);
    } else if (line.holder === undefined) {
      line.holder = job;
      this.send(job, NORMAL);
    } else {
      this.waitInLine(job, line);
    }
    return {};
  }

  private takeQueueKey(job: KeyedJob): void {
    const { queueKey, partition } = job;
    if (queueKey === undefined || job.cancelReason !== undefined || partition.queueKeys.has(queueKey)) return;
    partition.queueKeys.set(queueKey, job);
    job.holdsQueueKey = true;
  }

  private freeQueueKey(job: KeyedJob): void {
    if (!job.holdsQueueKey || job.queueKey === undefined) return;
    job.partition.queueKeys.delete(job.queueKey);
    job.holdsQueueKey = false;
  }

  private waitInLine(job: KeyedJob, line: Line): void {
    job.phase = 'waiting';
    job.dispatch = 0;
    job.adoptedFrom = undefined;
    line.insert(job);
    this.waitingCount++;
  }

  private leaveLine(job: KeyedJob): void {
    if (job.phase !== 'waiting') return;
    this.lineOf(job)?.remove(job);
    this.waitingCount--;
  }

  private lineOf(job: KeyedJob): Line | undefined {
    return job.executionKey === undefined ? undefined : job.partition.lines.get(job.executionKey);
  }

  /** Gives the turn to the next in line, if it was this job's. */
  private passOn(job: KeyedJob): void {
    const line = this.lineOf(job);
    if (line?.holder !== job) return;
    // Those that were granted together run one after the other on one node.
    const successor = job.lease?.jobs.find((one) => one !== job);
    line.holder = successor ?? line.next;
    if (line.holder === undefined) {
      job.partition.lines.delete(line.key);
    } else if (successor === undefined) {
      this.leaveLine(line.holder);
      this.send(line.holder, EXPRESS);
    }
  }

  // --- out to the broker

  /** By the delay that is left; when it is due, to its queue. */
  private routeUntilDue({ runAt }: KeyedJob, at: number): DispatchRoute {
    const seconds = runAt === undefined ? 0 : secondsUntil(runAt, at);
    return seconds === 0 ? NORMAL : { kind: 'delay', seconds };
  }

  private send(job: KeyedJob, route: DispatchRoute): void {
    job.partition.removeQueued(job);
    job.phase = 'dispatching';
    job.dispatch = ++this.lastDispatch;
    job.adoptedFrom = undefined;
    job.route = route;
    this.sending.set(job.dispatch, job);
    this.effects.dispatch(job);
  }

  /** No message of it counts until it is sent anew. */
  private recall(job: KeyedJob): void {
    this.sending.delete(job.dispatch);
    this.missing.delete(job);
    job.partition.removeQueued(job);
    job.dispatch = 0;
    job.adoptedFrom = undefined;
  }

  private dispatched(dispatch: number, at: number): void {
    const job = this.sending.get(dispatch);
    if (job === undefined) return;
    this.sending.delete(dispatch);
    job.body = undefined;
    if (job.route?.kind === 'bury') return;
    job.phase = 'queued';
    job.since = at + secondsOnTheWay(job.route) * 1_000;
    job.partition.addQueued(job);
  }

  private dispatchAgain(dispatch: number, at: number): void {
    const job = this.sending.get(dispatch);
    if (job === undefined) return;
    this.sending.delete(dispatch);
    this.send(job, job.route?.kind === 'delay' ? this.routeUntilDue(job, at) : (job.route ?? NORMAL));
  }

  // --- run

  /** A copy that was sent out under an earlier number doesn't count. */
  protected isPresentDispatch(job: KeyedJob, dispatch: number): boolean {
    return job.dispatch === dispatch;
  }

  protected isPresentFence(lease: Lease, fence: number): boolean {
    return lease.fence === fence;
  }

  private claim(operation: Operation & { op: 'claim' }, context: OperationContext): ClaimReply {
    const { state, dispatch, chain } = operation;
    if (state !== this.id) return this.claimForeign(operation);
    const lease = this.leases.get(dispatch);
    if (lease !== undefined) return this.grantAgain(lease, operation, context);
    const job = this.partitions.get(operation.partition)?.jobs.get(operation.id);
    if (job === undefined || !this.isPresentCopy(job, operation)) return STALE;
    if (!this.canRun(job)) return STALE;
    return this.take(job, operation, chain, context);
  }

  private canRun({ phase }: KeyedJob): boolean {
    return phase === 'queued' || phase === 'dispatching' || phase === 'missing';
  }

  /** A copy of a job that was adopted may be delivered again; of any other the ledger knows nothing. */
  private claimForeign({ partition, id, ...token }: Operation & { op: 'claim' }): ClaimReply {
    const job = this.partitions.get(partition)?.jobs.get(id);
    return job === undefined || this.isPresentCopy(job, token) ? { claim: 'foreign' } : STALE;
  }

  /** Whether this is the message by which the job is to run. */
  private isPresentCopy(job: KeyedJob, { state, dispatch }: DispatchToken): boolean {
    const { adoptedFrom } = job;
    if (adoptedFrom !== undefined) return adoptedFrom.state === state && adoptedFrom.dispatch === dispatch;
    return state === this.id && job.dispatch !== 0 && this.isPresentDispatch(job, dispatch);
  }

  private take(
    job: KeyedJob,
    { owner, deliveries = 0 }: Pick<Operation & { op: 'claim' }, 'owner' | 'deliveries'>,
    chain: number,
    context: OperationContext,
  ): ClaimReply {
    if (job.cancelReason !== undefined) return { claim: 'cancelled', reason: job.cancelReason };
    const line = job.executionKey === undefined ? undefined : job.partition.lineOf(job.executionKey);
    if (line !== undefined && line.holder !== job) {
      if (line.holder !== undefined) return { claim: 'wait' };
      line.holder = job;
    }
    this.arrive(job);
    this.takeQueueKey(job);
    const lease = new Lease(job.dispatch, owner, ++this.lastFence, deliveries);
    this.leases.set(lease.dispatch, lease);
    lease.add(job);
    if (line !== undefined) this.extendChain(lease, line, chain);
    return this.grant(lease, job.id, context);
  }

  /** It has arrived, whatever the broker has said of it so far. */
  private arrive(job: KeyedJob): void {
    this.sending.delete(job.dispatch);
    this.missing.delete(job);
    job.partition.removeQueued(job);
    job.body = undefined;
  }

  private extendChain(lease: Lease, line: Line, chain: number): void {
    const queue = lease.jobs[0]?.queue;
    while (lease.jobs.length < chain) {
      const { next } = line;
      if (next === undefined || next.queue !== queue) return;
      this.leaveLine(next);
      lease.add(next);
    }
  }

  private grantAgain(
    lease: Lease,
    { id, owner, deliveries = 0 }: Pick<Operation & { op: 'claim' }, 'id' | 'owner' | 'deliveries'>,
    context: Pick<OperationContext, 'addPart'>,
  ): ClaimReply {
    // The broker holds a message for one consumer at a time: whoever has it now is the only one.
    if (lease.owner !== owner) {
      // A claim of an earlier delivery, which came late.
      if (deliveries < lease.deliveries) return STALE;
      lease.deliveries = deliveries;
      lease.owner = owner;
      lease.fence = ++this.lastFence;
    }
    return this.grant(lease, id, context);
  }

  /** Answers again what was granted before, as long as it is not over. */
  claimAgain(
    operation: Operation & { op: 'claim' | 'adopt' },
    context: Pick<OperationContext, 'addPart'>,
  ): ClaimReply {
    const { partition, id, state, dispatch } = operation;
    const job = this.partitions.get(partition)?.jobs.get(id);
    const isPresent = job !== undefined && this.isPresentCopy(job, operation);
    const lease = state === this.id ? this.leases.get(dispatch) : isPresent ? job.lease : undefined;
    return lease === undefined ? STALE : this.grantAgain(lease, operation, context);
  }

  private grant(
    lease: Lease,
    deliveredId: string,
    { addPart }: Pick<OperationContext, 'addPart'>,
  ): ClaimReply {
    const jobs = lease.jobs.map(({ id, body, cancelReason }) => ({
      id,
      ...(cancelReason === undefined ? {} : { cancelled: cancelReason }),
      ...(id === deliveredId || body === undefined ? {} : { body: addPart(body) }),
    }));
    return { claim: 'granted', fence: lease.fence, jobs };
  }

  private adopt(operation: Operation & { op: 'adopt' }, context: OperationContext): ClaimReply {
    const partition = this.partition(operation.partition);
    let job = partition.jobs.get(operation.id);
    if (job !== undefined && !this.isPresentCopy(job, operation)) return STALE;
    if (job?.lease !== undefined) return this.grantAgain(job.lease, operation, context);
    if (job === undefined) {
      const { id, queue, queueKey, executionKey, state, dispatch } = operation;
      job = new KeyedJob(partition, id, queue, queueKey, executionKey, ++this.lastPlace);
      job.phase = 'queued';
      // States that are gone may have used the same numbers; a lease has one of ours.
      job.dispatch = ++this.lastDispatch;
      job.adoptedFrom = { state, dispatch };
      job.cancelReason = partition.cancelled.get(id)?.reason;
      job.since = context.at;
      partition.jobs.set(id, job);
      partition.addQueued(job);
      this.takeQueueKey(job);
    }
    return this.take(job, operation, 1, context);
  }

  private park(
    { partition, id, body, ...token }: Operation & { op: 'park' },
    { text }: OperationContext,
  ): Reply {
    const job = this.partitions.get(partition)?.jobs.get(id);
    if (job === undefined || !this.isPresentCopy(job, token)) return OK;
    // A claim that came late was granted for this message, which must not be acknowledged.
    if (job.lease !== undefined) return REFUSED;
    const bytes = text(body);
    this.arrive(job);
    this.takeQueueKey(job);
    job.body = bytes;
    this.queueUp(job);
    return OK;
  }

  /** It runs when it is its turn; who was cancelled has none and is only to be met. */
  private queueUp(job: KeyedJob): void {
    if (job.cancelReason === undefined && job.executionKey !== undefined) {
      const line = job.partition.lineOf(job.executionKey);
      if (line.holder !== undefined && line.holder !== job) {
        this.waitInLine(job, line);
        return;
      }
      line.holder = job;
    }
    this.send(job, EXPRESS);
  }

  // --- the end of a run

  private settle(
    { partition, id, fence, outcome }: Operation & { op: 'settle' },
    { at, text, maxWaitingJobs }: OperationContext,
  ): Reply {
    const job = this.partitions.get(partition)?.jobs.get(id);
    const lease = job?.lease;
    // Settled before, and the answer was lost: or it is an old run that comes late.
    if (job === undefined || lease === undefined) return OK;
    if (!this.isPresentFence(lease, fence)) return REFUSED;
    if (outcome.kind === 'hold' && this.waitingCount >= maxWaitingJobs) return { full: maxWaitingJobs };
    this.endRun(job, lease, outcome, { at, text });
    return OK;
  }

  private endRun(
    job: KeyedJob,
    lease: Lease,
    outcome: LedgerOutcome,
    { at, text }: Pick<OperationContext, 'at' | 'text'>,
  ): void {
    const body = 'body' in outcome ? text(outcome.body) : undefined;
    if (outcome.kind === 'release') {
      this.release(job, lease);
      return;
    }
    this.leaveLease(job, lease);
    switch (outcome.kind) {
      case 'done':
      case 'cancelled':
        this.forget(job);
        return;
      case 'retry':
        job.body = body;
        if (job.cancelReason === undefined) {
          this.send(job, { kind: 'retry', afterSeconds: outcome.afterSeconds });
        } else {
          this.freeQueueKey(job);
          this.send(job, EXPRESS);
        }
        return;
      case 'hold':
        this.recall(job);
        job.body = body;
        if (job.cancelReason === undefined) {
          this.holds.take(job, outcome.why, at);
        } else {
          this.freeQueueKey(job);
          this.send(job, EXPRESS);
        }
        return;
      case 'bury':
        this.forget(job);
        job.body = body;
        this.send(job, { kind: 'bury', reason: outcome.reason });
        return;
    }
  }

  private leaveLease(job: KeyedJob, lease: Lease): void {
    this.passOn(job);
    lease.remove(job);
    if (lease.jobs.length === 0) this.leases.delete(lease.dispatch);
  }

  private release(job: KeyedJob, lease: Lease): void {
    // What was delivered itself goes back by its message; the others have theirs with the ledger.
    if (job.body === undefined) return;
    const line = this.lineOf(job);
    if (line?.holder === job && job.cancelReason === undefined) {
      // Unless another of the lease goes on, the turn is of who came first: a retried one, or one released before.
      const successor = lease.jobs.find((one) => one !== job);
      const { next } = line;
      if (successor !== undefined) line.holder = successor;
      else if (next !== undefined && next.place < job.place) this.giveTurn(line);
      lease.remove(job);
    } else {
      this.leaveLease(job, lease);
    }
    if (lease.jobs.length === 0) this.leases.delete(lease.dispatch);
    if (job.cancelReason !== undefined) this.freeQueueKey(job);
    this.queueUp(job);
  }

  private giveTurn(line: Line): void {
    const { next } = line;
    if (next === undefined) return;
    line.holder = next;
    this.leaveLine(next);
    this.send(next, EXPRESS);
  }

  /** Its keys are free, and nothing is left of it. */
  private forget(job: KeyedJob): void {
    this.freeQueueKey(job);
    this.sending.delete(job.dispatch);
    this.missing.delete(job);
    job.partition.removeQueued(job);
    if (job.partition.jobs.get(job.id) === job) job.partition.jobs.delete(job.id);
    this.tidy(job.partition.id);
  }

  private tidy(id: string): Reply {
    const partition = this.partitions.get(id);
    if (partition?.isEmpty === true && partition.lines.size === 0) this.partitions.delete(id);
    return OK;
  }

  // --- cancel, and other ends

  private cancel(
    { partition: id, id: jobId, reason }: Operation & { op: 'cancel' },
    { at }: OperationContext,
  ): Reply {
    const partition = this.partition(id);
    const job = partition.jobs.get(jobId);
    this.standingVersion++;
    if (job === undefined) {
      if (!partition.cancelled.has(jobId)) partition.cancelled.set(jobId, { reason, at });
      return { met: 'unseen' };
    }
    const met = placeOf(job, at);
    if (job.cancelReason !== undefined) return { met };
    job.cancelReason = reason;
    // Who runs keeps its keys until it has stopped; the others won't run any more.
    if (job.phase === 'running') return { met };
    this.freeQueueKey(job);
    if (job.phase === 'waiting' || job.phase === 'held') {
      // Whoever meets it tells the callbacks.
      this.leaveLine(job);
      this.holds.leave(job, at);
      this.send(job, EXPRESS);
    } else {
      this.passOn(job);
    }
    return { met };
  }

  private keepCancels({ partition: id, until }: Operation & { op: 'keep cancels' }): Reply {
    const partition = this.partition(id);
    partition.cancelsKeptUntil = Math.max(partition.cancelsKeptUntil, until);
    this.standingVersion++;
    return OK;
  }

  private isCancelled({ partition: id, id: jobId }: { partition: string; id: string }): boolean {
    const partition = this.partitions.get(id);
    return (
      partition !== undefined &&
      (partition.cancelled.has(jobId) || partition.jobs.get(jobId)?.cancelReason !== undefined)
    );
  }

  private bidFarewell({ partition, id, ...token }: Operation & { op: 'bid farewell' }): Reply {
    const job = this.partitions.get(partition)?.jobs.get(id);
    if (job?.cancelReason === undefined || !this.isPresentCopy(job, token)) return OK;
    if (job.lease !== undefined) this.leaveLease(job, job.lease);
    this.forget(job);
    return OK;
  }

  private discard({ partition, id, ...token }: Operation & { op: 'discard' }): Reply {
    const job = this.partitions.get(partition)?.jobs.get(id);
    const isPresent = job !== undefined && this.isPresentCopy(job, token);
    // The delivered job itself may have ended, and the others run under its message still.
    const lease = isPresent
      ? job.lease
      : token.state === this.id
        ? this.leases.get(token.dispatch)
        : undefined;
    for (const one of [...(lease?.jobs ?? [])].reverse()) if (lease !== undefined) this.release(one, lease);
    if (!isPresent) return OK;
    if (job.lease === undefined) this.passOn(job);
    else this.leaveLease(job, job.lease);
    this.forget(job);
    return OK;
  }

  private purgeWaiting({ partition: id, queue }: { partition: string; queue: string }): number {
    const partition = this.partitions.get(id);
    let removed = 0;
    for (const line of [...(partition?.lines.values() ?? [])]) {
      for (const job of [...line.waiting()]) {
        if (job.queue !== queue) continue;
        this.leaveLine(job);
        this.forget(job);
        removed++;
      }
    }
    return removed;
  }

  private miss({ partition, id, dispatch }: Operation & { op: 'missing' }, at: number): void {
    const job = this.partitions.get(partition)?.jobs.get(id);
    const lease = this.leases.get(dispatch);
    // The others of a lease have their bytes here, and take their places in line again.
    for (const one of [...(lease?.jobs ?? [])].reverse()) if (lease !== undefined) this.release(one, lease);
    if (job === undefined || job.dispatch !== dispatch) return;
    if (job.lease === undefined) {
      if (job.phase !== 'queued') return;
      this.passOn(job);
    } else {
      this.leaveLease(job, job.lease);
    }
    this.freeQueueKey(job);
    job.partition.removeQueued(job);
    job.phase = 'missing';
    job.since = at;
    this.missing.add(job);
  }

  private tick(at: number): void {
    this.sessions.forgetSilentSince(at - SILENT_MS);
    for (const job of this.missing) {
      // After a take-over they are in no order.
      if (job.since > at - KEPT_MS) continue;
      this.forget(job);
    }
    for (const partition of [...this.partitions.values()]) {
      if (partition.cancelsKeptUntil <= at) partition.cancelsKeptUntil = 0;
      for (const [id, cancel] of partition.cancelled) {
        if (cancel.at > at - KEPT_MS || partition.cancelsKeptUntil > 0) break;
        partition.cancelled.delete(id);
      }
      this.holds.expire(partition, at - KEPT_MS);
      this.tidy(partition.id);
    }
  }

  // --- an operator's questions and repairs

  private runningUnder({ partition, key }: { partition: string; key: string }): KeyedJob | undefined {
    const holder = this.partitions.get(partition)?.lines.get(key)?.holder;
    return holder?.phase === 'running' ? holder : undefined;
  }

  private describe(job: KeyedJob | undefined): Reply {
    return job === undefined ? OK : { job: job.id };
  }

  private removeQueued({ partition: id, key }: { partition: string; key: string }): Reply {
    const job = this.partitions.get(id)?.queueKeys.get(key);
    if (job !== undefined) this.freeQueueKey(job);
    return this.describe(job);
  }

  private removeExecuted({ partition: id, key }: { partition: string; key: string }): Reply {
    const partition = this.partitions.get(id);
    const line = partition?.lines.get(key);
    const job = line?.holder;
    if (partition === undefined || line === undefined || job === undefined) return OK;
    // Its present run may go on; its outcome is taken, but the turn is no longer its to pass on.
    line.holder = undefined;
    this.giveTurn(line);
    if (line.isEmpty) partition.lines.delete(key);
    return this.describe(job);
  }
}

/** How long it takes until a job is in its queue. */
function secondsOnTheWay(route: DispatchRoute | undefined): number {
  switch (route?.kind) {
    case 'retry':
      return route.afterSeconds;
    case 'delay':
      return route.seconds;
    default:
      return 0;
  }
}

const NORMAL: DispatchRoute = { kind: 'normal' };
const EXPRESS: DispatchRoute = { kind: 'express' };
