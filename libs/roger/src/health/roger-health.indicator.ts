// Puts Roger's health into the form that @nestjs/terminus takes. Needs nothing of it.
import type { HealthOptions, HealthReport, RogerHealth } from './roger-health';

/** What `@nestjs/terminus` calls a HealthIndicatorResult. */
export type RogerIndicatorResult<Key extends string = string> = Record<
  Key,
  { status: 'up' | 'down' } & Pick<HealthReport, 'state'> & HealthReport['checks']
>;

/**
 * An indicator for `@nestjs/terminus` 11 or newer, which an app that uses it installs itself.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { RogerHealthIndicator } from 'nestjs-roger';
 *
 * // To be given to `HealthCheckService.check` of terminus.
 * \@Injectable()
 * export class Probes {
 *   constructor(private readonly roger: RogerHealthIndicator) {}
 *
 *   readonly ready = [() => this.roger.isReady('roger')];
 *   readonly live = [() => this.roger.isLive('roger')];
 * }
 * ```
 */
export class RogerHealthIndicator {
  /** @internal */
  constructor(private readonly health: RogerHealth) {}

  /** For a readiness probe: whether the node does its work. */
  async isReady<Key extends string = 'roger'>(
    key = 'roger' as Key,
    options: HealthOptions = {},
  ): Promise<RogerIndicatorResult<Key>> {
    const report = await this.health.check(options);
    return resultOf(key, report.isReady, report);
  }

  /** For a liveness probe: false only where a restart is the remedy. */
  async isLive<Key extends string = 'roger'>(
    key = 'roger' as Key,
    options: HealthOptions = {},
  ): Promise<RogerIndicatorResult<Key>> {
    const report = await this.health.check(options);
    return resultOf(key, report.isLive, report);
  }
}

function resultOf<Key extends string>(
  key: Key,
  isUp: boolean,
  { state, checks }: HealthReport,
): RogerIndicatorResult<Key> {
  const result = { [key]: { status: isUp ? 'up' : 'down', state, ...checks } };
  return result as RogerIndicatorResult<Key>;
}
