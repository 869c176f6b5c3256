// Counts the jobs that stand in delay and retry levels.
import type { ChannelModel } from 'amqplib';
import { DELAY_LEVELS } from '../../job/delays';
import type { LevelDepths } from '../../transport';
import type { BrokerNames } from './broker-names';
import { NOT_FOUND, replyCode, withChannel } from './topology';

/** A missing queue costs its question a channel. */
const AT_ONCE = 8;

/** See the port's `levels`. */
export async function countLevels(
  connection: ChannelModel,
  names: BrokerNames,
  retryLevels: ReadonlySet<number>,
): Promise<LevelDepths> {
  const delays = Array.from({ length: DELAY_LEVELS }, (_, level) => names.delayLevel(level));
  const retries = new Map([...retryLevels].map((seconds) => [names.retryLevel(seconds), seconds]));
  const counts = new Map<string, number>();
  const left = [...delays, ...retries.keys(), names.homeless];
  const countNext = async (): Promise<void> => {
    for (let queue = left.pop(); queue !== undefined; queue = left.pop()) {
      counts.set(queue, await countIn(connection, queue));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, countNext));
  const countOf = (queue: string): number => counts.get(queue) ?? 0;
  const filled = [...retries].filter(([queue]) => countOf(queue) > 0);
  return {
    delayed: delays.reduce((sum, queue) => sum + countOf(queue), 0),
    retrying: new Map(filled.map(([queue, seconds]) => [seconds, countOf(queue)])),
    homeless: countOf(names.homeless),
  };
}

/** A queue that nobody has needed yet holds none. */
async function countIn(connection: ChannelModel, queue: string): Promise<number> {
  try {
    return await withChannel(connection, async (channel) => (await channel.checkQueue(queue)).messageCount);
  } catch (error) {
    if (replyCode(error) === NOT_FOUND) return 0;
    throw error;
  }
}
