// Tells the nodes that watch a job how far it is, while it runs here. While nobody watches, it sends nothing.
import type { Job } from '../job/job';
import type { ProgressMail, WatchMail } from './report-mail';
import type { ReportPost } from './report-post';

/** Watchers say every few seconds that they still watch. */
const WATCH_EXPIRES_MS = 10_000;
const BETWEEN_REPORTS_MS = 100;
/** Beyond so many watched jobs no further one is watched here. */
const MAX_WATCHED = 10_000;
/** Nodes that watch one job. */
const MAX_WATCHERS = 100;

/** A job that runs, and what it has told last. */
export interface ProgressOfRun {
  readonly attempt: number;
  /** Undefined: nothing yet. */
  readonly value: unknown;
}

/** What runs on this node. */
export interface RunningHere {
  serves(partition: string): boolean;
  progressOf(partition: string, id: string): ProgressOfRun | undefined;
}

interface Watched {
  /** Until when, by node. */
  readonly watchers: Map<string, number>;
  /** While it is set no report is sent; then the last one that has come meanwhile. */
  pause: NodeJS.Timeout | undefined;
  pending: ProgressMail | undefined;
}

export class ProgressReports {
  private readonly watched = new Map<string, Watched>();
  private here: RunningHere | undefined;

  constructor(private readonly post: Pick<ReportPost, 'nodeId' | 'add' | 'send'>) {
    post.add(this);
  }

  /** To be called once, before anything runs. */
  lookInto(here: RunningHere): void {
    this.here = here;
  }

  /** A job that runs here has told how far it is. */
  told({ partition, id, attempt }: Job, value: unknown): void {
    if (this.watched.size === 0) return;
    const key = keyOf(partition, id);
    const watched = this.watched.get(key);
    if (watched === undefined) return;
    if (isWatchedStill(watched)) this.report(watched, this.mail(partition, id, { attempt, value }));
    else if (watched.pause === undefined) this.watched.delete(key);
  }

  onWatch({ node, jobs }: WatchMail): void {
    this.expire();
    for (const [partition, id] of jobs) {
      if (this.here?.serves(partition) !== true) continue;
      this.watch(keyOf(partition, id), node);
      // Each time: whoever begins to watch wants to know at once, and a report may have got lost.
      this.answer(node, partition, id);
    }
  }

  /** Sends what is still to be sent. */
  close(): void {
    for (const watched of this.watched.values()) {
      clearTimeout(watched.pause);
      if (watched.pending !== undefined) this.sendToAll(watched, watched.pending);
    }
    this.watched.clear();
  }

  private watch(key: string, node: string): void {
    let watched = this.watched.get(key);
    if (watched === undefined) {
      // Without a place here it is still answered, each time that it asks.
      if (this.watched.size >= MAX_WATCHED) return;
      watched = { watchers: new Map(), pause: undefined, pending: undefined };
      this.watched.set(key, watched);
    }
    if (watched.watchers.size >= MAX_WATCHERS && !watched.watchers.has(node)) return;
    watched.watchers.set(node, Date.now() + WATCH_EXPIRES_MS);
  }

  private answer(node: string, partition: string, id: string): void {
    const progress = this.here?.progressOf(partition, id);
    if (progress !== undefined) void this.post.send(node, this.mail(partition, id, progress));
  }

  private mail(partition: string, id: string, { attempt, value }: ProgressOfRun): ProgressMail {
    return { mail: 'progress', partition, id, node: this.post.nodeId, attempt, value };
  }

  private report(watched: Watched, mail: ProgressMail): void {
    if (watched.pause !== undefined) {
      watched.pending = mail;
      return;
    }
    this.sendToAll(watched, mail);
    watched.pause = setTimeout(() => {
      const { pending } = watched;
      watched.pause = undefined;
      watched.pending = undefined;
      if (pending !== undefined) this.report(watched, pending);
    }, BETWEEN_REPORTS_MS).unref();
  }

  private sendToAll({ watchers }: Watched, mail: ProgressMail): void {
    const now = Date.now();
    for (const [node, until] of watchers) if (until > now) void this.post.send(node, mail);
  }

  private expire(): void {
    const now = Date.now();
    for (const [key, { watchers, pause }] of this.watched) {
      for (const [node, until] of watchers) if (until <= now) watchers.delete(node);
      if (watchers.size === 0 && pause === undefined) this.watched.delete(key);
    }
  }
}

function isWatchedStill({ watchers }: Watched): boolean {
  const now = Date.now();
  for (const until of watchers.values()) if (until > now) return true;
  return false;
}

function keyOf(partition: string, id: string): string {
  return `${partition}/${id}`;
}
