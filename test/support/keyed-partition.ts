// The options for a partition whose ledgers are its own: nothing that other tests left is in them.
import type { RogerModuleOptions } from 'nestjs-roger';
import { sharedBrokerUri, uniquePartition } from './broker';

/** One partition in one namespace, both of this name. */
export interface KeyedPartition {
  readonly partition: string;
  /** Of a node that runs its jobs. */
  readonly worker: RogerModuleOptions;
  /** Of a node that enqueues only. */
  readonly producer: RogerModuleOptions;
}

export function keyedPartition(
  queues: Readonly<Record<string, number>> = { default: 5 },
  more: RogerModuleOptions = {},
): KeyedPartition {
  const partition = uniquePartition();
  const common = { connection: { uri: sharedBrokerUri() }, namespace: partition, ...more };
  const worker = { ...common, partitions: { [partition]: queues } };
  return { partition, worker, producer: { ...worker, mode: 'producer' } };
}
