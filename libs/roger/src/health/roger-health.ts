// Tells whether this node is well, for probes.
import type { Activity, NodePhase } from '../cluster/activity';
import type { Ledgers } from '../ledger/ledgers';
import type { PartitionService } from '../partition/partition.service';
import type { Transport, TransportState } from '../transport';
import { EventLoopLag } from './event-loop-lag';
import type { SilentLedger } from './keeper-checks';
import { KeeperChecks } from './keeper-checks';

/** `unknown`: it can't be told now, or there is nothing to tell; it is not held against the node. */
export type HealthStatus = 'up' | 'down' | 'unknown';

/** A queue of this node that gets no jobs. */
export interface WaitingQueue {
  readonly partition: string;
  readonly queue: string;
  readonly reason: string;
}

/** How well this node is. */
export interface HealthReport {
  /** False only where a restart is the remedy: the node is closed for good. A lost connection is mended by itself. */
  readonly isLive: boolean;
  /** Whether it does its work: it has started, takes jobs, is not about to end, and no check is `down`. */
  readonly isReady: boolean;
  /** `inactive`: after `ClusterService.setInactive()`. */
  readonly state: NodePhase | 'inactive';
  readonly checks: {
    /** To the broker, and the mail between the nodes as far as this one uses it. */
    readonly connection: {
      readonly status: HealthStatus;
      readonly state: TransportState;
      readonly reason?: string;
    };
    /** `down`: the broker takes no jobs at the moment (memory or disk alarm). */
    readonly blocked: { readonly status: HealthStatus };
    /** Whether all queues of this node get their jobs, and, of the first 20 that don't, why. Paused ones count as well. */
    readonly consumers: {
      readonly status: HealthStatus;
      readonly partitions: number;
      readonly waiting: readonly WaitingQueue[];
    };
    /** Whether the ledgers that this node uses (for keys, cancels, pauses, recurring jobs) answer. */
    readonly keeper: {
      readonly status: HealthStatus;
      readonly ledgers: number;
      readonly silent: readonly SilentLedger[];
    };
    /** By how many ms the event loop was late at worst, in the last second or two before this. */
    readonly eventLoop: { readonly status: HealthStatus; readonly lagMs: number };
  };
}

/** Limits of a check. */
export interface HealthOptions {
  /** Milliseconds that a check may take at most. @default 2000 */
  readonly timeoutMs?: number | undefined;
  /** The event loop is `down` when it was later than this, in ms. @default 1000 */
  readonly maxEventLoopLagMs?: number | undefined;
}

export interface RogerHealthParts {
  readonly activity: Activity;
  readonly transport: Pick<Transport, 'state'>;
  readonly ledgers: Pick<Ledgers, 'hearsMail' | 'wantsMail' | 'trouble' | 'inUse' | 'askWhetherThere'>;
  readonly partitions: Pick<PartitionService, 'ids' | 'queues'>;
}

const DEFAULT_TIMEOUT_MS = 2_000;
const DEFAULT_MAX_LAG_MS = 1_000;
const MAX_WAITING = 20;

/**
 * How well this node is, for the probes of an orchestrator. Costs next to nothing: it may be asked every second. Only the
 * keepers of ledgers are asked anything, each at most once a second.
 *
 * @example
 * ```ts
 * import { Controller, Get, ServiceUnavailableException } from '@nestjs/common';
 * import { RogerHealth } from 'nestjs-roger';
 *
 * \@Controller('ready')
 * export class Readiness {
 *   constructor(private readonly health: RogerHealth) {}
 *
 *   \@Get()
 *   async ready(): Promise<object> {
 *     const report = await this.health.check();
 *     if (!report.isReady) throw new ServiceUnavailableException(report);
 *     return report;
 *   }
 * }
 * ```
 */
export class RogerHealth {
  private readonly lag = new EventLoopLag();
  private readonly keepers: KeeperChecks;

  /** @internal */
  constructor(private readonly parts: RogerHealthParts) {
    this.keepers = new KeeperChecks(parts.ledgers);
  }

  /** Looks how this node is. Settles within the time; never rejects. */
  async check(options: HealthOptions = {}): Promise<HealthReport> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, maxEventLoopLagMs = DEFAULT_MAX_LAG_MS } = options;
    const [keeper, lagMs] = await Promise.all([this.keeper(timeoutMs), this.lag.worstMs()]);
    const { activity, transport } = this.parts;
    const checks: HealthReport['checks'] = {
      connection: this.connection(),
      blocked: this.blocked(),
      consumers: this.consumers(),
      keeper,
      eventLoop: { status: lagMs > maxEventLoopLagMs ? 'down' : 'up', lagMs },
    };
    const { phase, isActive } = activity;
    const isWell = Object.values(checks).every(({ status }) => status !== 'down');
    return {
      isLive: phase === 'starting' || (phase !== 'stopped' && transport.state !== 'closed'),
      isReady: phase === 'running' && isActive && isWell,
      state: phase === 'running' && !isActive ? 'inactive' : phase,
      checks,
    };
  }

  /** @internal */
  close(): void {
    this.lag.close();
  }

  private connection(): HealthReport['checks']['connection'] {
    const { transport, ledgers } = this.parts;
    const { state } = transport;
    if (state !== 'connected' && state !== 'blocked') {
      return { status: 'down', state, reason: 'there is no connection to the broker' };
    }
    if (!ledgers.wantsMail || ledgers.hearsMail) return { status: 'up', state };
    const reason = ledgers.trouble?.message ?? 'not connected';
    return { status: 'down', state, reason: `mail between nodes: ${reason}` };
  }

  private blocked(): HealthReport['checks']['blocked'] {
    const { state } = this.parts.transport;
    if (state === 'blocked') return { status: 'down' };
    return { status: state === 'connected' ? 'up' : 'unknown' };
  }

  private consumers(): HealthReport['checks']['consumers'] {
    const { partitions } = this.parts;
    const { ids } = partitions;
    const waiting = ids.flatMap((partition) =>
      partitions.queues(partition).flatMap(({ queue, waitingFor }) => {
        return waitingFor === undefined ? [] : [{ partition, queue, reason: waitingFor.message }];
      }),
    );
    const status = waiting.length === 0 ? 'up' : 'down';
    return { status, partitions: ids.length, waiting: waiting.slice(0, MAX_WAITING) };
  }

  private async keeper(timeoutMs: number): Promise<HealthReport['checks']['keeper']> {
    const { ledgers, activity } = this.parts;
    const { inUse } = ledgers;
    // Where no mail comes, no answer does; that is told as the connection's.
    if (inUse.length === 0 || !ledgers.hearsMail || activity.phase === 'stopped') {
      return { status: 'unknown', ledgers: inUse.length, silent: [] };
    }
    const silent = await this.keepers.silent(inUse, timeoutMs);
    return { status: silent.length === 0 ? 'up' : 'down', ledgers: inUse.length, silent };
  }
}
