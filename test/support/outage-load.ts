// A steady load for a cluster of brokers in trouble: jobs with and without keys, some of which fail once, in partitions that
// stand and in some that begin on the way; now and then a cancel, and a pause.
import { setTimeout as sleep } from 'node:timers/promises';
import type { OutageNode } from './outage-node';
import type { OutageArgs } from './outage-program';
import { SeededChance } from './seeded-chance';

/** Those that stand from the start, with the workers of each queue on each node. */
export const STANDING_PARTITIONS = {
  acme: { default: 6, mail: 4, reports: 2 },
  globex: { default: 6 },
} as const;
const LATE_QUEUES = { default: 3, mail: 2 };
/** Alone gets pauses. */
const PAUSED = { partition: 'acme', queue: 'reports' };
const PAUSE_EVERY_MS = 5_000;
const PAUSE_MS = 1_000;
const EXECUTION_KEYS = 8;
const QUEUE_KEYS = 20;
const ASK_AGAIN_MS = 500;

interface Place {
  readonly partition: string;
  readonly queue: string;
}

export class OutageLoad {
  /** Where jobs go. */
  readonly places: Place[] = Object.entries(STANDING_PARTITIONS).flatMap(([partition, queues]) =>
    Object.keys(queues).map((queue) => ({ partition, queue })),
  );
  private readonly chance = new SeededChance(1);
  private readonly recent: { id: string; partition: string }[] = [];
  private readonly loops: Promise<void>[];
  private readonly beginnings: Promise<void>[] = [];
  private isOver = false;
  private count = 0;

  constructor(
    private readonly producer: OutageNode,
    private readonly workers: readonly OutageNode[],
    private readonly jobsPerSecond: number,
  ) {
    this.loops = [this.enqueue(), this.pauseNowAndThen()];
  }

  /** Has all workers serve one more partition, which gets jobs as soon as the first does. Resolves at once. */
  beginPartition(partition: string): void {
    let isUsed = false;
    for (const worker of this.workers) {
      this.beginnings.push(
        this.beginOn(worker, partition).then(() => {
          if (isUsed) return;
          isUsed = true;
          for (const queue of Object.keys(LATE_QUEUES)) this.places.push({ partition, queue });
        }),
      );
    }
  }

  /** Enqueues no more; resolves when nothing is paused and every partition has begun. */
  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all([...this.loops, ...this.beginnings]);
  }

  /** Resolves when it runs there. */
  private async beginOn(worker: OutageNode, partition: string): Promise<void> {
    while ((await worker.ask({ what: 'start', partition, queues: LATE_QUEUES })) !== 'running') {
      await sleep(ASK_AGAIN_MS);
    }
  }

  private async enqueue(): Promise<void> {
    const beganAt = performance.now();
    while (!this.isOver) {
      await sleep(20);
      const due = ((performance.now() - beganAt) / 1_000) * this.jobsPerSecond;
      while (this.count < due) this.enqueueOne();
    }
  }

  private enqueueOne(): void {
    const { chance } = this;
    const id = `job-${++this.count}`;
    const { partition, queue } = chance.one(this.places);
    const shape = chance.below(20);
    const args: OutageArgs = {
      ms: chance.below(8) === 0 ? 300 : chance.below(15),
      failures: chance.below(12) === 0 ? 1 : 0,
      // Half have none.
      executionKey: shape < 8 ? `${partition}/e${chance.below(EXECUTION_KEYS)}` : undefined,
      queueKey: shape >= 6 && shape < 10 ? `${partition}/q${chance.below(QUEUE_KEYS)}` : undefined,
    };
    this.producer.tell({ order: 'enqueue', job: { id, partition, queue, args } });
    this.recent.push({ id, partition });
    if (this.recent.length > 50) this.recent.shift();
    if (chance.below(60) === 0) this.producer.tell({ order: 'cancel', ...chance.one(this.recent) });
  }

  private async pauseNowAndThen(): Promise<void> {
    while (!this.isOver) {
      await this.rest(PAUSE_EVERY_MS);
      // One that is refused may have come about.
      await this.producer.ask({ what: 'pause', ...PAUSED }).catch(() => undefined);
      await this.rest(PAUSE_MS);
      await this.resume();
    }
  }

  private async resume(): Promise<void> {
    for (;;) {
      try {
        await this.producer.ask({ what: 'resume', ...PAUSED });
        return;
      } catch {
        await sleep(ASK_AGAIN_MS);
      }
    }
  }

  private async rest(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (!this.isOver && performance.now() < until) await sleep(50);
  }
}
