// The jobs that an operator, or a definition that is switched off, holds back; and the copies that became void by that.
import { secondsUntil } from '../../job/delays';
import type { DispatchRoute } from '../../ledger-transport';
import type { HeldJobRow, HeldReason, HoldReply, Operation, ReleaseReply, Reply } from '../operation';
import type { OperationContext } from './operation-context';
import type { Line, PartitionState } from './partition-state';
import { KeyedJob } from './partition-state';
import { placeOf } from './survey';

type HoldOperation = Extract<
  Operation,
  {
    readonly op:
      | 'hold'
      | 'undo hold'
      | 'release'
      | 'release all'
      | 'is moved'
      | 'met moved'
      | 'is held'
      | 'held jobs'
      | 'held reasons';
  }
>;

/** The state that holds jobs. */
export interface HoldsHost {
  readonly partitions: ReadonlyMap<string, PartitionState>;
  /** The partition, begun if it is new. */
  readonly partition: (id: string) => PartitionState;
  /** How many jobs have their bytes with the ledger because they wait. */
  readonly waitingCount: () => number;
  readonly addToWaiting: (count: number) => void;
  readonly newPlace: () => number;
  readonly takeQueueKey: (job: KeyedJob) => void;
  readonly leaveLine: (job: KeyedJob) => void;
  readonly waitInLine: (job: KeyedJob, line: Line) => void;
  readonly passOn: (job: KeyedJob) => void;
  /** Whatever the broker has or will have of it doesn't count. */
  readonly recall: (job: KeyedJob) => void;
  readonly send: (job: KeyedJob, route: DispatchRoute) => void;
  /** Nothing is left of it. */
  readonly forget: (job: KeyedJob) => void;
  readonly tidy: (id: string) => void;
  readonly onStandingChange: () => void;
}

const OK: Reply = Object.freeze({});
/** Who is told to run now comes before all that wait in the queue. */
const NOW: DispatchRoute = { kind: 'express', isNow: true };
const NORMAL: DispatchRoute = { kind: 'normal' };

export class Holds {
  constructor(private readonly host: HoldsHost) {}

  apply(operation: HoldOperation, context: OperationContext): Reply {
    const partition = 'partition' in operation ? this.host.partitions.get(operation.partition) : undefined;
    switch (operation.op) {
      case 'hold':
        return { ...this.hold(operation, context) };
      case 'undo hold':
        return this.undo(operation);
      case 'release':
        return { ...this.release(operation, context.at) };
      case 'release all':
        return this.releaseAll(operation, context.at);
      case 'is moved':
        return { yes: partition?.moved.has(copyOf(operation)) === true };
      case 'met moved':
        return { removed: this.meet(operation) };
      case 'is held':
        return { why: partition?.jobs.get(operation.id)?.heldWhy };
      case 'held jobs':
        return { jobs: rows(partition, operation.why, operation.count) };
      case 'held reasons':
        return { reasons: this.reasons() };
    }
  }

  /** Its bytes must be with the ledger; whoever had it before has to have left it. */
  take(job: KeyedJob, why: string, at: number): void {
    job.phase = 'held';
    job.heldWhy = why;
    job.since = at;
    job.partition.addHeld(job);
    this.host.addToWaiting(1);
  }

  /** It is held no longer, for whatever reason. */
  leave(job: KeyedJob, at?: number): void {
    if (job.phase !== 'held') return;
    const { partition } = job;
    partition.removeHeld(job);
    job.heldWhy = undefined;
    this.host.addToWaiting(-1);
    if (job.copiesQueuedAt === undefined) return;
    const key = copyOf({ id: job.id, queuedAt: job.copiesQueuedAt });
    const moved = partition.moved.get(key);
    if (moved === undefined) return;
    partition.moved.delete(key);
    // Its copies have gone; or they may come as long as after a hold of now.
    if (!moved.isMet) partition.moved.set(key, { ...moved, at: at ?? moved.at });
  }

  /** @param since entries of before are over, but for those whose job is still held */
  expire(partition: PartitionState, since: number): void {
    if (partition.cancelsKeptUntil > 0) return;
    for (const [key, { id, at }] of partition.moved) {
      if (at > since) return;
      if (partition.jobs.get(id)?.phase === 'held') continue;
      partition.moved.delete(key);
    }
  }

  private hold(operation: Operation & { op: 'hold' }, context: OperationContext): HoldReply {
    const { id, queuedAt, isDelivered = false } = operation;
    const partition = this.host.partition(operation.partition);
    const job = partition.jobs.get(id);
    if (job === undefined) return this.takeOver(partition, operation, context);
    // What was enqueued anew under the id of a job that is here is another job.
    const { copiesQueuedAt } = job;
    const isSame = isDelivered
      ? copiesQueuedAt === queuedAt
      : copiesQueuedAt === undefined || copiesQueuedAt === queuedAt;
    if (!isSame) return { met: 'unseen', refused: true };
    const met = placeOf(job, context.at);
    // The copy that was delivered is one of a job that is here already.
    if (isDelivered) return { met };
    return this.holdKnown(job, met, operation, context);
  }

  private holdKnown(
    job: KeyedJob,
    met: HoldReply['met'],
    { why, body }: Operation & { op: 'hold' },
    { at, text, maxWaitingJobs }: OperationContext,
  ): HoldReply {
    if (job.cancelReason !== undefined) return { met, cancelled: true };
    if (job.phase === 'running') return { met };
    // Whether all nodes have heard of an earlier hold is not known here.
    const moved = job.copiesQueuedAt === undefined ? {} : { moved: true };
    if (job.phase === 'held') {
      job.partition.removeHeld(job);
      job.heldWhy = why;
      job.partition.addHeld(job);
      return { met, ...moved };
    }
    if (job.phase !== 'waiting' && this.host.waitingCount() >= maxWaitingJobs)
      return { met, full: maxWaitingJobs };
    // Where the ledger has them, its bytes are the latest: an attempt may have been counted meanwhile.
    const bytes = job.body ?? text(body);
    if (job.phase === 'waiting') this.host.leaveLine(job);
    else this.host.passOn(job);
    this.host.recall(job);
    job.body = bytes;
    this.host.takeQueueKey(job);
    this.take(job, why, at);
    return { met, ...moved };
  }

  /** Of a job that the ledger has not sent: it becomes the ledger's. */
  private takeOver(
    partition: PartitionState,
    operation: Operation & { op: 'hold' },
    { at, text, maxWaitingJobs }: OperationContext,
  ): HoldReply {
    const { id, queue, queuedAt, runAt, why, body, hasKeys = false, isDelivered = false } = operation;
    const refusal = ((): HoldReply | undefined => {
      // The ledger knows every job with keys that there is.
      if (hasKeys) return { met: 'unseen', refused: true };
      if (partition.cancelled.has(id)) return { met: 'unseen', cancelled: true };
      if (this.host.waitingCount() >= maxWaitingJobs) return { met: 'unseen', full: maxWaitingJobs };
      return undefined;
    })();
    if (refusal !== undefined) {
      this.host.tidy(partition.id);
      return refusal;
    }
    const job = new KeyedJob(partition, id, queue, undefined, undefined, this.host.newPlace());
    job.body = text(body);
    job.runAt = runAt;
    job.copiesQueuedAt = queuedAt;
    partition.jobs.set(id, job);
    this.take(job, why, at);
    // The delivered copy is its holder's to acknowledge; any other is void wherever it turns up.
    if (isDelivered) return { met: 'unseen' };
    partition.moved.set(copyOf(operation), { id, queuedAt, at, isMet: false });
    this.host.onStandingChange();
    return { met: 'unseen', moved: true };
  }

  /** The copy that was to become void runs, and counts. */
  private undo({ partition: partitionId, id, queuedAt }: Operation & { op: 'undo hold' }): Reply {
    const partition = this.host.partitions.get(partitionId);
    const job = partition?.jobs.get(id);
    // Released meanwhile, the ledger's counts: what comes of the run's copy stays void.
    if (partition === undefined || job?.phase !== 'held' || job.copiesQueuedAt !== queuedAt) return OK;
    if (!partition.moved.delete(copyOf({ id, queuedAt }))) return OK;
    this.host.onStandingChange();
    this.leave(job);
    this.host.forget(job);
    return { undone: true };
  }

  private release({ partition, id, isNow = false }: Operation & { op: 'release' }, at: number): ReleaseReply {
    const job = this.host.partitions.get(partition)?.jobs.get(id);
    if (job === undefined) return { met: 'unseen' };
    const met = placeOf(job, at);
    if (job.phase === 'held') this.letGo(job, isNow, at);
    return { met };
  }

  private releaseAll({ partition: id, why, count }: Operation & { op: 'release all' }, at: number): Reply {
    const held = this.host.partitions.get(id)?.held.get(why);
    let released = 0;
    for (const job of held ?? []) {
      if (released >= count) break;
      this.letGo(job, false, at);
      released++;
    }
    return { released, left: held?.size ?? 0 };
  }

  /** It goes its way as if it were enqueued now. */
  private letGo(job: KeyedJob, isNow: boolean, at: number): void {
    this.leave(job, at);
    if (isNow) job.runAt = undefined;
    job.place = this.host.newPlace();
    const seconds = job.runAt === undefined ? 0 : secondsUntil(job.runAt, at);
    if (seconds > 0) {
      this.host.send(job, { kind: 'delay', seconds });
      return;
    }
    const line = job.executionKey === undefined ? undefined : job.partition.lineOf(job.executionKey);
    const first = line?.next;
    // No two may have one place: a state that is read back would have them in another order.
    if (isNow && first !== undefined) job.place = first.place - 1 / (job.place + 1);
    if (line?.holder !== undefined) {
      this.host.waitInLine(job, line);
      return;
    }
    if (line !== undefined) line.holder = job;
    this.host.send(job, isNow ? NOW : NORMAL);
  }

  /** @returns whether nothing is left of the entry */
  private meet({ partition: partitionId, id, queuedAt }: Operation & { op: 'met moved' }): boolean {
    const partition = this.host.partitions.get(partitionId);
    const moved = partition?.moved.get(copyOf({ id, queuedAt }));
    if (partition === undefined || moved === undefined) return false;
    // While its job is held no copy may run, be it one whose acknowledgement got lost.
    if (partition.jobs.get(id)?.phase === 'held') {
      partition.moved.set(copyOf({ id, queuedAt }), { ...moved, isMet: true });
      return false;
    }
    partition.moved.delete(copyOf({ id, queuedAt }));
    this.host.onStandingChange();
    this.host.tidy(partitionId);
    return true;
  }

  private reasons(): HeldReason[] {
    return [...this.host.partitions.values()].flatMap(({ id, held }) =>
      [...held].map(([why, { size }]): HeldReason => [id, why, size]),
    );
  }
}

function rows(partition: PartitionState | undefined, why: string | undefined, count: number): HeldJobRow[] {
  const found: HeldJobRow[] = [];
  for (const [reason, jobs] of partition?.held ?? []) {
    if (why !== undefined && reason !== why) continue;
    for (const { id, queue, since } of jobs) {
      if (found.length >= count) return found;
      found.push([id, queue, reason, since]);
    }
  }
  return found;
}

/** Job ids hold no space. What was enqueued at another time under the same id is another job. */
function copyOf({ id, queuedAt }: { readonly id: string; readonly queuedAt: number }): string {
  return `${id} ${queuedAt}`;
}
