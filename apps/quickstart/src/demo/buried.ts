// Counts what stands among the buried on the broker, before and after.
import type { InfoService } from 'nestjs-roger';
import { PlainError } from '../plain-error';
import { allQueues } from '../tenants';
import { sum } from './sum';
import type { Account } from './tally';

export interface BuriedCount {
  readonly partition: string;
  readonly queue: string;
  readonly count: number;
}

export async function buriedByQueue(info: InfoService): Promise<BuriedCount[]> {
  const counts: BuriedCount[] = [];
  for (const { partition, queue } of allQueues()) {
    const depth = await info.queueDepth(partition, queue);
    counts.push({ partition, queue, count: depth?.buried ?? 0 });
  }
  return counts;
}

/** The queues to which buried jobs came, with how many. @throws PlainError when the broker has fewer new ones than the worker told of */
export function buriedSince(
  before: readonly BuriedCount[],
  after: readonly BuriedCount[],
  accounts: readonly Account[],
): BuriedCount[] {
  const told = sum(accounts.map(({ buried }) => buried));
  const added = after.map((grave, index) => ({ ...grave, count: grave.count - (before[index]?.count ?? 0) }));
  const found = sum(added.map(({ count }) => count));
  if (found < told) {
    throw new PlainError(
      `The worker buried ${told} jobs, but the broker has only ${found} more than before.`,
    );
  }
  return added.filter(({ count }) => count > 0);
}
