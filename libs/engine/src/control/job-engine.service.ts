// What an operator does with a single job, from whatever node.
import type { BuriedJobs, GlobalStateService, JobQueue } from 'nestjs-roger';
import { QueueNotFoundError } from 'nestjs-roger';
import type { JobFilter, JobRecord, JobRecords } from '../history/job-records.service';
import type { NodeSigns } from '../history/node-signs';
import type { Page, PageOptions } from '../history/page';
import type { JobRun, RunHistory } from '../history/run-history.service';
import { isFinal } from '../records/rows';
import type { HistoryWriter } from '../writer/history-writer';
import { TO_BE_SENT_AHEAD } from './cut-off-hurries';
import { completionWith, failureFor } from './decreed-ends';
import type { DecreedEnd, Decrees } from './decrees';
import type { Did } from './did';
import { nothing } from './did';
import type { LiveRuns } from './live-runs';
import type { Prevention } from './prevention';
import { jobOfRecord } from './recorded-job';

/** Which of several partitions that have a job of this id. @default the newest job */
export interface JobPlace {
  readonly partition?: string | undefined;
}

/** Where a job runs. */
export interface FoundRun {
  readonly node: string;
  readonly startedAt: Date;
  /** Whether the node said so just now, or only the record does. */
  readonly isLive: boolean;
  /** When it will be told to end. Undefined: it may take as long as it does, or that is not recorded. */
  readonly timeLimitAt: Date | undefined;
  /** Undefined: it is not recorded yet. */
  readonly isolation: JobRun['isolation'] | undefined;
}

export interface JobEngineParts {
  readonly records: JobRecords;
  readonly history: Pick<RunHistory, 'get'>;
  readonly writer: Pick<HistoryWriter, 'flush'>;
  readonly decrees: Decrees;
  readonly prevention: Prevention;
  readonly liveRuns: LiveRuns;
  readonly jobs: JobQueue;
  readonly globalState: GlobalStateService;
  readonly buried: BuriedJobs;
  readonly signs: NodeSigns;
  readonly maxRecordedBytes: number;
  /** The upkeep that is due: each rejects when it can't be done. */
  readonly upkeep: readonly (() => Promise<unknown>)[];
}

const FLUSH_MS = 1_000;
const NOT_RECORDED = { timeLimitAt: undefined, isolation: undefined };
/** A node that is there writes every ten seconds at least. */
const SILENCE_MS = 15_000;

/**
 * Control of single jobs, from any node, by their ids. Each method says what it did, and why it did nothing; called twice,
 * it does nothing the second time. What a job is comes from its record, which is about a tenth of a second old: a job that
 * another node has just enqueued may be `unknown` for that long, or for five seconds where that node has enqueued more than
 * a thousand that have not begun.
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
    const live = await this.parts.liveRuns.find(id, record?.partition ?? place.partition);
    const recorded = record?.runId === undefined ? undefined : await this.parts.history.get(record.runId);
    const run = recorded?.status === 'running' ? recorded : undefined;
    if (live !== undefined) {
      const { timeLimitAt, isolation } = run?.node === live.node ? run : NOT_RECORDED;
      const { node, startedAt } = live;
      return { node, startedAt: new Date(startedAt), isLive: true, timeLimitAt, isolation };
    }
    if (record?.state !== 'running' || run === undefined) return undefined;
    const { node, startedAt, timeLimitAt, isolation } = run;
    return { node, startedAt, isLive: false, timeLimitAt, isolation };
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
    const outcome = await this.parts.prevention.hold(record, why);
    return outcome === 'held' ? { did: 'held' } : nothing(outcome);
  }

  /** Lets a held job go: as if it had been enqueued now. */
  async release(id: string, place: JobPlace = {}): Promise<Did<'released'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    const { released } = await this.parts.globalState.release(record.partition, id);
    if (!released) return nothing('not held');
    await this.parts.decrees.released(record);
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
      const outcome = await this.parts.prevention.hold(record, TO_BE_SENT_AHEAD);
      if (outcome !== 'held') return nothing(outcome);
    }
    await this.parts.globalState.release(record.partition, id, { now: true });
    await this.parts.decrees.released({ ...record, dueAt: undefined });
    return { did: 'sent ahead' };
  }

  /**
   * Removes a job that has not begun: it will not run, and its keys are free. A running one is left alone: see
   * {@link kill}. One that begins in this very moment, and can't be held because its args were not recorded or its ledger
   * is full, is `told to end`.
   */
  async remove(id: string, place: JobPlace = {}): Promise<Did<'removed' | 'told to end'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (await this.parts.liveRuns.has(record)) return nothing('running');
    const outcome = await this.parts.prevention.cancel(record, 'removed');
    if (outcome === 'told to end') return { did: outcome };
    if (outcome !== 'cancelled') return nothing(outcome);
    const end: DecreedEnd = { state: 'removed', reason: 'removed' };
    return (await this.parts.decrees.ended(record, end)) ? { did: 'removed' } : nothing('ended');
  }

  /**
   * Ends a running job: its signal is aborted, a thread is ended whatever it does, and it counts as cancelled. Waits until
   * the run is over, up to 10 s; then it says `told to end`. One that ends by itself meanwhile has `ended`. One that
   * doesn't run is left alone: see {@link remove}.
   */
  async kill(
    id: string,
    { reason = 'killed', ...place }: JobPlace & { readonly reason?: string } = {},
  ): Promise<Did<'killed' | 'told to end'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (!(await this.parts.liveRuns.has(record))) return nothing('not running');
    await this.parts.globalState.cancelJob(record.partition, id, { reason });
    const stopped = await this.parts.liveRuns.stopped(record);
    if (stopped === undefined) return { did: 'told to end' };
    const hasEndedItself = isFinal(stopped.state) && stopped.state !== 'cancelled';
    return hasEndedItself ? nothing('ended') : { did: 'killed' };
  }

  /** Writes down that the job has stopped. The job itself is left alone: what its nodes tell next counts again. */
  async markStopped(id: string, place: JobPlace = {}): Promise<Did<'marked'>> {
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    if (record.state === 'stopped') return nothing('ended');
    return (await this.parts.decrees.stopped(record)) ? { did: 'marked' } : nothing('ended');
  }

  /**
   * Ends the job as failed, for this reason (up to 1000 characters): a running one is killed first, any other will not run.
   * It is not retried. A run that is not over after 10 s is `told to end`, and the job counts as failed whatever the run
   * comes to. One that ends by itself before has `ended`.
   */
  async fail(id: string, reason: string, place: JobPlace = {}): Promise<Did<'failed' | 'told to end'>> {
    return this.end(id, place, 'failed', failureFor(reason));
  }

  /**
   * Ends the job as done; otherwise like {@link fail}.
   * @param options.result JSON, at most `maxRecordedBytes`: stands as the `value` of the run that was ended for it. Without
   * one it is not kept.
   */
  async complete(
    id: string,
    { result, ...place }: JobPlace & { readonly result?: unknown } = {},
  ): Promise<Did<'completed' | 'told to end'>> {
    return this.end(id, place, 'completed', completionWith(result, this.parts.maxRecordedBytes));
  }

  /**
   * Gives up the run of a node that is not there any more, without waiting for `lostAfterMs`: its record says `lost`. A
   * node counts as gone when the broker doesn't know it, when it has written nothing for 15 s, and when it doesn't
   * answer; and only a node that is connected itself can tell.
   */
  async expire(id: string, place: JobPlace = {}): Promise<Did<'expired'>> {
    const { signs, liveRuns, decrees } = this.parts;
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    const { state, node, partition } = record;
    if (state !== 'running' || node === undefined) return nothing('not running');
    const present = signs.present();
    if (present === undefined) return nothing('not connected');
    if (present.has(node) || (await signs.hasWrittenWithin(node, SILENCE_MS))) return nothing('node alive');
    if ((await liveRuns.find(id, partition))?.node === node) return nothing('node alive');
    return (await decrees.lost(record)) ? { did: 'expired' } : nothing('not running');
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
    // Else two that ask at once would have it run twice.
    if (!(await this.parts.decrees.claimedForRetry(record))) return nothing('not ended');
    let isEnqueued = false;
    try {
      isEnqueued = await this.enqueuedAnew(record);
    } finally {
      // That it can't be given back at the moment is not what went wrong; it runs out by itself.
      if (!isEnqueued) await this.parts.decrees.notRetried(record).catch(() => undefined);
    }
    if (!isEnqueued) return nothing('duplicate');
    // Other nodes are to see that it is not over any more.
    await this.parts.writer.flush(FLUSH_MS);
    return { did: 'enqueued' };
  }

  /**
   * Does the upkeep that is due, which the nodes do by themselves every now and then: finds lost runs, prunes, reads the
   * catalogue anew. Besides, it sends on what a {@link runNow} whose process died in its middle has left held.
   */
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

  private async end<What extends string>(
    id: string,
    place: JobPlace,
    did: What,
    how: DecreedEnd,
  ): Promise<Did<What | 'told to end'>> {
    const { liveRuns, prevention, globalState, decrees } = this.parts;
    const record = await this.alive(id, place);
    if (typeof record === 'string') return nothing(record);
    const reason = how.reason ?? 'completed by an operator';
    const outcome = (await liveRuns.has(record)) ? 'running' : await prevention.cancel(record, reason);
    if (outcome === 'ended') return nothing(outcome);
    if (outcome === 'running') await globalState.cancelJob(record.partition, id, { reason });
    const isOver = outcome === 'cancelled' || (await liveRuns.stopped(record)) !== undefined;
    // Not before the end: a run that ends well all the same has done its work.
    if (!(await decrees.ended(record, how))) return nothing('ended');
    return { did: isOver ? did : 'told to end' };
  }

  /** @returns false: another job has its queue key */
  private async enqueuedAnew(record: JobRecord): Promise<boolean> {
    if (record.state === 'buried') {
      const { status } = await this.fromBuried(record);
      if (status !== 'notFound') return status === 'enqueued';
    }
    const { status } = await this.parts.jobs.enqueue(jobOfRecord(record));
    return status === 'enqueued';
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
