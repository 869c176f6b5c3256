// Watches jobs that run somewhere: says so to all nodes every few seconds, and passes on what they tell.
import { oneLine } from '../job/errors';
import type { RogerLog } from '../job/log';
import { describe } from '../job/names';
import type { JobAddress, ProgressMail } from './report-mail';
import { JOBS_PER_WATCH } from './report-mail';
import type { ReportPost } from './report-post';

/** How far a job is, as the node that runs it tells. */
export interface JobProgress {
  readonly partition: string;
  readonly jobId: string;
  /** The node that runs it. */
  readonly node: string;
  readonly attempt: number;
  /** What the job has said last in this attempt, by `context.progress`; undefined: nothing yet. */
  readonly value: unknown;
}

export type ProgressListener = (progress: JobProgress) => void;

const SAY_AGAIN_MS = 3_000;
/** At first nobody may have heard it: the way to the others is only being opened. */
const FIRST_SAID_AGAIN_MS = 250;
const FIRST_TRIES = 4;
const OPEN_MS = 10_000;

interface Watch {
  readonly address: JobAddress;
  readonly listeners: Set<(progress: JobProgress) => void>;
  isHeard: boolean;
  /** The last one passed on, as text: a repeated one is not passed on. */
  last: string | undefined;
  again: NodeJS.Timeout | undefined;
}

export class ProgressWatches {
  private readonly watches = new Map<string, Watch>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly post: Pick<ReportPost, 'add' | 'announce' | 'opened' | 'nodeId'>,
    private readonly log: RogerLog,
  ) {
    post.add(this);
  }

  /** @returns what ends it. */
  watch(partition: string, jobId: string, listener: ProgressListener): () => void {
    return this.listen(partition, jobId, (progress) => {
      if (progress.value === undefined) return;
      try {
        listener(progress);
      } catch (thrown) {
        const message = thrown instanceof Error ? thrown.message : describe(thrown);
        this.log.error(`A listener of progress threw: ${oneLine(message)}`);
      }
    });
  }

  /** @returns undefined when no node says within the time that it runs the job. */
  ask(partition: string, jobId: string, timeoutMs: number): Promise<JobProgress | undefined> {
    return new Promise((resolve) => {
      const end = (progress: JobProgress | undefined): void => {
        clearTimeout(timer);
        stop();
        resolve(progress);
      };
      const timer = setTimeout(end, timeoutMs, undefined);
      const stop = this.listen(partition, jobId, end);
    });
  }

  onProgress({ partition, id, node, attempt, value }: ProgressMail): void {
    const watch = this.watches.get(keyOf(partition, id));
    if (watch === undefined) return;
    watch.isHeard = true;
    const text = JSON.stringify([node, attempt, value]);
    if (watch.last === text) return;
    watch.last = text;
    for (const listener of watch.listeners) listener({ partition, jobId: id, node, attempt, value });
  }

  close(): void {
    clearInterval(this.timer);
    for (const { again } of this.watches.values()) clearTimeout(again);
    this.watches.clear();
  }

  private listen(partition: string, jobId: string, listener: ProgressListener): () => void {
    const key = keyOf(partition, jobId);
    let watch = this.watches.get(key);
    if (watch === undefined) {
      watch = {
        address: [partition, jobId],
        listeners: new Set(),
        isHeard: false,
        last: undefined,
        again: undefined,
      };
      this.watches.set(key, watch);
    }
    // Whoever joins wants to be told what the others know.
    watch.last = undefined;
    watch.isHeard = false;
    watch.listeners.add(listener);
    void this.begin(watch);
    this.timer ??= setInterval(() => {
      this.sayAll();
    }, SAY_AGAIN_MS).unref();
    return () => {
      this.leave(key, listener);
    };
  }

  private async begin(watch: Watch): Promise<void> {
    if (await this.post.opened(OPEN_MS)) this.say(watch, FIRST_TRIES);
  }

  private say(watch: Watch, tries: number): void {
    clearTimeout(watch.again);
    if (watch.listeners.size === 0 || watch.isHeard || tries === 0) return;
    this.post.announce({ mail: 'watch', node: this.post.nodeId, jobs: [watch.address] });
    watch.again = setTimeout(() => {
      this.say(watch, tries - 1);
    }, FIRST_SAID_AGAIN_MS).unref();
  }

  private sayAll(): void {
    const jobs = [...this.watches.values()].map(({ address }) => address);
    for (let from = 0; from < jobs.length; from += JOBS_PER_WATCH) {
      const some = jobs.slice(from, from + JOBS_PER_WATCH);
      this.post.announce({ mail: 'watch', node: this.post.nodeId, jobs: some });
    }
  }

  private leave(key: string, listener: ProgressListener): void {
    const watch = this.watches.get(key);
    if (watch?.listeners.delete(listener) !== true || watch.listeners.size > 0) return;
    clearTimeout(watch.again);
    this.watches.delete(key);
    if (this.watches.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}

function keyOf(partition: string, id: string): string {
  return `${partition}/${id}`;
}
