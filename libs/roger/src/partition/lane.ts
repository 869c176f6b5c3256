// Runs the jobs of one queue on this node: at most maxWorkers at once, a few more at hand.
import Denque from 'denque';
import { DeliveryLostError, ShutdownError } from '../job/errors';
import type { QueueAddress } from '../job/names';
import type { Delivery, DeliveryConsumer, Subscription, Transport } from '../transport';
import { Run } from '../worker/run';
import type { Outcome, Worker } from '../worker/worker';
import { PrefetchPolicy } from './prefetch-policy';

/** Jobs at hand that nobody has begun for this long go back to the queue: another node may be idle. */
const STALL_MS = 500;
const STALL_CHECK_MS = 250;
/** How long an aborted job may take to notice. */
const ABORT_GRACE_MS = 1_000;

/** How many deliveries ended how, on this node, since the lane began. */
export type OutcomeCounts = Record<Outcome, number>;

export class Lane implements DeliveryConsumer {
  readonly counts: OutcomeCounts = {
    done: 0,
    retried: 0,
    failed: 0,
    buried: 0,
    handedOn: 0,
    handedBack: 0,
    lost: 0,
  };
  /** Why no jobs come at the moment; undefined while they do. */
  waitingFor: Error | undefined;
  private readonly running = new Set<Run>();
  private readonly atHand = new Denque<Delivery>();
  private readonly policy: PrefetchPolicy;
  private subscription: Subscription | undefined;
  private isDraining = false;
  private lastBegunAt = 0;
  private stallTimer: NodeJS.Timeout | undefined;
  private onIdle: (() => void) | undefined;

  constructor(
    readonly address: QueueAddress,
    readonly maxWorkers: number,
    private readonly transport: Transport,
    private readonly worker: Worker,
  ) {
    this.policy = new PrefetchPolicy(maxWorkers);
  }

  start(): void {
    this.subscription = this.transport.consume(this.address, this.policy.prefetch, this);
  }

  get runs(): readonly Run[] {
    return [...this.running];
  }

  get runningCount(): number {
    return this.running.size;
  }

  get atHandCount(): number {
    return this.atHand.length;
  }

  deliver(delivery: Delivery): void {
    if (this.isDraining || this.running.size >= this.maxWorkers) {
      this.atHand.push(delivery);
      this.watchForStall();
    } else {
      this.begin(delivery);
    }
  }

  lost(detail: string): void {
    this.atHand.clear();
    const reason = new DeliveryLostError(detail);
    for (const run of this.running) run.abort(reason);
    this.adjustPrefetch();
  }

  waiting(reason: Error | undefined): void {
    this.waitingFor = reason;
  }

  /**
   * Takes no more jobs, gives back those not begun, and lets the running ones end; those that don't within the time
   * are aborted and given back.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.isDraining = true;
    clearTimeout(this.stallTimer);
    await this.subscription?.stop();
    this.handBackWaiting();
    if (!(await this.idleWithin(timeoutMs))) {
      const reason = new ShutdownError(timeoutMs);
      for (const run of this.running) run.abort(reason);
      await this.idleWithin(ABORT_GRACE_MS);
    }
    await this.subscription?.close();
    // Whoever still runs has no delivery any more: a late result is refused.
    for (const run of this.running) run.abort(new DeliveryLostError('the node has shut down'));
  }

  private begin(delivery: Delivery): void {
    const begunAt = performance.now();
    this.lastBegunAt = begunAt;
    const run = new Run(this.address, Date.now());
    this.running.add(run);
    void this.worker.run(delivery, run).then((outcome) => {
      this.end(run, outcome, performance.now() - begunAt);
    });
  }

  private end(run: Run, outcome: Outcome, durationMs: number): void {
    this.running.delete(run);
    this.counts[outcome]++;
    if (this.policy.record(durationMs) || run.wasLost()) this.adjustPrefetch();
    if (this.running.size === 0) this.onIdle?.();
    if (this.isDraining) return;
    const next = this.atHand.shift();
    if (next !== undefined) this.begin(next);
  }

  private watchForStall(): void {
    if (this.stallTimer !== undefined || this.isDraining) return;
    this.stallTimer = setTimeout(() => {
      this.stallTimer = undefined;
      if (this.atHand.isEmpty()) return;
      const idleMs = performance.now() - this.lastBegunAt;
      if (idleMs < STALL_MS) {
        this.watchForStall();
      } else {
        this.policy.recordStall(idleMs);
        // First the smaller prefetch: with the old one the broker would give them straight back to us.
        this.adjustPrefetch();
        this.handBackWaiting();
      }
    }, STALL_CHECK_MS);
  }

  /** A lost run still takes a worker, but no longer a place among the unsettled. */
  private adjustPrefetch(): void {
    const lost = this.runs.filter((run) => run.wasLost()).length;
    this.subscription?.setPrefetch(Math.max(0, this.policy.prefetch - lost));
  }

  private handBackWaiting(): void {
    for (;;) {
      const delivery = this.atHand.shift();
      if (delivery === undefined) return;
      delivery.settle({ kind: 'handBack' });
    }
  }

  private async idleWithin(timeoutMs: number): Promise<boolean> {
    if (this.running.size === 0) return true;
    let timer: NodeJS.Timeout | undefined;
    const isIdle = await new Promise<boolean>((resolve) => {
      this.onIdle = () => {
        resolve(true);
      };
      timer = setTimeout(() => {
        resolve(false);
      }, timeoutMs);
    });
    clearTimeout(timer);
    return isIdle;
  }
}
