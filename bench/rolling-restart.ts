// For how long no job starts anywhere while three workers under a steady load are restarted one after the other.
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobQueue } from 'nestjs-roger';
import { Arena, PARTITION } from './arena';
import type { Benchmark } from './benchmark';
import type { RestartedReport, RestartedSettings } from './rolling-restart-program';
import { sharedMs, SteadyJob } from './rolling-restart-program';

const WORKERS = 3;
const QUICK_WORKERS = 2;
const RESTARTS = 30;
const QUICK_RESTARTS = 1;
const JOBS_PER_SECOND = 200;
const KEYS = 100;
/** Of every so many jobs one has an execution key. */
const KEYED_EVERY = 4;
const TICK_MS = 5;
const SETTLE_MS = 15_000;
const POLL_MS = 50;

export const rollingRestart: Benchmark = (conditions) =>
  Arena.during(conditions, async (arena) => {
    const starts = new Starts();
    const settings = { uri: conditions.uri, namespace: arena.namespace, partition: PARTITION };
    const workers = await Promise.all(
      Array.from({ length: conditions.isQuick ? QUICK_WORKERS : WORKERS }, () =>
        RestartedWorker.start(settings, starts),
      ),
    );
    const producer = await arena.startProducer();
    const load = new SteadyLoad(producer.jobs);
    const restarts = conditions.isQuick ? QUICK_RESTARTS : RESTARTS;
    for (let restart = 0; restart < restarts; restart++) {
      // As a rolling deploy does: the new one serves before the old one goes.
      workers.push(await RestartedWorker.start(settings, starts));
      await workers.shift()?.terminate();
    }
    const ids = await load.stop();
    const gapMs = starts.greatestGapMs(sharedMs());
    await starts.untilEach(ids);
    await Promise.all(workers.map((worker) => worker.terminate()));
    await producer.close();
    const name = `${restarts} rolling restarts at ${JOBS_PER_SECOND} jobs/s, longest time without a start`;
    return {
      rows: [{ name, unit: 'ms', roger: gapMs, goal: { atMost: 1_000 } }],
      fields: { rolling_restart_gap_ms: gapMs },
    };
  });

/** When which job began, on all workers. */
class Starts {
  private readonly counts = new Map<string, number>();
  private readonly times: number[] = [];

  add(id: string, at: number): void {
    this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
    this.times.push(at);
  }

  /** From the first start until then. */
  greatestGapMs(until: number): number {
    const times = [...this.times, until].sort((one, other) => one - other);
    return Math.max(...times.map((at, index) => at - (times[index - 1] ?? at)));
  }

  /** Resolves when each has begun. @throws when one has not, or more than once: then there is nothing to be proud of */
  async untilEach(ids: readonly string[]): Promise<void> {
    const giveUpAt = sharedMs() + SETTLE_MS;
    while (ids.some((id) => !this.counts.has(id)) && sharedMs() < giveUpAt) await sleep(POLL_MS);
    const lost = ids.filter((id) => !this.counts.has(id)).length;
    const repeated = [...this.counts.values()].filter((count) => count > 1).length;
    if (lost + repeated > 0)
      throw new Error(`Of ${ids.length} jobs ${lost} were lost and ${repeated} repeated`);
  }
}

class RestartedWorker {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when it serves its queue. */
  static async start(settings: RestartedSettings, starts: Starts): Promise<RestartedWorker> {
    const child = fork(join(__dirname, 'rolling-restart-program.ts'), [], {
      execArgv: process.execArgv.filter((flag) => flag !== '--expose-gc'),
      env: { ...process.env, ROGER_BENCH_RESTARTED: JSON.stringify(settings) },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('exit', () => {
        reject(new Error('A worker ended before it served'));
      });
      child.on('message', (report: RestartedReport) => {
        if (report === 'serving') resolve();
        else starts.add(report.began, report.at);
      });
    });
    return new RestartedWorker(child);
  }

  /** As a deploy does it. Resolves when it is gone, and all that it told was heard. */
  async terminate(): Promise<void> {
    const gone = Promise.all([once(this.child, 'exit'), once(this.child, 'disconnect')]);
    this.child.kill('SIGTERM');
    await gone;
  }
}

/** At an even pace, from its making until it is stopped. */
class SteadyLoad {
  private readonly enqueued: Promise<string>[] = [];
  private isOver = false;
  private readonly loop: Promise<void>;

  constructor(private readonly jobs: JobQueue) {
    this.loop = this.run();
  }

  /** @returns the ids of the jobs, each of which is enqueued */
  async stop(): Promise<readonly string[]> {
    this.isOver = true;
    await this.loop;
    return Promise.all(this.enqueued);
  }

  private async run(): Promise<void> {
    let dueAt = sharedMs();
    while (!this.isOver) {
      for (; dueAt <= sharedMs(); dueAt += 1_000 / JOBS_PER_SECOND) this.enqueued.push(this.enqueue());
      await sleep(TICK_MS);
    }
  }

  private async enqueue(): Promise<string> {
    const n = this.enqueued.length;
    const args = { ms: 5 + (n % 46), executionKey: n % KEYED_EVERY === 0 ? `key-${n % KEYS}` : undefined };
    const { job } = await this.jobs.enqueue(SteadyJob, args, { partition: PARTITION });
    return job.id;
  }
}
