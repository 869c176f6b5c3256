// What the API app and the worker app must agree on: tenants, their queues, and where the jobs are carried.
import type { PartitionQueues, RogerModuleOptions } from 'nestjs-roger';

export type Tenant = 'acme' | 'globex';

/** The partitions, and how many jobs of each queue run at once on one node. */
export const TENANTS: Readonly<Record<Tenant, PartitionQueues>> = {
  acme: { mail: { maxWorkers: 10 }, reports: { maxWorkers: 4 }, default: 5 },
  globex: { mail: { maxWorkers: 5 }, reports: { maxWorkers: 2 }, default: 3 },
};

/** Before every name on the broker, so that the quickstart can't meet the queues of another app. */
export const NAMESPACE = 'quickstart';

/** What carries the jobs: a RabbitMQ, or a broker in the memory of this process. */
export type Carrier = Pick<RogerModuleOptions, 'connection' | 'memory'>;

/** The options of an app that has this part. */
export function rogerOptions(mode: 'producer' | 'worker', carrier: Carrier): RogerModuleOptions {
  return { ...carrier, mode, namespace: NAMESPACE, partitions: TENANTS, shutdownTimeoutMs: 5_000 };
}

export function isTenant(name: string): name is Tenant {
  return Object.hasOwn(TENANTS, name);
}

/** All queues of all tenants. */
export function allQueues(): { readonly partition: Tenant; readonly queue: string }[] {
  return (Object.keys(TENANTS) as Tenant[]).flatMap((partition) =>
    Object.keys(TENANTS[partition]).map((queue) => ({ partition, queue })),
  );
}
