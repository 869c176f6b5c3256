// What stands in the stream of lanes: a record of each before it is made, and one after. Untrusted.
import { fieldsOf } from '../../job/fields-of';
import type { QueueLane } from '../../job/lanes';
import { isLane } from '../../job/lanes';
import type { QueueAddress } from '../../job/names';
import { problemOfPartitionId, problemOfQueueName } from '../../job/names';

export interface LaneRecord {
  readonly address: QueueAddress;
  readonly lane: QueueLane;
  /** It is there; else it is about to be. */
  readonly isMade: boolean;
}

export function bodyOfLane({ address: { partition, queue }, lane, isMade }: LaneRecord): Buffer {
  return Buffer.from(JSON.stringify({ partition, queue, lane, ...(isMade ? { isMade } : {}) }));
}

/** Whoever may enqueue can write it: what names no queue is passed over. */
export function laneIn(body: Buffer): LaneRecord | undefined {
  let record: unknown;
  try {
    record = JSON.parse(body.toString());
  } catch {
    return undefined;
  }
  const { partition, queue, lane, isMade } = fieldsOf(record);
  if (problemOfPartitionId(partition) !== undefined || problemOfQueueName(queue) !== undefined) {
    return undefined;
  }
  if (!isLane(lane) || lane === 'normal') return undefined;
  const address = { partition: partition as string, queue: queue as string };
  return { address, lane, isMade: isMade === true };
}
