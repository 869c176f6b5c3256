// The option that says where the partitions come from, and how the source is found in the app.
import type { InjectionToken } from '@nestjs/common';
import type { ModuleRef } from '@nestjs/core';
import type { Problem } from '../job/errors';
import { describe } from '../job/names';
import type { Check } from '../job/option-checks';
import { problemsOfFields } from '../job/option-checks';
import type { PartitionSource } from '../partition/partition-source';
import type { PartitionQueuesById } from '../partition/queue-options';

/** Partitions from a function, called once the app has started. When it fails, it is called again after a pause. */
export interface PartitionsFactory {
  // Its arguments are what `inject` names, which types can't follow.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly useFactory: (...dependencies: any[]) => PartitionQueuesById | Promise<PartitionQueuesById>;
  /** The providers of the app that it is given. @default none */
  readonly inject?: readonly InjectionToken[] | undefined;
}

/** Partitions from a provider of the app that is a {@link PartitionSource}. */
export interface PartitionsProvider {
  readonly useExisting: InjectionToken<PartitionSource>;
}

export type PartitionSourceOption = PartitionsFactory | PartitionsProvider;

/** Neither of them could be the queues of a partition of that name. */
export function isSourceOption(value: unknown): value is PartitionSourceOption {
  if (typeof value !== 'object' || value === null) return false;
  const { useFactory, useExisting } = value as { useFactory?: unknown; useExisting?: unknown };
  return typeof useFactory === 'function' || isToken(useExisting);
}

export function problemsOfSource(value: PartitionSourceOption, path: string): Problem[] {
  const checks = 'useFactory' in value ? FACTORY_CHECKS : PROVIDER_CHECKS;
  return problemsOfFields(value, checks, path);
}

/** @throws when the app has no such provider, or it is no source. */
export function sourceOf(option: PartitionSourceOption, moduleRef: ModuleRef): PartitionSource {
  const find = (token: InjectionToken): unknown => moduleRef.get(token as string, { strict: false });
  if ('useFactory' in option) {
    const { useFactory, inject = [] } = option;
    return { load: () => useFactory(...inject.map(find)) };
  }
  const source = find(option.useExisting) as Partial<PartitionSource> | undefined;
  if (typeof source?.load !== 'function') {
    throw new Error(
      `what partitions.useExisting names has no load(), so it is no PartitionSource: ${describe(source)}`,
    );
  }
  return source as PartitionSource;
}

function isToken(value: unknown): boolean {
  return typeof value === 'function' || typeof value === 'symbol' || typeof value === 'string';
}

const FACTORY_CHECKS: Record<keyof PartitionsFactory, Check> = {
  useFactory: () => [],
  inject: (value, path) =>
    Array.isArray(value) ? [] : [{ path, message: `must be a list of providers, not ${describe(value)}` }],
};
const PROVIDER_CHECKS: Record<keyof PartitionsProvider, Check> = { useExisting: () => [] };
