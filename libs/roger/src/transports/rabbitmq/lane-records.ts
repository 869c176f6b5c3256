// What stands in the stream of lanes: one record for each that was made. Untrusted.
import { fieldsOf } from '../../job/fields-of';
import type { QueueLane } from '../../job/lanes';
import { isLane } from '../../job/lanes';
import type { QueueAddress } from '../../job/names';
import { problemOfPartitionId, problemOfQueueName } from '../../job/names';

export function bodyOfLane({ partition, queue }: QueueAddress, lane: QueueLane): Buffer {
  return Buffer.from(JSON.stringify({ partition, queue, lane }));
}

/** Whoever may enqueue can write it: what names no queue is passed over. */
export function laneIn(
  body: Buffer,
): { readonly address: QueueAddress; readonly lane: QueueLane } | undefined {
  let record: unknown;
  try {
    record = JSON.parse(body.toString());
  } catch {
    return undefined;
  }
  const { partition, queue, lane } = fieldsOf(record);
  if (problemOfPartitionId(partition) !== undefined || problemOfQueueName(queue) !== undefined) {
    return undefined;
  }
  if (!isLane(lane) || lane === 'normal') return undefined;
  return { address: { partition: partition as string, queue: queue as string }, lane };
}
