// Puts together what the nodes of the cluster tell of themselves; who doesn't answer is named.
import type { ClusterService } from '../cluster/cluster.service';
import type { QueueAddress } from '../job/names';
import type { Outcome } from '../worker/outcome';
import type { QueueRow, RunningJobRow } from './node-answers';
import {
  isInHandAnswer,
  isPartitionsAnswer,
  isQueuesAnswer,
  isRunningJobsAnswer,
  QUESTIONS,
} from './node-answers';

/** A list that nodes have told of. */
interface OfNodes {
  /** Nodes that did not answer within 2 s, or not sensibly: the list may be without what they have. */
  readonly missing: readonly string[];
}

/** A partition in the cluster. */
export interface ClusterPartition {
  readonly partition: string;
  /** The nodes that serve it or would like to. */
  readonly nodes: readonly {
    readonly node: string;
    readonly state: 'running' | 'waiting' | 'stopping';
    /** Why it waits. */
    readonly reason: string | undefined;
  }[];
}

export interface ClusterPartitions extends OfNodes {
  /** By their ids. */
  readonly partitions: readonly ClusterPartition[];
}

/** A job that runs somewhere. */
export interface ClusterRunningJob {
  readonly node: string;
  readonly id: string;
  readonly name: string;
  readonly partition: string;
  readonly queue: string;
  readonly attempt: number;
  /** In ms since the epoch, by the clock of its node. */
  readonly startedAt: number;
  /** What it has told last by `context.progress`; undefined: nothing in this attempt. */
  readonly progress: unknown;
}

export interface ClusterRunningJobs extends OfNodes {
  /** The longest-running first; of a node with very many, those that have run longest. */
  readonly jobs: readonly ClusterRunningJob[];
  /** How many run in all. */
  readonly total: number;
}

/** A queue on one of the nodes; see `LaneStatus`. */
export interface ClusterQueue extends Omit<QueueRow, 'waitingFor'> {
  readonly node: string;
  /** Why no jobs come at the moment; undefined while they do. */
  readonly waitingFor: string | undefined;
}

export interface ClusterQueues extends OfNodes {
  readonly queues: readonly ClusterQueue[];
}

/** How fast the jobs of a queue end, on all nodes together. */
export interface QueueRates extends OfNodes {
  /** By how they ended. */
  readonly perSecond: Readonly<Record<Outcome, number>>;
}

/** What nodes have in hand of a queue. */
export interface InHand extends OfNodes {
  /** Deliveries that are not settled. */
  readonly unsettled: number;
  readonly running: ReadonlySet<string>;
}

interface Counted extends OfNodes {
  /** `at`: by `performance.now()`. */
  readonly byNode: ReadonlyMap<
    string,
    { readonly counts: Partial<Record<string, number>>; readonly at: number }
  >;
}

interface Told<T> extends OfNodes {
  readonly answers: readonly { readonly node: string; readonly value: T }[];
}

export class ClusterReports {
  constructor(private readonly cluster: Pick<ClusterService, 'call'>) {}

  async partitions(): Promise<ClusterPartitions> {
    const { answers, missing } = await this.ask(QUESTIONS.partitions, undefined, isPartitionsAnswer);
    const found = new Map<string, ClusterPartition['nodes'][number][]>();
    for (const { node, value } of answers) {
      for (const [id, state, reason] of value.partitions) {
        const nodes = found.get(id) ?? [];
        found.set(id, nodes);
        nodes.push({
          node,
          state: state === 'running' || state === 'stopping' ? state : 'waiting',
          reason: reason === undefined ? undefined : value.reasons[reason],
        });
      }
    }
    const partitions = [...found].map(([partition, nodes]) => ({ partition, nodes }));
    return { partitions: partitions.sort((a, b) => compare(a.partition, b.partition)), missing };
  }

  async runningJobs(partition: string | undefined): Promise<ClusterRunningJobs> {
    const payload = partition === undefined ? {} : { partition };
    const { answers, missing } = await this.ask(QUESTIONS.runningJobs, payload, isRunningJobsAnswer);
    const jobs = answers.flatMap(({ node, value }) => value.jobs.map((row) => runningJob(node, row)));
    return {
      jobs: jobs.sort((a, b) => a.startedAt - b.startedAt),
      total: answers.reduce((sum, { value }) => sum + value.total, 0),
      missing,
    };
  }

  async queues(partition: string): Promise<ClusterQueues> {
    const { answers, missing } = await this.ask(QUESTIONS.queues, { partition }, isQueuesAnswer);
    const queues = answers.flatMap(({ node, value }) =>
      value.map(({ waitingFor, ...row }) => ({ node, ...row, waitingFor })),
    );
    return { queues: queues.sort((a, b) => compare(a.queue, b.queue) || compare(a.node, b.node)), missing };
  }

  /** Counts twice; a node that comes or goes between doesn't count. */
  async rates({ partition, queue }: QueueAddress, overMs: number): Promise<QueueRates> {
    const before = await this.counts({ partition, queue });
    await new Promise((resolve) => setTimeout(resolve, overMs));
    const after = await this.counts({ partition, queue });
    const perSecond: Partial<Record<string, number>> = {};
    for (const [node, { counts, at }] of after.byNode) {
      const earlier = before.byNode.get(node);
      if (earlier === undefined) continue;
      for (const [outcome, count = 0] of Object.entries(counts)) {
        const ended = Math.max(0, count - (earlier.counts[outcome] ?? 0));
        perSecond[outcome] = (perSecond[outcome] ?? 0) + (ended / (at - earlier.at)) * 1_000;
      }
    }
    return {
      perSecond: perSecond as Record<Outcome, number>,
      missing: [...new Set([...before.missing, ...after.missing])],
    };
  }

  async inHand(address: QueueAddress): Promise<InHand> {
    const { answers, missing } = await this.ask(QUESTIONS.inHand, { ...address }, isInHandAnswer);
    return {
      unsettled: answers.reduce((sum, { value }) => sum + value.unsettled, 0),
      running: new Set(answers.flatMap(({ value }) => value.running)),
      missing,
    };
  }

  private async counts({ partition, queue }: QueueAddress): Promise<Counted> {
    const { queues, missing } = await this.queues(partition);
    const at = performance.now();
    const ofQueue = queues.filter((row) => row.queue === queue);
    return { byNode: new Map(ofQueue.map(({ node, counts }) => [node, { counts, at }])), missing };
  }

  private async ask<T>(
    question: string,
    payload: unknown,
    isAnswer: (value: unknown) => value is T,
  ): Promise<Told<T>> {
    const { replies, failures, missing } = await this.cluster.call(question, payload);
    const answers: { node: string; value: T }[] = [];
    const others = [...missing, ...failures.map(({ node }) => node)];
    for (const { node, value } of replies) {
      if (isAnswer(value)) answers.push({ node, value });
      else others.push(node);
    }
    return { answers, missing: others };
  }
}

function runningJob(node: string, row: RunningJobRow): ClusterRunningJob {
  const { id, name, partition, queue, attempt, startedAt, progress } = row;
  return { node, id, name, partition, queue, attempt, startedAt, progress };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
