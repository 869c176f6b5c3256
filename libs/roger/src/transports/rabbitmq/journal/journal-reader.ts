// Reads the journal of a queue backwards, stretch by stretch, until the jobs that stand in the queue have been found.
import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { NotConnectedError } from '../../../job/errors';
import { openChannel } from '../topology';
import type { JournalRecord } from './journal-records';
import { bodyOfNote, NOTE_PROPERTIES, recordOf } from './journal-records';
import type { StandingJobs } from './standing-jobs';

const STRETCH = 10_000;
/** Some seconds of reading. */
const MAX_RECORDS = 300_000;
/** In memory at once, whatever their size. */
const PREFETCH = 400;
const ACK_EVERY = 100;
const SILENCE_MS = 5_000;

/**
 * Reads as far as needed for `expected` jobs, to the beginning at most.
 * @returns false when the journal is too long for that.
 * @throws NotConnectedError, and what amqplib throws where there is no journal.
 */
export async function readJournal(
  connection: ChannelModel,
  journal: string,
  jobs: StandingJobs,
  /** Asked when the mark has been set, so that both are of one moment, about. */
  countExpected: () => Promise<number>,
): Promise<{ readonly expected: number; readonly isComplete: boolean }> {
  const mark = await setMark(connection, journal);
  const expected = await countExpected();
  const newest = await newestOffset(connection, journal);
  let end = Infinity;
  let start = newest;
  let isAtBeginning: boolean;
  do {
    start = Math.max(0, start - STRETCH);
    const stretch = await readStretch(connection, journal, start, end, mark);
    jobs.readBack(stretch.records);
    isAtBeginning = start === 0 || stretch.firstOffset > start;
    end = start;
  } while (jobs.count < expected && !isAtBeginning && newest - start < MAX_RECORDS);
  return { expected, isComplete: jobs.count >= expected || isAtBeginning };
}

/** What was written before it stands before it. */
async function setMark(connection: ChannelModel, journal: string): Promise<string> {
  const mark = randomUUID();
  const publisher = await connection.createConfirmChannel();
  // Its failures reach the waiting below.
  publisher.on('error', () => undefined);
  publisher.sendToQueue(journal, bodyOfNote({ kind: 'mark', mark }), NOTE_PROPERTIES);
  await publisher.waitForConfirms();
  await publisher.close();
  return mark;
}

/** About: the mark can be a little before or behind it. */
async function newestOffset(connection: ChannelModel, journal: string): Promise<number> {
  let newest = 0;
  await follow(connection, journal, 'last', (message) => {
    newest = offsetOf(message);
    return false;
  });
  return newest;
}

/** The records from an offset to another, or to the mark. */
async function readStretch(
  connection: ChannelModel,
  journal: string,
  start: number,
  end: number,
  mark: string,
): Promise<{ readonly records: readonly JournalRecord[]; readonly firstOffset: number }> {
  const records: JournalRecord[] = [];
  let firstOffset: number | undefined;
  await follow(connection, journal, start, (message) => {
    const offset = offsetOf(message);
    firstOffset ??= offset;
    const record = recordOf(message);
    // Where the journal has been cut meanwhile, only the mark says that it is over.
    if (offset >= end || (record?.kind === 'mark' && record.mark === mark)) return false;
    if (record !== undefined) records.push(record);
    return true;
  });
  return { records, firstOffset: firstOffset ?? start };
}

/** Shows the messages of a stream from an offset on, until it is told that no more are wanted. @throws NotConnectedError */
async function follow(
  connection: ChannelModel,
  journal: string,
  offset: number | 'last',
  onMessage: (message: ConsumeMessage) => boolean,
): Promise<void> {
  const { channel, failure, close } = await openChannel(connection);
  try {
    await channel.prefetch(PREFETCH);
    await consumeUntil(channel, journal, offset, onMessage);
  } catch (error) {
    throw failure() ?? error;
  } finally {
    await close();
  }
}

async function consumeUntil(
  channel: Channel,
  journal: string,
  offset: number | 'last',
  onMessage: (message: ConsumeMessage) => boolean,
): Promise<void> {
  let silence: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => {
        reject(new NotConnectedError(new Error('the broker does not go on with a journal')));
      };
      silence = setTimeout(giveUp, SILENCE_MS);
      channel.once('close', giveUp);
      let seen = 0;
      let isOver = false;
      const onDelivery = (message: ConsumeMessage | null): void => {
        if (isOver) return;
        silence?.refresh();
        isOver = message === null || !onMessage(message);
        if (isOver) resolve();
        else if (message !== null && ++seen % ACK_EVERY === 0) channel.ack(message, true);
      };
      channel.consume(journal, onDelivery, { arguments: { 'x-stream-offset': offset } }).catch(reject);
    });
  } finally {
    clearTimeout(silence);
  }
}

function offsetOf({ properties }: ConsumeMessage): number {
  const offset: unknown = properties.headers?.['x-stream-offset'];
  return typeof offset === 'number' ? offset : 0;
}
