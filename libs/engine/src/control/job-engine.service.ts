// What an operator does with a single job, from whatever node.
import type { BuriedJobs, ClusterRunningJob, GlobalStateService, InfoService, JobQueue } from 'nestjs-roger';
import { InvalidArgumentError, QueueNotFoundError } from 'nestjs-roger';
import type { JobFilter, JobRecord, JobRecords } from '../history/job-records.service';
import type { Page, PageOptions } from '../history/page';
import { isFinal } from '../records/rows';
import type { HistoryWriter } from '../writer/history-writer';
import type { Decrees } from './decrees';
import { jobOfRecord } from './recorded-job';

/** Which of several partitions that have a job of this id. @default the newest job */
export interface JobPlace {
  readonly partition?: string | undefined;
}

/** Why nothing was done. */
export type Obstacle =
  /** There is no record of such a job. */
  | 'unknown'
  /** It is over: done, failed, cancelled, buried, … */
  | 'ended'
  /** It is not over, so there is nothing to retry. */
  | 'not ended'
  | 'running'
  | 'not running'
  | 'held'
  | 'not held'
  /** It was cancelled (removed, ended by decree) and has not been met yet; then it can't be sent again either. */
  | 'cancelled'
  /** Another job has its queue key. */
  | 'duplicate'
  /** The node that runs it is there. */
  | 'node alive';

/** What was done; `nothing` names the reason. To call once more is always safe. */
export type Did<What extends string> =
  { readonly did: What } | { readonly did: 'nothing'; readonly because: Obstacle };

/** Where a job runs. */
export interface FoundRun {
  readonly node: string;
  readonly startedAt: Date;
  /** Whether the node said so just now, or only the record does. */
  readonly isLive: boolean;
}

export interface JobEngineParts {
  readonly records: JobRecords;
  readonly writer: Pick<HistoryWriter, 'flush'>;
  readonly decrees: Decrees;
  readonly jobs: JobQueue;
  readonly globalState: GlobalStateService;
  readonly buried: BuriedJobs;
  readonly info: InfoService;
  /** The ids of the nodes that are there. */
  readonly presentNodes: () => ReadonlySet<string>;
  /** The upkeep that is due: each rejects when it can't be done. */
  readonly upkeep: readonly (() => Promise<unknown>)[];
}

/** So long a call waits for a run to heed its signal. */
const KILL_WAIT_MS = 10_000;
const LOOK_MS = 100;
const FLUSH_MS = 1_000;
const BEFORE_ALL = 'run now';

/**
 * Control of single jobs, from any node, by their ids. Each method says what it did, and why it did nothing; called twice,
 * it does nothing the second time. What a job is comes from its record, which is about a tenth of a second old: a job that
 * another node has just enqueued may be `unknown` for that long.
 *
 * Every method rejects with the database's error where that is away, and, where the broker or the job's ledger is needed,
 * with LedgerUnavailableError, BrokerUnavailableError and the like; then nothing was done, or it is safe to ask again.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { JobEngine } from 'nestjs-roger-engine';
 *
 * \@Injectable()
 * export class Desk {
 *   constructor(private readonly engine: JobEngine) {}
 *
 *   async hurry(jobId: string): Promise<string> {
 *     const outcome = await this.engine.runNow(jobId, { partition: 'acme' });
 *     return outcome.did === 'nothing' ? `left alone: ${outcome.because}` : 'on its way';
 *   }
 * }
 * ```
 */
export class JobEngine {
  /** @internal */
  constructor(private readonly parts: JobEngineParts) {}

  /** See {@link JobRecords.get}. */
  async get(id: string, place: JobPlace = {}): Promise<JobRecord | undefined> {
    await this.parts.writer.flush(FLUSH_MS);
    return this.parts.records.get(id, place.partition === undefined ? {} : { partition: place.partition });
  }

  /** See {@link JobRecords.find}. */
  find(filter: JobFilter = {}, options: PageOptions = {}): Promise<Page<JobRecord>> {
    return this.parts.records.find(filter, options);
  }

  /** See {@link JobRecords.count}. */
  count(filter: JobFilter = {}): Promise<number> {
    return this.parts.records.count(filter);
  }

  /** See {@link JobRecords.position}. */
  async position(id: string, place: JobPlace = {}): Promise<number | undefined> {
    await this.parts.writer.flush(FLUSH_MS);
    return this.parts.records.position(
      id,
      place.partition === undefined ? {} : { partition: place.partition },
    );
  }

  /** Where the job runs now; undefined: nowhere, as far as is known. */
  async findRun(id: string, place: JobPlace = {}): Promise<FoundRun | undefined> {
    const record = await this.get(id, place);
    const live = await this.liveRun(id, record?.partition ?? place.partition);
    if (live !== undefined) return { node: live.node, startedAt: new Date(live.startedAt), isLive: true };
    if (record?.state !== 'running' || record.node === undefined) return undefined;
    return { node: record.node, startedAt: record.startedAt ?? record.queuedAt, isLive: false };
  }

  /**
   * Holds a job that has not begun, be it queued, delayed or between two attempts: it doesn't run until {@link release}.
   * It keeps its queue key.
   * @param options.why up to 200 characters, for people @default 'operator'
   * @throws ArgsNotRecordedError
   */
  async hold(
    id: string,
    { why = 'operator', ...place }: JobPlace & { readonly why?: string } = {},
  ): Promise<Did<'held'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (record.state === 'held') return nothing('held');
    return this.holdNow(record, why);
  }

  /** Lets a held job go: as if it had been enqueued now. */
  async release(id: string, place: JobPlace = {}): Promise<Did<'released'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    const { released } = await this.parts.globalState.release(record.partition, id);
    if (!released) return nothing('not held');
    await this.parts.decrees.queued(record);
    return { did: 'released' };
  }

  /**
   * Has a job run before all others of its queue, be it queued, delayed, between two attempts or held. Nothing that runs
   * is interrupted for it, and a run of its execution key goes first.
   * @throws ArgsNotRecordedError
   */
  async runNow(id: string, place: JobPlace = {}): Promise<Did<'sent ahead'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (record.state === 'running') return nothing('running');
    const isHeld = await this.parts.globalState.isHeld(record.partition, id);
    if (!isHeld) {
      const held = await this.holdNow(record, BEFORE_ALL);
      if (held.did === 'nothing') return held;
    }
    await this.parts.globalState.release(record.partition, id, { now: true });
    await this.parts.decrees.queued({ ...record, dueAt: undefined });
    return { did: 'sent ahead' };
  }

  /** Removes a job that has not begun: it will not run, and its keys are free. A running one is left alone: see {@link kill}. */
  async remove(id: string, place: JobPlace = {}): Promise<Did<'removed'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (await this.runs(record)) return nothing('running');
    return (await this.cancelled(record, 'removed', { state: 'removed', reason: 'removed' }))
      ? { did: 'removed' }
      : nothing('running');
  }

  /**
   * Ends a running job: its signal is aborted, a thread is ended whatever it does, and it counts as cancelled. Waits until
   * the run is over, up to 10 s; then it says `told to end`. One that doesn't run is left alone: see {@link remove}.
   */
  async kill(
    id: string,
    { reason = 'killed', ...place }: JobPlace & { readonly reason?: string } = {},
  ): Promise<Did<'killed' | 'told to end'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (!(await this.runs(record))) return nothing('not running');
    await this.parts.globalState.cancelJob(record.partition, id, { reason });
    return { did: (await this.hasStopped(record)) ? 'killed' : 'told to end' };
  }

  /** Writes down that the job has stopped. The job itself is left alone: what its nodes tell next counts again. */
  async markStopped(id: string, place: JobPlace = {}): Promise<Did<'marked'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (record.state === 'stopped') return nothing('ended');
    await this.parts.decrees.stopped(record);
    return { did: 'marked' };
  }

  /** Ends the job as failed, for this reason: a running one is killed first, any other will not run. It is not retried. */
  fail(id: string, reason: string, place: JobPlace = {}): Promise<Did<'failed' | 'told to end'>> {
    if (typeof reason !== 'string' || reason === '')
      throw new InvalidArgumentError('reason', 'it must be a text that says why');
    return this.end(id, place, 'failed', { state: 'failed', reason });
  }

  /** Ends the job as done, with this result (JSON): a running one is killed first, any other will not run. */
  complete(
    id: string,
    { result, ...place }: JobPlace & { readonly result?: unknown } = {},
  ): Promise<Did<'completed' | 'told to end'>> {
    const value = result === undefined ? undefined : JSON.stringify(result);
    return this.end(id, place, 'completed', { state: 'done', value });
  }

  /** Gives up the run of a node that is not there any more, at once instead of after a minute: its record says `lost`. */
  async expire(id: string, place: JobPlace = {}): Promise<Did<'expired'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (record.state !== 'running' || record.node === undefined) return nothing('not running');
    if (this.parts.presentNodes().has(record.node)) return nothing('node alive');
    return (await this.parts.decrees.lost(record)) ? { did: 'expired' } : nothing('not running');
  }

  /**
   * Has a job that is over run again, under its id, from its first attempt; a buried one is taken from the buried.
   * @throws ArgsNotRecordedError, and what `JobQueue.enqueue` does
   */
  async retry(id: string, place: JobPlace = {}): Promise<Did<'enqueued'>> {
    const record = await this.get(id, place);
    if (record === undefined) return nothing('unknown');
    if (!isFinal(record.state)) return nothing('not ended');
    // Its cancel waits for the copy that is still in the queue, and would meet the new one.
    if (await this.parts.globalState.isCancelled(record.partition, id)) return nothing('cancelled');
    if (record.state === 'buried') {
      const { status } = await this.fromBuried(record);
      if (status === 'enqueued') return { did: 'enqueued' };
      if (status === 'duplicate') return nothing('duplicate');
    }
    const { status } = await this.parts.jobs.enqueue(jobOfRecord(record));
    return status === 'enqueued' ? { did: 'enqueued' } : nothing('duplicate');
  }

  /** Does the upkeep that is due, which the nodes do by themselves every few seconds: finds lost runs, prunes. */
  async tick(): Promise<{ readonly ok: number; readonly failed: number }> {
    const results = await Promise.allSettled(this.parts.upkeep.map((work) => work()));
    const ok = results.filter(({ status }) => status === 'fulfilled').length;
    return { ok, failed: results.length - ok };
  }

  private async alive(id: string, place: JobPlace): Promise<JobRecord | 'unknown' | 'ended'> {
    const record = await this.get(id, place);
    if (record === undefined) return 'unknown';
    return isFinal(record.state) ? 'ended' : record;
  }

  private async holdNow(record: JobRecord, why: string): Promise<Did<'held'>> {
    const { outcome } = await this.parts.globalState.hold(jobOfRecord(record), { why });
    switch (outcome) {
      case 'held':
        await this.parts.decrees.held(record, why);
        return { did: 'held' };
      case 'running':
      case 'cancelled':
        return nothing(outcome);
      case 'unknown':
        return nothing('ended');
    }
  }

  private async end<What extends string>(
    id: string,
    place: JobPlace,
    did: What,
    how: Parameters<Decrees['ended']>[1],
  ): Promise<Did<What | 'told to end'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    const reason = how.reason ?? 'completed by an operator';
    if (!(await this.runs(record)) && (await this.cancelled(record, reason, how))) return { did };
    await this.parts.globalState.cancelJob(record.partition, id, { reason });
    if (!(await this.hasStopped(record))) return { did: 'told to end' };
    await this.parts.writer.flush(FLUSH_MS);
    await this.parts.decrees.ended((await this.get(id, place)) ?? record, how);
    return { did };
  }

  /** @returns whether it had not begun. */
  private async cancelled(
    record: JobRecord,
    reason: string,
    how: Parameters<Decrees['ended']>[1],
  ): Promise<boolean> {
    const { met } = await this.parts.globalState.cancelJob(record.partition, record.id, { reason });
    if (met === 'running') return false;
    await this.parts.decrees.ended(record, how);
    return true;
  }

  private async runs({ id, partition, state }: JobRecord): Promise<boolean> {
    return state === 'running' || (await this.liveRun(id, partition)) !== undefined;
  }

  private async liveRun(id: string, partition: string | undefined): Promise<ClusterRunningJob | undefined> {
    const { jobs } = await this.parts.info.runningJobs(partition);
    return jobs.find((job) => job.id === id && (partition === undefined || job.partition === partition));
  }

  /** Whether its run is over within the time, by the nodes and by the record. */
  private async hasStopped({ id, partition }: JobRecord): Promise<boolean> {
    const deadline = performance.now() + KILL_WAIT_MS;
    while (performance.now() < deadline) {
      if ((await this.liveRun(id, partition)) === undefined) {
        const record = await this.get(id, { partition });
        if (record?.state !== 'running') return true;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return false;
  }

  private async fromBuried({
    partition,
    queue,
    id,
  }: JobRecord): Promise<{ readonly status: 'enqueued' | 'duplicate' | 'notFound' }> {
    try {
      return await this.parts.buried.retry(partition, queue, id);
    } catch (error) {
      if (error instanceof QueueNotFoundError) return { status: 'notFound' };
      throw error;
    }
  }
}

function nothing(because: Obstacle): { readonly did: 'nothing'; readonly because: Obstacle } {
  return { did: 'nothing', because };
}
