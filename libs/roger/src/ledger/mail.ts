// What nodes write to each other about ledgers.
import type { HeldAnswer, HeldQuestion } from './held-deliveries';
import type { Reply, StandingChange } from './operation';
import type { NodeCard } from './present-nodes';

/** Of each: the operation's number, the answer, and the number of the first of its parts. */
export type Replies = readonly (readonly [number: number, reply: Reply, firstPart: number])[];

export type Mail =
  /** Answers to requests. */
  | {
      readonly mail: 'reply';
      readonly session: string;
      readonly replies: Replies;
    }
  /** A node is there. Said from time to time, and when asked. */
  | ({ readonly mail: 'here' } & NodeCard)
  | { readonly mail: 'gone'; readonly node: string }
  /** Who is there? */
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
  /** Which deliveries are in hand; to be answered by `held`. */
  | HeldQuestion
  | HeldAnswer
  /** Is the node there at all? */
  | { readonly mail: 'ping' }
  /** A ledger's schedules have changed. */
  | { readonly mail: 'schedules'; readonly ledger: number };

const KINDS: Record<Mail['mail'], true> = {
  reply: true,
  here: true,
  gone: true,
  who: true,
  keeper: true,
  standing: true,
  heard: true,
  ping: true,
  'held?': true,
  held: true,
  schedules: true,
};

/** Whether it is mail of a kind that this version knows; what a newer one writes besides is passed over. */
export function isMail(head: unknown): head is Mail {
  if (typeof head !== 'object' || head === null) return false;
  const { mail } = head as { mail?: unknown };
  return typeof mail === 'string' && Object.hasOwn(KINDS, mail);
}

/** What may stand behind Roger's prefix as the name of a node's mailbox, on whatever transport. */
const NODE = /^[A-Za-z0-9-]{1,128}$/;
const MAX_NAME_LENGTH = 128;

export function isNodeId(value: unknown): value is string {
  return typeof value === 'string' && NODE.test(value);
}

/** The card in a mail of unknown origin, and nothing but it; undefined when it is none. */
export function nodeCardOf(mail: { readonly [field in keyof NodeCard]?: unknown }): NodeCard | undefined {
  const { node, name, role, isActive, serves, since } = mail;
  if (!isNodeId(node) || typeof name !== 'string' || name.length > MAX_NAME_LENGTH) return undefined;
  if (role !== 'worker' && role !== 'producer') return undefined;
  if (typeof isActive !== 'boolean' || typeof serves !== 'boolean') return undefined;
  return typeof since === 'number' ? { node, name, role, isActive, serves, since } : undefined;
}
