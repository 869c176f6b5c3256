// Decides from which lane a free worker takes its next job: the first in the order, but none is passed over for ever.
import type { QueueLane } from '../job/lanes';

/** A lane that has a job at hand gets a worker after so many others at the latest, plus one for each lane as overdue. */
export const MAX_PASSES = 100;

export class LanePicker {
  /** How many jobs of others have begun since a lane has one. */
  private readonly passes = new Map<QueueLane, number>();

  /**
   * Changes nothing.
   * @param waiting the lanes that have a job, in their order
   */
  pick(waiting: readonly QueueLane[]): QueueLane | undefined {
    let picked = waiting[0];
    let most = MAX_PASSES - 1;
    for (const lane of waiting) {
      const passes = this.passes.get(lane) ?? 0;
      if (passes <= most) continue;
      picked = lane;
      most = passes;
    }
    return picked;
  }

  /** A job of the lane has begun, while these had one each. */
  began(begun: QueueLane, waiting: readonly QueueLane[]): void {
    for (const lane of [...this.passes.keys()]) if (!waiting.includes(lane)) this.passes.delete(lane);
    for (const lane of waiting) this.passes.set(lane, lane === begun ? 0 : (this.passes.get(lane) ?? 0) + 1);
  }
}
