// What nodes write to each other about single jobs: who watches one, how far it is, how it ended. All of it is untrusted.
import { isCount } from '../job/is-count';
import type { ReplyTo } from '../job/job';
import { problemOfJobId, problemOfPartitionId } from '../job/names';
import { isNodeId } from '../ledger/mail';

/** A node watches these jobs, for some seconds from now on. */
export interface WatchMail {
  readonly mail: 'watch';
  readonly node: string;
  readonly jobs: readonly JobAddress[];
}

export type JobAddress = readonly [partition: string, id: string];

/** A job that the node watches runs, and is so far. */
export interface ProgressMail {
  readonly mail: 'progress';
  readonly partition: string;
  readonly id: string;
  readonly node: string;
  readonly attempt: number;
  /** Absent: it has told nothing yet. */
  readonly value?: unknown;
}

/** An awaited job has ended so. To be answered by `received`. */
export interface OutcomeMail {
  readonly mail: 'outcome';
  /** Who tells it. */
  readonly node: string;
  readonly token: string;
  readonly outcome: FinalOutcome;
}

/** The outcome of an awaited job has come. */
export interface ReceivedMail {
  readonly mail: 'received';
  readonly token: string;
}

/** How a job ended for good. */
export type FinalOutcome =
  /** The result is the mail's first part; without one it is undefined. */
  | { readonly kind: 'done' }
  /** It is done, but its result can't travel. */
  | { readonly kind: 'done without result'; readonly problem: string }
  | {
      readonly kind: 'failed' | 'buried';
      readonly type: string;
      readonly message: string;
      readonly attempts: number;
    }
  | { readonly kind: 'cancelled'; readonly reason: string };

export type ReportMail = WatchMail | ProgressMail | OutcomeMail | ReceivedMail;

/** One mail says so many at most. */
export const JOBS_PER_WATCH = 100;

const TOKEN = /^[A-Za-z0-9_-]{16,64}$/;

export function isReplyTo(value: unknown): value is ReplyTo {
  if (typeof value !== 'object' || value === null) return false;
  const { node, token } = value as Partial<Record<keyof ReplyTo, unknown>>;
  return isNodeId(node) && isMatch(TOKEN, token);
}

export function isReportMail(head: unknown): head is ReportMail {
  if (typeof head !== 'object' || head === null) return false;
  const mail = head as { readonly [field: string]: unknown };
  switch (mail['mail']) {
    case 'watch':
      return isNodeId(mail['node']) && isAddresses(mail['jobs']);
    case 'progress':
      return isNodeId(mail['node']) && isAddress([mail['partition'], mail['id']]) && isCount(mail['attempt']);
    case 'outcome':
      return isNodeId(mail['node']) && isMatch(TOKEN, mail['token']) && isOutcome(mail['outcome']);
    case 'received':
      return isMatch(TOKEN, mail['token']);
    default:
      return false;
  }
}

function isOutcome(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const outcome = value as { readonly [field: string]: unknown };
  switch (outcome['kind']) {
    case 'done':
      return true;
    case 'done without result':
      return typeof outcome['problem'] === 'string';
    case 'failed':
    case 'buried':
      return (
        typeof outcome['type'] === 'string' &&
        typeof outcome['message'] === 'string' &&
        isCount(outcome['attempts'])
      );
    case 'cancelled':
      return typeof outcome['reason'] === 'string';
    default:
      return false;
  }
}

function isAddresses(value: unknown): boolean {
  return Array.isArray(value) && value.length <= JOBS_PER_WATCH && value.every(isAddress);
}

function isAddress(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    problemOfPartitionId(value[0]) === undefined &&
    problemOfJobId(value[1]) === undefined
  );
}

function isMatch(pattern: RegExp, value: unknown): boolean {
  return typeof value === 'string' && pattern.test(value);
}
