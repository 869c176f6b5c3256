// Writes a ledger's state down in parts, and makes a state of such parts again.
import type { DispatchRoute } from '../ledger-transport';
import { encodeFrame, Frame } from './frame';
import type { LedgerState } from './ledger-state';
import type { DispatchToken } from './operation';
import type { Phase } from './state/partition-state';
import { KeyedJob, Lease, PartitionState } from './state/partition-state';
import type { Schedule } from './state/schedule';
import type { SessionsDump } from './state/sessions';

const JOBS_PER_PART = 2_000;
const BYTES_PER_PART = 1024 * 1024;
const FORMAT = 1;
/** With held jobs, or what they leave. A reader of the first form would take them for lost. */
const FORMAT_WITH_HOLDS = 2;

/** The head of a part. The first one has the rest of the state, too. */
interface PartHead {
  readonly format: number;
  readonly part: number;
  readonly isLast: boolean;
  readonly rest: Rest | undefined;
  readonly jobs: readonly JobRow[];
  /** With the number of the part that holds its job's bytes. Absent: none. */
  readonly schedules?: readonly ScheduleEntry[];
}

type ScheduleEntry = readonly [partition: string, schedule: Omit<Schedule, 'body'>, body: number];

interface Rest {
  readonly id: string;
  readonly lastDispatch: number;
  readonly lastFence: number;
  readonly lastPlace: number;
  readonly keptAt?: number;
  readonly standingVersion: number;
  readonly sessions: SessionsDump;
  readonly leases: readonly (readonly [dispatch: number, owner: string, fence: number, deliveries: number])[];
  readonly partitions: readonly {
    readonly id: string;
    readonly cancelled: readonly (readonly [id: string, reason: string, at: number])[];
    readonly paused: readonly string[];
    readonly cancelsKeptUntil?: number;
    readonly moved?: readonly (readonly [id: string, queuedAt: number, at: number, isMet: boolean])[];
  }[];
}

type JobRow = readonly [
  partition: string,
  queue: string,
  id: string,
  queueKey: string | null,
  executionKey: string | null,
  place: number,
  phase: number,
  flags: number,
  dispatch: number,
  since: number,
  cancelReason: string | null,
  route: DispatchRoute | null,
  adoptedFrom: DispatchToken | null,
  lease: number,
  body: number,
  runAt?: number | null,
  hold?: readonly [why: string | null, copiesQueuedAt: number | null] | null,
];

const PHASES: readonly Phase[] = ['waiting', 'dispatching', 'queued', 'running', 'missing', 'held'];
const FORMATS = `${FORMAT} or ${FORMAT_WITH_HOLDS}`;
const HOLDS_QUEUE_KEY = 1;
const HAS_TURN = 2;
/** Its keys are free already; it is only on its way to the buried. */
const IS_PARTING = 4;
const NONE = -1;

/** The parts, made one by one, so that whoever writes them may pause between. The state must not change meanwhile. */
export function* partsOf(state: LedgerState): Generator<Buffer> {
  let rest: Rest | undefined = restOf(state);
  let rows: JobRow[] = [];
  let schedules: ScheduleEntry[] = [];
  let bodies: string[] = [];
  let bytes = 0;
  let part = 0;
  const format = formatOf(state);
  const take = (isLast: boolean): Buffer => {
    const more = schedules.length === 0 ? {} : { schedules };
    const head: PartHead = { format, part: part++, isLast, rest, jobs: rows, ...more };
    const encoded = encodeFrame(head, bodies);
    rest = undefined;
    rows = [];
    schedules = [];
    bodies = [];
    bytes = 0;
    return encoded;
  };
  for (const job of jobsOf(state)) {
    rows.push(rowOf(job, job.body === undefined ? NONE : bodies.length));
    if (job.body !== undefined) {
      bodies.push(job.body);
      bytes += job.body.length;
    }
    if (rows.length >= JOBS_PER_PART || bytes >= BYTES_PER_PART) yield take(false);
  }
  for (const { id, schedules: ofPartition } of state.partitions.values()) {
    for (const { body, ...schedule } of ofPartition.values()) {
      schedules.push([id, schedule, bodies.length]);
      bodies.push(body);
      bytes += body.length;
      if (schedules.length >= JOBS_PER_PART || bytes >= BYTES_PER_PART) yield take(false);
    }
  }
  yield take(true);
}

/** Those of a lease, and those that are held, come in their order. */
function* jobsOf(state: LedgerState): Generator<KeyedJob> {
  for (const { jobs } of state.leases.values()) yield* jobs;
  for (const { jobs } of state.partitions.values()) {
    for (const job of jobs.values()) if (job.lease === undefined && job.phase !== 'held') yield job;
  }
  for (const { held } of state.partitions.values()) for (const jobs of held.values()) yield* jobs;
  for (const job of state.sending.values()) if (isParting(job)) yield job;
}

function formatOf({ partitions }: LedgerState): number {
  for (const { held, moved } of partitions.values()) if (held.size + moved.size > 0) return FORMAT_WITH_HOLDS;
  return FORMAT;
}

function isKnown(format: unknown): boolean {
  return format === FORMAT || format === FORMAT_WITH_HOLDS;
}

function isParting(job: KeyedJob): boolean {
  return job.partition.jobs.get(job.id) !== job;
}

function restOf(state: LedgerState): Rest {
  return {
    id: state.id,
    lastDispatch: state.lastDispatch,
    lastFence: state.lastFence,
    lastPlace: state.lastPlace,
    keptAt: state.keptAt,
    standingVersion: state.standingVersion,
    sessions: state.sessions.dump(),
    leases: [...state.leases.values()].map(({ dispatch, owner, fence, deliveries }) => [
      dispatch,
      owner,
      fence,
      deliveries,
    ]),
    partitions: [...state.partitions.values()].map(({ id, cancelled, moved, paused, cancelsKeptUntil }) => ({
      id,
      cancelled: [...cancelled].map(([job, { reason, at }]) => [job, reason, at]),
      paused: [...paused],
      cancelsKeptUntil,
      ...(moved.size === 0
        ? {}
        : {
            moved: [...moved.values()].map(({ id: job, queuedAt, at, isMet }) => [job, queuedAt, at, isMet]),
          }),
    })),
  };
}

function rowOf(job: KeyedJob, body: number): JobRow {
  const { partition, queue, id, queueKey, executionKey, place, dispatch, since } = job;
  const line = executionKey === undefined ? undefined : partition.lines.get(executionKey);
  const flags =
    (job.holdsQueueKey ? HOLDS_QUEUE_KEY : 0) |
    (line?.holder === job ? HAS_TURN : 0) |
    (isParting(job) ? IS_PARTING : 0);
  return [
    partition.id,
    queue,
    id,
    queueKey ?? null,
    executionKey ?? null,
    place,
    PHASES.indexOf(job.phase),
    flags,
    dispatch,
    since,
    job.cancelReason ?? null,
    job.route ?? null,
    job.adoptedFrom ?? null,
    job.lease?.dispatch ?? 0,
    body,
    job.runAt ?? null,
    job.heldWhy === undefined && job.copiesQueuedAt === undefined
      ? null
      : [job.heldWhy ?? null, job.copiesQueuedAt ?? null],
  ];
}

/** A part is not what it should be. */
export class SnapshotError extends Error {}

/** Makes a state of the parts, which must come in their order. */
export class SnapshotReader {
  private parts = 0;
  /** Texts that many jobs share are kept once. */
  private readonly texts = new Map<string, string>();

  /** @param state an empty one, to be filled */
  constructor(private readonly state: LedgerState) {}

  /** @returns true at the last part. @throws SnapshotError, FrameError */
  add(bytes: Buffer): boolean {
    const frame = Frame.read(bytes);
    const head = (frame.head ?? {}) as PartHead;
    if (!isKnown(head.format)) throw new SnapshotError(`its format is ${head.format}, not ${FORMATS}`);
    if (head.part !== this.parts) throw new SnapshotError(`part ${this.parts} is missing`);
    this.parts++;
    if (head.rest !== undefined) this.addRest(head.rest);
    for (const row of head.jobs) this.addJob(row, frame);
    for (const [partition, schedule, body] of head.schedules ?? []) {
      const { queueKey, executionKey, last } = schedule;
      const whole = { ...schedule, queueKey, executionKey, last, body: frame.text(body) };
      this.state.partition(partition).schedules.set(schedule.name, whole);
    }
    return head.isLast;
  }

  private addRest({ sessions, leases, partitions, ...numbers }: Rest): void {
    const { state } = this;
    Object.assign(state, numbers);
    state.sessions.load(sessions);
    for (const [dispatch, owner, fence, deliveries] of leases)
      state.leases.set(dispatch, new Lease(dispatch, owner, fence, deliveries));
    for (const { id: partitionId, cancelled, paused, cancelsKeptUntil = 0, moved = [] } of partitions) {
      const partition = state.partition(partitionId);
      for (const [job, reason, at] of cancelled) partition.cancelled.set(job, { reason, at });
      for (const queue of paused) partition.paused.add(queue);
      for (const [job, queuedAt, at, isMet] of moved)
        partition.moved.set(`${job} ${queuedAt}`, { id: job, queuedAt, at, isMet });
      partition.cancelsKeptUntil = cancelsKeptUntil;
    }
  }

  private addJob(row: JobRow, frame: Frame): void {
    const { state } = this;
    const [partitionId, queue, id, queueKey, executionKey, place, phase, flags, dispatch, since] = row;
    const [, , , , , , , , , , cancelReason, route, adoptedFrom, lease, body, runAt, hold] = row;
    const isParting = (flags & IS_PARTING) !== 0;
    // Who is only on its way to the buried doesn't keep its partition.
    const partition = isParting
      ? (state.partitions.get(partitionId) ?? new PartitionState(partitionId))
      : state.partition(partitionId);
    const line = executionKey === null || isParting ? undefined : partition.lines.get(executionKey);
    const key = line?.key ?? executionKey ?? undefined;
    const job = new KeyedJob(partition, id, this.shared(queue), queueKey ?? undefined, key, place);
    job.phase = PHASES[phase] ?? 'queued';
    job.dispatch = dispatch;
    job.since = since;
    job.runAt = runAt ?? undefined;
    job.heldWhy = hold?.[0] ?? undefined;
    job.copiesQueuedAt = hold?.[1] ?? undefined;
    job.cancelReason = cancelReason ?? undefined;
    job.route = route ?? undefined;
    job.adoptedFrom = adoptedFrom ?? undefined;
    job.body = body === NONE ? undefined : frame.text(body);
    if (!isParting) partition.jobs.set(id, job);
    if ((flags & HOLDS_QUEUE_KEY) !== 0 && job.queueKey !== undefined) {
      partition.queueKeys.set(job.queueKey, job);
      job.holdsQueueKey = true;
    }
    if ((flags & HAS_TURN) !== 0 && key !== undefined) partition.lineOf(key).holder = job;
    switch (job.phase) {
      case 'waiting':
        if (key !== undefined) partition.lineOf(key).insert(job);
        state.waitingCount++;
        return;
      case 'dispatching':
        state.sending.set(dispatch, job);
        return;
      case 'queued':
        partition.addQueued(job);
        return;
      case 'running':
        this.leaseOf(lease).add(job);
        return;
      case 'missing':
        state.missing.add(job);
        return;
      case 'held':
        partition.addHeld(job);
        state.waitingCount++;
    }
  }

  private leaseOf(dispatch: number): Lease {
    const lease = this.state.leases.get(dispatch);
    if (lease === undefined) throw new SnapshotError(`lease ${dispatch} is missing`);
    return lease;
  }

  private shared(text: string): string {
    const known = this.texts.get(text);
    if (known !== undefined) return known;
    this.texts.set(text, text);
    return text;
  }
}

/** A whole state in one, for a persister. */
export function encodeState(state: LedgerState): Buffer {
  return encodeFrame({ ledger: 'roger', format: formatOf(state) }, [...partsOf(state)]);
}

/** @throws SnapshotError, FrameError */
export function decodeState(bytes: Buffer, into: LedgerState): void {
  const frame = Frame.read(bytes);
  const { ledger, format } = (frame.head ?? {}) as { ledger?: unknown; format?: unknown };
  if (ledger !== 'roger') throw new SnapshotError('it is not the state of a ledger');
  if (!isKnown(format)) throw new SnapshotError(`its format is ${String(format)}, not ${FORMATS}`);
  if (frame.count === 0) throw new SnapshotError('it is not whole');
  const reader = new SnapshotReader(into);
  for (let index = 0; index < frame.count; index++) {
    if (reader.add(frame.part(index)) !== (index === frame.count - 1)) {
      throw new SnapshotError('it is not whole');
    }
  }
}
