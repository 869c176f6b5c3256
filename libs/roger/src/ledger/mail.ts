// What nodes write to each other about ledgers.
import type { Reply, StandingChange } from './operation';

/** Of each: the operation's number, the answer, and the number of the first of its parts. */
export type Replies = readonly (readonly [number: number, reply: Reply, firstPart: number])[];

export type Mail =
  /** Answers to requests. */
  | {
      readonly mail: 'reply';
      readonly session: string;
      readonly replies: Replies;
    }
  /** A node serves partitions and has to hear of changes. Said from time to time, and when asked. */
  | { readonly mail: 'here'; readonly node: string }
  | { readonly mail: 'gone'; readonly node: string }
  /** Who serves? */
  | { readonly mail: 'who'; readonly node: string }
  /** A ledger has a new keeper. */
  | { readonly mail: 'keeper'; readonly ledger: number; readonly node: string }
  /** Cancels, pauses and resumes of a ledger, up to this version. To be answered by `heard`. */
  | {
      readonly mail: 'standing';
      readonly ledger: number;
      readonly node: string;
      readonly number: number;
      readonly state: string;
      readonly version: number;
      readonly change: StandingChange;
    }
  | {
      readonly mail: 'heard';
      readonly node: string;
      readonly number: number;
      /** The job that was cancelled runs there. */
      readonly isRunning: boolean;
    }
  /** Is the node there at all? */
  | { readonly mail: 'ping' }
  /** A ledger's schedules have changed. */
  | { readonly mail: 'schedules'; readonly ledger: number }
  /** The queue has an express lane from now on. */
  | { readonly mail: 'express'; readonly partition: string; readonly queue: string };

const KINDS: Record<Mail['mail'], true> = {
  reply: true,
  here: true,
  gone: true,
  who: true,
  keeper: true,
  standing: true,
  heard: true,
  ping: true,
  express: true,
  schedules: true,
};

/** Whether it is mail of a kind that this version knows; what a newer one writes besides is passed over. */
export function isMail(head: unknown): head is Mail {
  if (typeof head !== 'object' || head === null) return false;
  const { mail } = head as { mail?: unknown };
  return typeof mail === 'string' && Object.hasOwn(KINDS, mail);
}
