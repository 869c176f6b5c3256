// The recurring jobs of a ledger's partitions: declares and changes them, and enqueues what is due.
import type { EnqueueReply, Operation, Reply, ScheduleRow, TickReply } from '../operation';
import type { OperationContext } from './operation-context';
import type { PartitionState } from './partition-state';
import type { Schedule } from './schedule';
import { declared, isJobTemplate, jobOf, refusalOf, rowOf, tickId } from './schedule';

type ScheduleOperation = Extract<
  Operation,
  {
    readonly op:
      | 'schedule'
      | 'unschedule'
      | 'pause schedule'
      | 'resume schedule'
      | 'run schedule'
      | 'cron tick'
      | 'schedules';
  }
>;

/** The state that the schedules are part of. */
export interface TimetableHost {
  readonly stateId: () => string;
  readonly partitions: ReadonlyMap<string, PartitionState>;
  /** The partition, begun if it is new. */
  readonly partition: (id: string) => PartitionState;
  readonly enqueue: (operation: Operation & { op: 'enqueue' }, context: OperationContext) => EnqueueReply;
  /** Never the same twice. */
  readonly nextRevision: () => number;
  /** Forgets the partition if nothing is left of it. */
  readonly tidy: (id: string) => void;
}

const REFUSED: Reply = Object.freeze({ refused: true });

export class Timetable {
  constructor(private readonly host: TimetableHost) {}

  apply(operation: ScheduleOperation, context: OperationContext): Reply {
    switch (operation.op) {
      case 'schedule':
        return this.schedule(operation, context);
      case 'unschedule':
        return this.unschedule(operation);
      case 'pause schedule':
      case 'resume schedule':
        return this.setPaused(operation, context.at);
      case 'run schedule':
        return this.run(operation, context);
      case 'cron tick':
        return { ...this.tick(operation, context) };
      case 'schedules':
        return { state: this.host.stateId(), schedules: this.rows(operation.partition) };
    }
  }

  private schedule(operation: Operation & { op: 'schedule' }, { at, text }: OperationContext): Reply {
    const body = text(operation.body);
    if (!isJobTemplate(body)) return REFUSED;
    const { schedules } = this.host.partition(operation.partition);
    const former = schedules.get(operation.name);
    // What code declares would come back at its next start.
    if (former?.source === 'definition' && operation.source === 'run time') return REFUSED;
    const schedule = declared(former, operation, body, at, this.host.nextRevision);
    schedules.set(operation.name, schedule);
    return { isSame: schedule === former };
  }

  private unschedule({ partition, name }: Operation & { op: 'unschedule' }): Reply {
    const found = this.host.partitions.get(partition)?.schedules.delete(name) ?? false;
    this.host.tidy(partition);
    return { found };
  }

  private setPaused(
    { op, partition, name }: Operation & { op: 'pause schedule' | 'resume schedule' },
    at: number,
  ): Reply {
    const schedule = this.find(partition, name);
    if (schedule === undefined) return { found: false };
    const paused = op === 'pause schedule';
    // Ticks of the pause are not made up for.
    if (schedule.paused && !paused) schedule.after = Math.max(schedule.after, at);
    schedule.paused = paused;
    return { found: true };
  }

  private run({ partition, name, id }: Operation & { op: 'run schedule' }, context: OperationContext): Reply {
    const schedule = this.find(partition, name);
    if (schedule === undefined) return { found: false };
    return { found: true, ...this.enqueue(partition, schedule, id, context) };
  }

  private tick(
    { partition, name, at, revision }: Operation & { op: 'cron tick' },
    context: OperationContext,
  ): TickReply {
    const schedule = this.find(partition, name);
    if (schedule === undefined) return { tick: 'unknown' };
    const refusal = refusalOf(schedule, { at, revision }, context.at);
    if (refusal !== undefined) return refusal;
    const { full, duplicate } = this.enqueue(partition, schedule, tickId(name, at), context);
    if (full !== undefined) return { tick: 'full' };
    schedule.after = at;
    schedule.last = at;
    return { tick: 'taken', ...(duplicate === undefined ? {} : { duplicate }) };
  }

  private enqueue(
    partition: string,
    schedule: Schedule,
    id: string,
    context: OperationContext,
  ): EnqueueReply {
    const { queue, queueKey, executionKey } = schedule;
    const text = (): string => jobOf(schedule, id, context.at);
    return this.host.enqueue(
      { op: 'enqueue', partition, id, queue, queueKey, executionKey, body: 0 },
      { ...context, text },
    );
  }

  private rows(partition: string | undefined): ScheduleRow[] {
    const { partitions } = this.host;
    const asked = partition === undefined ? [...partitions.values()] : [partitions.get(partition)];
    return asked.flatMap((one) =>
      one === undefined ? [] : [...one.schedules.values()].map((schedule) => rowOf(one.id, schedule)),
    );
  }

  private find(partition: string, name: string): Schedule | undefined {
    return this.host.partitions.get(partition)?.schedules.get(name);
  }
}
