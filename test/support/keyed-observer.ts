// Reads a trace of keyed jobs and says which of Roger's promises it breaks. Knows what was seen, nothing of the library.
import type { FaultKind, Micros, RunEventKind, TraceEvent } from './trace';

/** The promises, as `I1` and so on in the design. */
export type Promised = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8';

export interface Violation {
  readonly breaks: Promised;
  readonly because: string;
}

export interface Counts {
  readonly asked: number;
  readonly enqueued: number;
  readonly duplicates: number;
  readonly unanswered: number;
  readonly runs: number;
  /** Jobs that ended more than once. */
  readonly repeated: number;
  /** Runs that had lost their right, by a greater fence, before they ended. */
  readonly outdated: number;
  readonly cancelled: number;
  readonly retries: number;
  readonly kills: number;
  readonly freezes: number;
  readonly cuts: number;
  readonly keepers: number;
}

export interface Verdict {
  readonly violations: readonly Violation[];
  readonly counts: Counts;
}

interface Job {
  readonly id: string;
  asked?: TraceEvent & { readonly what: 'asked' };
  enqueuedAt?: Micros;
  duplicateAt?: Micros;
  cancelAskedAt?: Micros;
  cancelled?: TraceEvent & { readonly what: 'cancelled' };
  readonly runs: Run[];
}

interface Run {
  readonly job: Job;
  readonly node: string;
  readonly fence: number;
  readonly attempt: number;
  readonly beganAt: Micros;
  over?: { readonly how: Exclude<RunEventKind, 'began'>; readonly at: Micros };
}

interface Fault {
  readonly kind: FaultKind;
  readonly from: Micros;
  until: Micros;
}

/** Until the node is resumed. */
const LASTING: ReadonlySet<FaultKind> = new Set<FaultKind>(['frozen', 'blocked', 'split']);
const SECOND = 1_000_000;
/** Until a node has noticed what was done to it. */
const NOTICED = 5 * SECOND;
/** The broker may have given up a node before the node knows. */
const UNNOTICED = 10 * SECOND;
/** How long a run that has ended may take to be settled, while the ledger has no keeper: until then it may be repeated. */
const SETTLED_WITHIN = 15 * SECOND;
/** I6. */
const KEY_FREE_WITHIN = 40 * SECOND;

export function observe(events: readonly TraceEvent[]): Verdict {
  return new Observer(events).verdict();
}

class Observer {
  private readonly jobs = new Map<string, Job>();
  private readonly runs = new Map<string, Run>();
  private readonly faults = new Map<string, Fault[]>();
  private readonly violations: Violation[] = [];
  private overAt: Micros | undefined;
  private readonly seen = new Map<string, number>();

  constructor(events: readonly TraceEvent[]) {
    for (const event of events) {
      this.seen.set(event.what, (this.seen.get(event.what) ?? 0) + 1);
      this.take(event);
    }
  }

  verdict(): Verdict {
    const jobs = [...this.jobs.values()];
    const runs = [...this.runs.values()];
    for (const job of jobs) {
      this.checkKept(job);
      this.checkRepeats(job);
      this.checkCancel(job);
      this.checkAttempts(job);
    }
    // A run without a key has no fence.
    const inTurn = grouped(runs, ({ job, fence }) =>
      fence === 0 ? undefined : (job.asked?.executionKey ?? `of job ${job.id}`),
    );
    let outdated = 0;
    for (const [key, group] of inTurn) outdated += this.checkTurns(key, group);
    const byExecutionKey = grouped(jobs, ({ asked }) => asked?.executionKey);
    for (const [key, group] of byExecutionKey) this.checkOrder(key, group);
    const byQueueKey = grouped(jobs, ({ asked }) => asked?.queueKey);
    for (const [key, group] of byQueueKey) this.checkUniqueness(key, group);
    if (this.overAt !== undefined) {
      for (const [key, group] of byQueueKey)
        this.checkFree(`queue key ${key}`, group, (job) => job.enqueuedAt);
      for (const [key, group] of byExecutionKey) this.checkFree(`execution key ${key}`, group, endedAt);
    }
    return { violations: this.violations, counts: this.count(jobs, runs, outdated) };
  }

  // --- the trace

  private take(event: TraceEvent): void {
    switch (event.what) {
      case 'asked':
        this.job(event.id).asked = event;
        return;
      case 'enqueued':
        this.job(event.id).enqueuedAt = event.at;
        return;
      case 'duplicate':
        this.job(event.id).duplicateAt = event.at;
        return;
      case 'enqueue failed':
        return;
      case 'cancel asked':
        this.job(event.id).cancelAskedAt ??= event.at;
        return;
      case 'cancelled':
        this.job(event.id).cancelled ??= event;
        return;
      case 'began':
        this.begin(event);
        return;
      case 'ended':
      case 'failed':
      case 'aborted': {
        const run = this.runs.get(event.run);
        if (run !== undefined) run.over = { how: event.what, at: event.at };
        return;
      }
      case 'over':
        this.overAt = event.at;
        return;
      case 'killed':
      case 'frozen':
      case 'blocked':
      case 'split':
      case 'resumed':
      case 'cut off':
      case 'disconnected':
        this.strike(event.node, event.what, event.at);
        return;
      case 'keeping':
      case 'cancel failed':
      case 'ready':
      case 'unready':
      case 'paused':
      case 'resuming':
      case 'unloading':
    }
  }

  private job(id: string): Job {
    const existing = this.jobs.get(id);
    if (existing !== undefined) return existing;
    const job: Job = { id, runs: [] };
    this.jobs.set(id, job);
    return job;
  }

  private begin({
    id,
    run: name,
    node,
    fence,
    attempt,
    at,
  }: TraceEvent & { readonly what: RunEventKind }): void {
    const job = this.job(id);
    const run: Run = { job, node, fence, attempt, beganAt: at };
    job.runs.push(run);
    this.runs.set(name, run);
    if (job.asked === undefined) this.blame('I2', `${id} ran and was never enqueued`);
  }

  private strike(node: string, kind: FaultKind, at: Micros): void {
    const faults = this.faults.get(node) ?? [];
    this.faults.set(node, faults);
    if (kind === 'resumed') {
      const lasting = faults.findLast((one) => LASTING.has(one.kind));
      if (lasting !== undefined) lasting.until = at + NOTICED;
      return;
    }
    const isLasting = LASTING.has(kind) || kind === 'killed';
    faults.push({
      kind,
      from: kind === 'disconnected' ? at - UNNOTICED : at,
      until: isLasting ? Infinity : at + NOTICED,
    });
  }

  /** Whether something was done to the run's node, while it ran, that lets another take its place at that time. */
  private isExplained({ node, beganAt }: Run, at: Micros): boolean {
    return (this.faults.get(node) ?? []).some(({ from, until }) => from <= at && until >= beganAt);
  }

  /** Whether, since the job first ran, the brokers were split. */
  private wasSplitDuring([first]: readonly Run[], { node, beganAt }: Run): boolean {
    const from = first?.beganAt ?? beganAt;
    return (this.faults.get(node) ?? []).some(
      (fault) => fault.kind === 'split' && fault.from <= beganAt && fault.until >= from,
    );
  }

  private blame(breaks: Promised, because: string): void {
    this.violations.push({ breaks, because });
  }

  // --- the promises

  private checkKept(job: Job): void {
    if (job.enqueuedAt === undefined || job.cancelAskedAt !== undefined) return;
    const counts = job.runs.some(
      (run) =>
        run.over?.how === 'ended' &&
        !job.runs.some(({ fence, beganAt }) => fence > run.fence && beganAt < (run.over?.at ?? 0)),
    );
    if (!counts) {
      const story = job.runs.map((run) => tell(run)).join('; ');
      this.blame(
        'I1',
        `${job.id} was enqueued and has not ended${story === '' ? ', nor begun' : `: ${story}`}`,
      );
    }
  }

  /** A failure is followed by the next attempt; any other run after a run must have had a reason. */
  private checkRepeats({ id, runs }: Job): void {
    for (const [index, run] of runs.entries()) {
      const next = runs[index + 1];
      if (next === undefined || (run.over?.how === 'failed' && next.attempt === run.attempt + 1)) continue;
      const isExplained = runs
        .slice(0, index + 1)
        .some((one) =>
          this.isExplained(one, Math.min(next.beganAt, (one.over?.at ?? Infinity) + SETTLED_WITHIN)),
        );
      // One that was granted before, to a node that slept over it: outdated as it begins.
      const isLate = next.fence < run.fence && this.isExplained(next, next.beganAt);
      if (!isExplained && !isLate)
        this.blame('I3', `${id} ran again without a cause: ${tell(run)}, then ${tell(next)}`);
    }
  }

  private checkCancel({ id, cancelled, runs }: Job): void {
    if (cancelled === undefined) return;
    for (const run of runs) {
      if (run.beganAt <= cancelled.at) continue;
      if (cancelled.missing.length > 0 && this.isExplained(run, run.beganAt)) continue;
      // Without a fence, another copy that the brokers made of a retry may come when the first has used up the cancel.
      if (run.fence === 0 && run.attempt > 1 && this.wasSplitDuring(runs, run)) continue;
      this.blame('I7', `${id} began after its cancel was acknowledged: ${tell(run)}`);
    }
  }

  private checkAttempts({ id, runs }: Job): void {
    const valid = [...runs].sort((one, other) => one.fence - other.fence);
    for (const [index, run] of valid.entries()) {
      const next = valid[index + 1];
      if (next === undefined) continue;
      // Without a fence, a copy that a cut connection made may come after what followed on the other.
      if (run.fence === 0 && runs.some((one) => this.isExplained(one, next.beganAt))) continue;
      if (next.attempt < run.attempt) this.blame('I8', `${id} went back: ${tell(run)}, then ${tell(next)}`);
    }
  }

  /** @returns how many runs were outdated by others before they had ended. */
  private checkTurns(key: string, group: readonly Run[]): number {
    const runs = [...group].sort((one, other) => one.beganAt - other.beganAt);
    const outdated = new Set<Run>();
    const nodes = new Map<number, string>();
    let open: Run[] = [];
    for (const run of runs) {
      const node = nodes.get(run.fence) ?? run.node;
      nodes.set(run.fence, node);
      if (node !== run.node) this.blame('I4', `two nodes have one fence of ${key}: ${node} and ${tell(run)}`);
      open = open.filter(({ over }) => over === undefined || over.at > run.beganAt);
      for (const other of open) {
        if (other.fence === run.fence) {
          this.blame('I4', `two runs of ${key} under one fence: ${tell(other)} and ${tell(run)}`);
        } else if (other.fence < run.fence) {
          outdated.add(other);
          if (!this.isExplained(other, run.beganAt))
            this.blame('I4', `two runs of ${key} at a time: ${tell(other)} and ${tell(run)}`);
        }
      }
      if (runs.some(({ fence, beganAt }) => fence > run.fence && beganAt < run.beganAt)) {
        outdated.add(run);
        if (!this.isExplained(run, run.beganAt))
          this.blame('I4', `a run of ${key} began after a later one: ${tell(run)}`);
      }
      open.push(run);
    }
    return outdated.size;
  }

  /** Whoever was enqueued before another was asked for begins before it. */
  private checkOrder(key: string, group: readonly Job[]): void {
    const begun = group
      .flatMap((job) =>
        job.enqueuedAt === undefined || job.runs[0] === undefined ? [] : [{ job, run: job.runs[0] }],
      )
      .sort((one, other) => one.run.beganAt - other.run.beganAt);
    let latest: { readonly job: Job; readonly run: Run } | undefined;
    for (const one of begun) {
      if (latest !== undefined && (latest.job.asked?.at ?? 0) > (one.job.enqueuedAt ?? 0)) {
        this.blame(
          'I4',
          `${latest.job.id} of ${key} began before ${one.job.id}, which was enqueued before it`,
        );
      }
      if (latest === undefined || (one.job.asked?.at ?? 0) > (latest.job.asked?.at ?? 0)) latest = one;
    }
  }

  /** From its answer to its end a job surely has its key; no moment may have two such. */
  private checkUniqueness(key: string, group: readonly Job[]): void {
    const lives = group
      .flatMap((job) => {
        const from = job.enqueuedAt ?? job.runs[0]?.beganAt;
        if (from === undefined) return [];
        const ends = [job.cancelAskedAt, endedAt(job)].filter((at) => at !== undefined);
        return [{ id: job.id, from, until: Math.min(Infinity, ...ends) }];
      })
      .sort((one, other) => one.from - other.from);
    let last: (typeof lives)[number] | undefined;
    for (const life of lives) {
      if (last !== undefined && life.from < last.until && life.from < life.until) {
        this.blame('I5', `${last.id} and ${life.id} had queue key ${key} at a time`);
      }
      if (last === undefined || life.until > last.until) last = life;
    }
  }

  private checkFree(key: string, group: readonly Job[], freeAt: (job: Job) => Micros | undefined): void {
    const overAt = this.overAt ?? 0;
    const probes = group.filter(({ asked }) => asked?.isProbe === true);
    if (probes.length === 0) {
      this.blame('I6', `nobody has looked whether ${key} is free`);
      return;
    }
    const times = probes.map(freeAt).filter((at) => at !== undefined);
    if (Math.min(Infinity, ...times) > overAt + KEY_FREE_WITHIN) this.blame('I6', `${key} is not free`);
  }

  // --- figures

  private count(jobs: readonly Job[], runs: readonly Run[], outdated: number): Counts {
    const seen = (what: TraceEvent['what']): number => this.seen.get(what) ?? 0;
    const endings = (job: Job): number => job.runs.filter(({ over }) => over?.how === 'ended').length;
    return {
      asked: seen('asked'),
      enqueued: seen('enqueued'),
      duplicates: seen('duplicate'),
      unanswered: jobs.filter(
        ({ enqueuedAt, duplicateAt }) => enqueuedAt === undefined && duplicateAt === undefined,
      ).length,
      runs: runs.length,
      repeated: jobs.filter((job) => endings(job) > 1).length,
      outdated,
      cancelled: seen('cancelled'),
      retries: runs.filter(({ attempt }) => attempt > 1).length,
      kills: seen('killed'),
      freezes: seen('frozen') + seen('blocked'),
      cuts: seen('cut off'),
      keepers: seen('keeping'),
    };
  }
}

function endedAt({ runs }: Job): Micros | undefined {
  const times = runs.flatMap(({ over }) => (over?.how === 'ended' ? [over.at] : []));
  return times.length === 0 ? undefined : Math.min(...times);
}

function grouped<T>(items: readonly T[], keyOf: (item: T) => string | undefined): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    if (key === undefined) continue;
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push(item);
  }
  return groups;
}

function tell({ job, node, fence, attempt, beganAt, over }: Run): string {
  const end = over === undefined ? 'never ended' : `${over.how} ${seconds(over.at)}`;
  return `${job.id} on ${node} (fence ${fence}, attempt ${attempt}) ${seconds(beganAt)} to ${end}`;
}

function seconds(at: Micros): string {
  return (at / SECOND).toFixed(3);
}
