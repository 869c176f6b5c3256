// Tells whoever keeps a record what happens to jobs. Costs nothing while nobody does.
import { performance } from 'node:perf_hooks';
import { InvalidArgumentError, oneLine } from '../job/errors';
import type { Job } from '../job/job';
import type { HeldRelease, JobEnd, JobRecorder, RunRecord } from '../job/job-recorder';
import type { RogerLog } from '../job/log';
import type { QueueAddress } from '../job/names';
import { describe } from '../job/names';

/** A run that is being recorded. */
export interface OpenRecord {
  run: RunRecord;
  /** What its handler has to wait for; undefined: nothing. Never rejects. */
  readonly recorded: Promise<void> | undefined;
  /** By `performance.now()`. */
  readonly begunAt: number;
}

/**
 * For libraries that keep a record of what happens to jobs on this node, such as a history: see {@link JobRecorder}.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { JobRecorders } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class FailureCounter {
 *   readonly counts = new Map<string, number>();
 *
 *   constructor(recorders: JobRecorders) {
 *     recorders.add({
 *       ended: ({ job, outcome }) => {
 *         if (outcome !== 'buried' || job === undefined) return;
 *         this.counts.set(job.name, (this.counts.get(job.name) ?? 0) + 1);
 *       },
 *     });
 *   }
 * }
 * ```
 */
export class JobRecorders {
  private readonly recorders = new Set<JobRecorder>();
  private readonly waits = new WeakMap<Promise<void>, Promise<void>>();
  private lastRun = 0;
  private complaint: string | undefined;

  /** @internal */
  constructor(
    private readonly nodeId: string,
    private readonly log: RogerLog,
  ) {}

  /**
   * Tells the recorder of all that happens on this node from now on, until the returned function is called.
   * @throws InvalidArgumentError
   */
  add(recorder: JobRecorder): () => void {
    if (typeof recorder !== 'object' || (recorder as unknown) === null) {
      throw new InvalidArgumentError('recorder', `must be an object, not ${describe(recorder)}`);
    }
    this.recorders.add(recorder);
    return () => {
      this.recorders.delete(recorder);
    };
  }

  /** @internal */
  get isEmpty(): boolean {
    return this.recorders.size === 0;
  }

  /** @internal */
  enqueued(job: Job, heldWhy?: string): void {
    for (const recorder of this.recorders) this.guard(() => recorder.enqueued?.(job, heldWhy));
  }

  /** @internal @returns undefined while nobody keeps a record. */
  begin(job: Job, about: Pick<RunRecord, 'fence' | 'isolation' | 'timeLimitAt'>): OpenRecord | undefined {
    if (this.isEmpty) return undefined;
    const id = `${this.nodeId}/${(++this.lastRun).toString(36)}`;
    const run: RunRecord = { id, node: this.nodeId, job, startedAt: Date.now(), ...about };
    return { run, recorded: this.began(run), begunAt: performance.now() };
  }

  /** @internal A thread has begun it. */
  limit(record: OpenRecord, timeLimitAt: number): void {
    record.run = { ...record.run, timeLimitAt };
    void this.began(record.run);
  }

  /** @internal */
  ending(end: JobEnd): void {
    for (const recorder of this.recorders) this.guard(() => recorder.ending?.(end));
  }

  /** @internal */
  ended(end: JobEnd): void {
    for (const recorder of this.recorders) this.guard(() => recorder.ended?.(end));
  }

  /** @internal The broker has buried it by itself. */
  buriedByBroker(job: Job): void {
    const { partition, queue } = job;
    const reason = {
      type: 'DeliveredTooOften',
      message: 'it was delivered too often without an end, so the broker has buried it',
    };
    this.ended({
      job,
      address: { partition, queue },
      run: undefined,
      at: Date.now(),
      outcome: 'buried',
      reason,
    });
  }

  /** @internal */
  held(job: Job, why: string): void {
    const at = Date.now();
    for (const recorder of this.recorders) this.guard(() => recorder.held?.(job, why, at));
  }

  /** @internal */
  released(release: HeldRelease, at: number): void {
    for (const recorder of this.recorders) this.guard(() => recorder.released?.(release, at));
  }

  /** @internal */
  purged(address: QueueAddress): void {
    const at = Date.now();
    for (const recorder of this.recorders) this.guard(() => recorder.purged?.(address, at));
  }

  /** @returns undefined: all have it. Never rejects. */
  private began(run: RunRecord): Promise<void> | undefined {
    let waits: Promise<void> | undefined;
    for (const recorder of this.recorders) {
      this.guard(() => {
        const recorded = recorder.began?.(run);
        if (recorded === undefined) return;
        const mine = this.guarded(recorded);
        waits = waits === undefined ? mine : Promise.all([waits, mine]).then(() => undefined);
      });
    }
    return waits;
  }

  /** Many runs that begin at once wait for one write, and so for one promise. */
  private guarded(recorded: Promise<void>): Promise<void> {
    const known = this.waits.get(recorded);
    if (known !== undefined) return known;
    const guarded = Promise.resolve(recorded).catch((thrown: unknown) => this.complain(thrown));
    this.waits.set(recorded, guarded);
    return guarded;
  }

  private guard(tell: () => void): void {
    try {
      tell();
    } catch (thrown) {
      this.complain(thrown);
    }
  }

  private complain(thrown: unknown): void {
    const message = oneLine(thrown instanceof Error ? thrown.message : describe(thrown));
    // What fails for one job fails for all: once is enough, until it is something else.
    if (message === this.complaint) return;
    this.complaint = message;
    this.log.error(
      `A recorder of jobs threw: ${message}; the jobs go on`,
      thrown instanceof Error ? thrown.stack : undefined,
    );
  }
}
