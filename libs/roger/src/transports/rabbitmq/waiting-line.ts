// Messages that wait for a channel: what is urgent before the rest, each in the order in which it came.
import Denque from 'denque';
import type { Outgoing } from './passage';

export class WaitingLine {
  private readonly urgent = new Denque<Outgoing>();
  private readonly others = new Denque<Outgoing>();

  get isEmpty(): boolean {
    return this.urgent.isEmpty() && this.others.isEmpty();
  }

  push(outgoing: Outgoing): void {
    this.partOf(outgoing).push(outgoing);
  }

  /** It was next, and is again. */
  putBack(outgoing: Outgoing): void {
    this.partOf(outgoing).unshift(outgoing);
  }

  shift(): Outgoing | undefined {
    return this.urgent.shift() ?? this.others.shift();
  }

  /** Takes out all. */
  empty(): Outgoing[] {
    const all = [...this.urgent.toArray(), ...this.others.toArray()];
    this.urgent.clear();
    this.others.clear();
    return all;
  }

  dropUnwanted(): void {
    for (const part of [this.urgent, this.others]) {
      for (let left = part.length; left > 0; left--) {
        const outgoing = part.shift();
        if (outgoing?.isWanted() === true) part.push(outgoing);
      }
    }
  }

  private partOf({ isUrgent }: Outgoing): Denque<Outgoing> {
    return isUrgent === true ? this.urgent : this.others;
  }
}
