// One tenant on this node: its lanes, which come and go with its list of queues.
import { ShutdownError } from '../job/errors';
import type { Draining, LaneParts } from './lane';
import { Lane } from './lane';
import type { PartitionQueues } from './queue-options';
import { maxWorkersOf } from './queue-options';

/** How a partition stands on this node. */
export type PartitionState =
  /** All its queues get their jobs. */
  | { readonly state: 'running' }
  /** A queue gets none, and why; it is tried on, by itself. */
  | { readonly state: 'waiting'; readonly reason: Error }
  /** It takes no more jobs; those that run are ending. */
  | { readonly state: 'stopping' };

export interface Stopping extends Pick<Draining, 'graceMs'> {
  /** What is going on, for the reason that jobs are told. */
  readonly why?: string;
}

export class Partition {
  /** Those of its queues, by name. */
  readonly lanes = new Map<string, Lane>();
  /** Those that were left out and still run something. */
  private readonly leaving = new Map<string, Lane>();
  private readonly watchers = new Set<() => void>();
  private isStopping = false;

  constructor(
    readonly id: string,
    private readonly parts: LaneParts,
    /** Told of each lane that begins, before it takes anything. */
    private readonly onLane: (lane: Lane) => void,
  ) {}

  get state(): PartitionState {
    if (this.isStopping) return { state: 'stopping' };
    const reason = this.trouble ?? [...this.lanes.values()].find(({ waitingFor }) => waitingFor)?.waitingFor;
    return reason === undefined ? { state: 'running' } : { state: 'waiting', reason };
  }

  /** All in which something may run. */
  get lanesInUse(): readonly Lane[] {
    return [...this.lanes.values(), ...this.leaving.values()];
  }

  /** Resolves to the state as soon as it is known for sure, or when the time is over. */
  settled(timeoutMs: number): Promise<PartitionState> {
    if (this.isSure) return Promise.resolve(this.state);
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.watchers.delete(look);
        resolve(this.state);
      };
      const look = (): void => {
        if (this.isSure) end();
      };
      const timer = setTimeout(end, timeoutMs);
      this.watchers.add(look);
    });
  }

  /** Has exactly these queues from now on. What runs goes on, of queues that are left out too. */
  apply(queues: PartitionQueues): void {
    for (const [queue, lane] of this.lanes) if (!Object.hasOwn(queues, queue)) this.leaveOut(queue, lane);
    for (const [queue, options] of Object.entries(queues)) {
      const maxWorkers = maxWorkersOf(options);
      const lane = this.lanes.get(queue) ?? this.takeBack(queue);
      if (lane === undefined) this.begin(queue, maxWorkers);
      else lane.setMaxWorkers(maxWorkers);
    }
    this.onChange();
  }

  /** Takes no more, and ends what runs. Safe to repeat, with less time; resolves when nothing of it runs here. */
  async stop(timeoutMs: number, { why, graceMs }: Stopping = {}): Promise<void> {
    this.isStopping = true;
    this.onChange();
    const reason = new ShutdownError(timeoutMs, why);
    await Promise.all(this.lanesInUse.map((lane) => lane.drain(timeoutMs, { reason, graceMs })));
  }

  private begin(queue: string, maxWorkers: number): void {
    const address = { partition: this.id, queue };
    const lane = new Lane(address, maxWorkers, this.parts, () => {
      this.onChange();
    });
    this.lanes.set(queue, lane);
    this.onLane(lane);
  }

  private leaveOut(queue: string, lane: Lane): void {
    this.lanes.delete(queue);
    this.leaving.set(queue, lane);
    void lane.leaveOut().then(async () => {
      // It may be one of ours again.
      if (this.leaving.get(queue) !== lane) return;
      this.leaving.delete(queue);
      await lane.drain(Infinity);
    });
  }

  /** Still there, with what runs in it: another lane beside it would run too many at once. */
  private takeBack(queue: string): Lane | undefined {
    const lane = this.leaving.get(queue);
    if (lane === undefined) return undefined;
    this.leaving.delete(queue);
    this.lanes.set(queue, lane);
    lane.release('left out');
    return lane;
  }

  /** Why a queue surely gets no jobs. */
  private get trouble(): Error | undefined {
    return [...this.lanes.values()].find(({ trouble }) => trouble !== undefined)?.trouble;
  }

  private get isSure(): boolean {
    return this.trouble !== undefined || this.state.state !== 'waiting';
  }

  private readonly onChange = (): void => {
    for (const watcher of this.watchers) watcher();
  };
}
