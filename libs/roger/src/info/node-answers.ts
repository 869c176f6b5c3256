// What a node tells others of itself when it is asked, and how its answers are read again. They are untrusted.
import type { ClusterService } from '../cluster/cluster.service';
import { fieldsOf } from '../job/fields-of';
import { isCount } from '../job/is-count';
import type { OwnCommand } from '../job/names';
import type { LaneStatus, PartitionService } from '../partition/partition.service';
import type { NodeInfoService } from './node-info.service';

/** What a node can be asked. */
export const QUESTIONS = {
  partitions: 'roger.partitions',
  runningJobs: 'roger.running-jobs',
  queues: 'roger.queues',
  inHand: 'roger.in-hand',
} as const satisfies Record<string, OwnCommand>;

/** The partitions of a node; each reason stands once, for a thousand can wait for the same. */
export interface PartitionsAnswer {
  readonly reasons: readonly string[];
  readonly partitions: readonly (readonly [id: string, state: string, reason?: number])[];
}

/** Those that have run longest, as many as an answer holds, and how many there are. */
export interface RunningJobsAnswer {
  readonly total: number;
  readonly jobs: readonly RunningJobRow[];
}

export interface RunningJobRow {
  readonly id: string;
  readonly name: string;
  readonly partition: string;
  readonly queue: string;
  readonly attempt: number;
  readonly startedAt: number;
  readonly progress?: unknown;
}

export interface QueueRow extends Omit<LaneStatus, 'waitingFor'> {
  readonly waitingFor?: string;
}

export interface InHandAnswer {
  readonly unsettled: number;
  /** As many as an answer holds. */
  readonly running: readonly string[];
}

export interface AnsweringParts {
  readonly cluster: Pick<ClusterService, 'answer'>;
  readonly partitions: PartitionService;
  readonly nodeInfo: NodeInfoService;
  /** No answer may be larger. */
  readonly maxBytes: number;
}

/** Makes the node answer. To be called once. */
export function answerQuestions({ cluster, partitions, nodeInfo, maxBytes }: AnsweringParts): void {
  const fitting = <T>(rows: readonly T[]): readonly T[] => firstOf(rows, maxBytes);
  cluster.answer(QUESTIONS.partitions, (): PartitionsAnswer => {
    const reasons = new Map<string, number>();
    const rows = partitions.ids.map((id): PartitionsAnswer['partitions'][number] => {
      const state = partitions.state(id);
      if (state.state !== 'waiting') return [id, state.state];
      const { message } = state.reason;
      const reason = reasons.get(message) ?? reasons.size;
      reasons.set(message, reason);
      return [id, state.state, reason];
    });
    return { reasons: fitting([...reasons.keys()].map(shortened)), partitions: fitting(rows) };
  });
  cluster.answer(QUESTIONS.runningJobs, (payload): RunningJobsAnswer => {
    const { partition } = fieldsOf(payload);
    const all = nodeInfo.runningJobs().filter(({ job }) => !isText(partition) || job.partition === partition);
    const rows = all.map(({ job, startedAt, progress }) => ({
      ...{ id: job.id, name: job.name, partition: job.partition, queue: job.queue, attempt: job.attempt },
      startedAt,
      ...(progress === undefined ? {} : { progress }),
    }));
    return { total: rows.length, jobs: fitting(rows) };
  });
  cluster.answer(QUESTIONS.queues, (payload): readonly QueueRow[] => {
    const { partition } = fieldsOf(payload);
    if (!isText(partition) || !partitions.serves(partition)) return [];
    const rows = partitions.queues(partition).map(({ waitingFor, ...status }) => ({
      ...status,
      ...(waitingFor === undefined ? {} : { waitingFor: shortened(waitingFor.message) }),
    }));
    return fitting(rows);
  });
  cluster.answer(QUESTIONS.inHand, (payload): InHandAnswer => {
    const { partition, queue } = fieldsOf(payload);
    if (!isText(partition) || !isText(queue)) return { unsettled: 0, running: [] };
    const { unsettled, running } = partitions.inHand({ partition, queue });
    return { unsettled, running: fitting([...running]) };
  });
}

export function isPartitionsAnswer(value: unknown): value is PartitionsAnswer {
  const { reasons, partitions } = fieldsOf(value);
  return (
    Array.isArray(reasons) &&
    reasons.every(isText) &&
    Array.isArray(partitions) &&
    partitions.every((row: unknown) => {
      if (!Array.isArray(row)) return false;
      const [id, state, reason] = row as unknown[];
      return isText(id) && isText(state) && (reason === undefined || isCount(reason));
    })
  );
}

export function isRunningJobsAnswer(value: unknown): value is RunningJobsAnswer {
  const { total, jobs } = fieldsOf(value);
  return isCount(total) && Array.isArray(jobs) && jobs.every(isRunningJobRow);
}

export function isQueuesAnswer(value: unknown): value is readonly QueueRow[] {
  return Array.isArray(value) && value.every(isQueueRow);
}

export function isInHandAnswer(value: unknown): value is InHandAnswer {
  const { unsettled, running } = fieldsOf(value);
  return isCount(unsettled) && Array.isArray(running) && running.every(isText);
}

function isRunningJobRow(value: unknown): boolean {
  const row = fieldsOf(value);
  const texts = [row['id'], row['name'], row['partition'], row['queue']];
  return texts.every(isText) && isCount(row['attempt']) && isCount(row['startedAt']);
}

function isQueueRow(value: unknown): boolean {
  const row = fieldsOf(value);
  const counts = [
    row['maxWorkers'],
    row['running'],
    row['atHand'],
    row['leftBehind'],
    row['consumers'],
    ...Object.values(fieldsOf(row['counts'])),
  ];
  const { waitingFor } = row;
  return (
    isText(row['queue']) &&
    counts.every(isCount) &&
    typeof row['paused'] === 'boolean' &&
    (waitingFor === undefined || isText(waitingFor))
  );
}

/** The envelope and the other fields need room, too. */
const SHARE = 0.4;

function firstOf<T>(rows: readonly T[], maxBytes: number): readonly T[] {
  let room = maxBytes * SHARE;
  const past = rows.findIndex((row) => (room -= Buffer.byteLength(JSON.stringify(row)) + 1) < 0);
  return past === -1 ? rows : rows.slice(0, past);
}

const MAX_REASON = 500;

function shortened(text: string): string {
  return text.length > MAX_REASON ? `${text.slice(0, MAX_REASON)}…` : text;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
