// What a ledger can be asked, and what it answers. All of it is plain JSON; a job's bytes travel beside it as parts.
import type { BuriedReason } from '../transport';

/** What names a job that a ledger has sent out: the ledger's state that it belongs to, and the number of the sending. */
export interface DispatchToken {
  readonly state: string;
  readonly dispatch: number;
}

interface OfJob {
  readonly partition: string;
  readonly id: string;
}

/** Those that were enqueued without keys, under this id and at this time in ms since the epoch. */
interface Copies extends OfJob {
  readonly queuedAt: number;
}

/** Who has the job's message. */
interface Holder {
  /** A token that no other delivery has. */
  readonly owner: string;
  /** How often the message had been delivered before: whoever had it earlier has it no more. */
  readonly deliveries?: number | undefined;
}

interface OfQueue {
  readonly partition: string;
  readonly queue: string;
}

/** The keys of a job, and the queue that it belongs to. */
interface JobKeys {
  readonly queue: string;
  readonly queueKey?: string | undefined;
  readonly executionKey?: string | undefined;
}

interface OfSchedule {
  readonly partition: string;
  readonly name: string;
}

/** When a schedule ticks. */
export interface ScheduleRule {
  readonly expression: string;
  readonly timeZone: string;
  /** What becomes of ticks that nobody was there for: the latest is made up, or none. */
  readonly catchUp: 'once' | 'skip';
}

/** Who has made a schedule: code that declares it at each start, or a call. */
export type ScheduleSource = 'definition' | 'run time';

/** A schedule, as the ledger tells of it. Times in ms since the epoch. */
export interface ScheduleRow extends OfSchedule, ScheduleRule {
  readonly job: string;
  readonly source: ScheduleSource;
  /** Another one with each change of the rule. */
  readonly revision: number;
  /** Only later ticks count. */
  readonly after: number;
  /** The last tick that was taken. */
  readonly last?: number | undefined;
  readonly paused: boolean;
}

/** Answer to `schedules`, with the state that they are of. */
export interface SchedulesReply {
  readonly state: string;
  readonly schedules: readonly ScheduleRow[];
}

/** Answer to `cron tick`. */
export type TickReply =
  /** The job is enqueued, or was not because another has its queue key. */
  | { readonly tick: 'taken'; readonly duplicate?: string }
  /** It was taken before, or passed over. */
  | { readonly tick: 'late' }
  | { readonly tick: 'paused' }
  /** Nobody came for it in its time. */
  | { readonly tick: 'missed' }
  /** Not yet, by the keeper's clock. */
  | { readonly tick: 'early'; readonly waitMs: number }
  /** The ledger has no room. */
  | { readonly tick: 'full' }
  /** There is no such schedule, or it has become another. */
  | { readonly tick: 'unknown' };

/** What becomes of a job that has run. `body` is the number of the part that holds its bytes. */
export type LedgerOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'retry'; readonly afterSeconds: number; readonly body: number }
  | { readonly kind: 'bury'; readonly reason: BuriedReason; readonly body: number }
  /** It must not run for now: it is kept until it is released. */
  | { readonly kind: 'hold'; readonly why: string; readonly body: number }
  /** It was granted behind another and has not begun: it takes its place in line again. */
  | { readonly kind: 'release' };

export type Operation =
  /** `runAt`: it is due then, in ms since the epoch, and not at once. */
  | (OfJob & JobKeys & { readonly op: 'enqueue'; readonly body: number; readonly runAt?: number | undefined })
  /** The same, but it is held from the beginning. Another kind, for one that a keeper didn't understand would run. */
  | (OfJob &
      JobKeys & {
        readonly op: 'enqueue held';
        readonly body: number;
        readonly runAt?: number | undefined;
        readonly why: string;
      })
  /**
   * Holds a job that has not begun; `body` counts where the ledger has not the bytes itself. One without keys is taken over,
   * and `isDelivered` says that its copy is in hand. One that `hasKeys` is known, or there is none.
   */
  | (Copies & {
      readonly op: 'hold';
      readonly queue: string;
      readonly runAt?: number | undefined;
      readonly hasKeys?: boolean | undefined;
      readonly isDelivered?: boolean | undefined;
      readonly why: string;
      readonly body: number;
    })
  /** A copy of a job that was taken over runs, or has run: the hold came too late. */
  | (Copies & { readonly op: 'undo hold' })
  /** Lets a held job go its way; `isNow`: before all others, and though it is not due. */
  | (OfJob & { readonly op: 'release'; readonly isNow?: boolean | undefined })
  /** The same for the first of those that are held for a reason, so many. */
  | {
      readonly op: 'release all';
      readonly partition: string;
      readonly why: string;
      readonly count: number;
    }
  /** Whether a copy that no ledger has sent is void. */
  | (Copies & { readonly op: 'is moved' })
  /** A void copy has turned up and gone. */
  | (Copies & { readonly op: 'met moved' })
  | (OfJob & { readonly op: 'is held' })
  /** The first of those that are held, so many. */
  | {
      readonly op: 'held jobs';
      readonly partition: string;
      readonly why?: string | undefined;
      readonly count: number;
    }
  /** How many are held for which reasons, in all partitions of the ledger. */
  | { readonly op: 'held reasons' }
  /** Asks for the right to run a job that was delivered, and, with `chain` above 1, the next ones of its execution key. */
  | (OfJob & DispatchToken & Holder & { readonly op: 'claim'; readonly chain: number })
  /** The same for a job of a ledger's state that is gone: it is taken in. */
  | (OfJob & JobKeys & DispatchToken & Holder & { readonly op: 'adopt' })
  /** Hands in a job whose execution key is taken. */
  | (OfJob & DispatchToken & { readonly op: 'park'; readonly body: number })
  | (OfJob & { readonly op: 'settle'; readonly fence: number; readonly outcome: LedgerOutcome })
  /** A delivered job that was cancelled has been dealt with. */
  | (OfJob & DispatchToken & { readonly op: 'bid farewell' })
  | (OfJob & { readonly op: 'cancel'; readonly reason: string })
  /** A cancelled job without keys was met and ended. */
  | (OfJob & { readonly op: 'met' })
  | (OfJob & { readonly op: 'is cancelled' })
  /** The cancels of a partition may meet their jobs until then, in ms since the epoch. */
  | { readonly op: 'keep cancels'; readonly partition: string; readonly until: number }
  /** The message of a job has been removed from its queue. */
  | (OfJob & DispatchToken & { readonly op: 'discard' })
  | (OfQueue & { readonly op: 'pause' })
  | (OfQueue & { readonly op: 'resume' })
  /** Removes the jobs of a queue that wait in line. */
  | (OfQueue & { readonly op: 'purge waiting' })
  /** Cancelled jobs and paused queues. */
  | { readonly op: 'standing' }
  | { readonly op: 'paused'; readonly partition: string }
  /** How many jobs with keys are where, and which wait in line; of these the first, so many. */
  | { readonly op: 'survey'; readonly partition: string; readonly count: number }
  | { readonly op: 'is queued'; readonly partition: string; readonly key: string }
  | { readonly op: 'is executing'; readonly partition: string; readonly key: string }
  | { readonly op: 'remove queued'; readonly partition: string; readonly key: string }
  | { readonly op: 'remove executed'; readonly partition: string; readonly key: string }
  /** Makes a schedule, or another of it. `body` is the number of the part with the job that each tick enqueues anew. */
  | (OfSchedule &
      JobKeys &
      ScheduleRule & {
        readonly op: 'schedule';
        readonly job: string;
        readonly source: ScheduleSource;
        readonly body: number;
      })
  | (OfSchedule & { readonly op: 'unschedule' })
  | (OfSchedule & { readonly op: 'pause schedule' })
  | (OfSchedule & { readonly op: 'resume schedule' })
  /** Enqueues its job out of turn, under this id. */
  | (OfSchedule & { readonly op: 'run schedule'; readonly id: string })
  /** Its time has come, by the asker's clock; `at` is the tick, in ms since the epoch. */
  | (OfSchedule & { readonly op: 'cron tick'; readonly at: number; readonly revision: number })
  /** All schedules, or those of a partition. */
  | { readonly op: 'schedules'; readonly partition?: string | undefined }
  /** The keeper's own. */
  | { readonly op: 'dispatched'; readonly dispatch: number }
  | { readonly op: 'dispatch again'; readonly dispatch: number }
  | { readonly op: 'dispatch all again' }
  | (OfJob & { readonly op: 'missing'; readonly dispatch: number })
  | { readonly op: 'tick' };

/** Where a cancel met the job. */
export type CancelMet =
  /** In line behind others of its execution key. */
  | 'waiting'
  /** In its queue, or with a worker that has not begun it. */
  | 'queued'
  /** On its way, for it is not due yet. */
  | 'delayed'
  /** Between two attempts. */
  | 'retrying'
  | 'running'
  /** Held back, until it is released. */
  | 'held'
  /** Nowhere: a job without keys (which the ledger doesn't know) that doesn't run now, or none at all. It won't start. */
  | 'unseen';

/** A job that was granted, in the order in which they have to run. */
interface GrantedJob {
  readonly id: string;
  /** Set: it is not to run but to be bidden farewell. */
  readonly cancelled?: string | undefined;
  /** The number of the part with its bytes; left out for the job that was delivered. */
  readonly body?: number | undefined;
}

/** Answers to `claim` and `adopt`. */
export type ClaimReply =
  | { readonly claim: 'granted'; readonly fence: number; readonly jobs: readonly GrantedJob[] }
  /** Another copy of it counts, or it is over. */
  | { readonly claim: 'stale' }
  /** It is not to run: it was cancelled. */
  | { readonly claim: 'cancelled'; readonly reason: string }
  /** Its execution key is taken: to be handed in by `park`. */
  | { readonly claim: 'wait' }
  /** It belongs to a state that this ledger has never had: to be handed in by `adopt`. */
  | { readonly claim: 'foreign' };

/** Answer to `survey`. */
export interface SurveyReply {
  /** By queue. */
  readonly counts: Readonly<Record<string, Readonly<Record<KeyedJobPlace, number>>>>;
  /** Those in line for their execution keys, in the order in which they were enqueued. */
  readonly waiting: readonly (readonly [id: string, queue: string, executionKey: string])[];
}

/** Where a job with a key stands. */
export type KeyedJobPlace = Exclude<CancelMet, 'unseen'>;

/** Answer to `hold`: where it met the job, before it was held. */
export interface HoldReply {
  readonly met: CancelMet;
  /** All nodes have to hear that copies of it are void. */
  readonly moved?: boolean;
  /** It was cancelled, and won't run anyway. */
  readonly cancelled?: boolean;
  /** There is no such job, or another one goes by its id. */
  readonly refused?: boolean;
  /** The ledger has no room. */
  readonly full?: number;
}

/** Answer to `release`: where the job was; it is released if it was held. */
export interface ReleaseReply {
  readonly met: CancelMet;
}

/** A held job, as the ledger tells of it; since when, in ms since the epoch. */
export type HeldJobRow = readonly [id: string, queue: string, why: string, since: number];

export type HeldReason = readonly [partition: string, why: string, count: number];

export type EnqueueReply = { readonly duplicate?: string; readonly full?: number };

export interface Standing {
  /** The state that it is of: after one was lost, versions begin anew. */
  readonly state: string;
  /** Grows with every change. */
  readonly version: number;
  readonly cancelled: readonly Cancelled[];
  readonly paused: readonly (readonly [partition: string, queue: string])[];
  /** Partitions whose cancels are kept for longer than usual, in ms since the epoch. Left out by older versions. */
  readonly cancelsKept?: readonly (readonly [partition: string, until: number])[];
  /** Copies that are void, if no ledger has sent them. Left out by older versions. */
  readonly moved?: readonly (readonly [partition: string, id: string, queuedAt: number])[];
}

/** A job that must not begin, or must end. With a fence: the run with this fence, the ledger sees to the others. */
export type Cancelled = readonly [partition: string, id: string, reason: string, fence?: number];

/** What every node has to hear of. */
export type StandingChange =
  | (OfJob & { readonly kind: 'cancel'; readonly reason: string; readonly fence?: number })
  /** The cancelled job was met and ended. */
  | (OfJob & { readonly kind: 'met' })
  | { readonly kind: 'keep cancels'; readonly partition: string; readonly until: number }
  /** Copies that no ledger has sent are void. */
  | (Copies & { readonly kind: 'moved' })
  /** They have gone. */
  | (Copies & { readonly kind: 'unmoved' })
  | (OfQueue & { readonly kind: 'pause' })
  | (OfQueue & { readonly kind: 'resume' });

/** What an operation came to. Each kind of operation has its own fields. */
export interface Reply {
  readonly [field: string]: unknown;
}
