// What stands in the journal of a queue: a copy of each job that came to the queue, and notes of those that left it.
import type { ConsumeMessage, MessageProperties, Options } from 'amqplib';
import { CONTENT_TYPE } from '../../../job/job-codec';
import { isCount } from '../../../job/is-count';
import { isLane } from '../../../job/lanes';
import type { QueueLane } from '../../../transport';

/** What the journal can say of a queue, one piece at a time. */
export type JournalRecord =
  /** A job came to the queue, or will when it is due. */
  | (JournalEntry & { readonly kind: 'entered' })
  /** These left it: ended, or gone on as another message. */
  | { readonly kind: 'left'; readonly tokens: readonly string[] }
  /** Whatever stood on the lane then was removed. */
  | { readonly kind: 'emptied'; readonly lane: QueueLane; readonly at: number }
  /** Somebody looks: what stands before it is what there was. */
  | { readonly kind: 'mark'; readonly mark: string };

export interface JournalEntry {
  /** Of the message, for a job can come as several, one after another. */
  readonly token: string;
  readonly lane: QueueLane;
  /** In ms since the epoch, by the clock of who sent it. */
  readonly sentAt: number;
  /** When a delayed one is to come to the queue. */
  readonly dueAt: number | undefined;
  readonly body: Buffer;
}

type Note = Exclude<JournalRecord, { readonly kind: 'entered' }>;

const NOTE_TYPE = 'application/vnd.roger.journal+json';
const SENT_AT = 'sent';
const DUE_AT = 'due';
const LANE = 'lane';

/** How an entry is published; its body is the job's. */
export function propertiesOfEntry({
  token,
  lane,
  sentAt,
  dueAt,
}: Omit<JournalEntry, 'body'>): Options.Publish {
  const headers: Record<string, string | number> = { [SENT_AT]: sentAt };
  if (dueAt !== undefined) headers[DUE_AT] = dueAt;
  if (lane !== 'normal') headers[LANE] = lane;
  return { contentType: CONTENT_TYPE, correlationId: token, headers, persistent: true };
}

export function bodyOfNote(note: Note): Buffer {
  return Buffer.from(JSON.stringify(note));
}

export const NOTE_PROPERTIES: Options.Publish = { contentType: NOTE_TYPE, persistent: true };

/** The token of a message that has one. */
export function tokenOf(properties: MessageProperties): string | undefined {
  const { correlationId } = properties as { readonly correlationId?: unknown };
  return typeof correlationId === 'string' && correlationId.length <= MAX_TOKEN ? correlationId : undefined;
}

/** Undefined for what no journal of this version holds. */
export function recordOf({ content, properties }: ConsumeMessage): JournalRecord | undefined {
  const { contentType } = properties as { readonly contentType?: unknown };
  if (contentType === NOTE_TYPE) return noteIn(content);
  const token = tokenOf(properties);
  if (contentType !== CONTENT_TYPE || token === undefined) return undefined;
  const headers: Readonly<Record<string, unknown>> = properties.headers ?? {};
  const { [SENT_AT]: sentAt, [DUE_AT]: dueAt, [LANE]: lane } = headers;
  if (!isCount(sentAt) || !(dueAt === undefined || isCount(dueAt))) return undefined;
  return {
    kind: 'entered',
    token,
    sentAt,
    dueAt,
    lane: isLane(lane) ? lane : 'normal',
    body: content,
  };
}

const MAX_TOKEN = 64;

function noteIn(content: Buffer): Note | undefined {
  let note: { readonly [field: string]: unknown };
  try {
    note = (JSON.parse(content.toString()) ?? {}) as typeof note;
  } catch {
    return undefined;
  }
  const { kind, tokens, lane, at, mark } = note;
  if (kind === 'left' && isTexts(tokens)) return { kind, tokens };
  if (kind === 'emptied' && isLane(lane) && isCount(at)) return { kind, lane, at };
  if (kind === 'mark' && typeof mark === 'string') return { kind, mark };
  return undefined;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
