// Decides which acks to send: contiguous deliveries in one, the others singly. Knows tags, not channels.

/** One ack to send: for the tag alone, or for every unacked tag up to it. */
export interface Ack {
  readonly tag: number;
  readonly multiple: boolean;
}

/**
 * Collects what was acknowledged since the last {@link take}. Tags of a channel count up from 1. A grouped ack must name
 * a tag that is still open on the broker, hence the care about tags that were closed singly ahead of the others.
 */
export class Acknowledgements {
  /** Every tag below is closed, here and (after the next take) on the broker. */
  private lowest = 1;
  /** The highest tag below `lowest` that the broker still holds open. */
  private groupEnd = 0;
  private groupSize = 0;
  /** Acknowledged above `lowest` and not sent. */
  private ahead = new Set<number>();
  /** Closed on the broker above `lowest`. */
  private readonly closed = new Set<number>();

  add(tag: number): void {
    if (tag === this.lowest) {
      this.lowest++;
      this.extendGroup(tag);
      this.advance();
    } else {
      this.ahead.add(tag);
    }
  }

  /** The tag was closed by other means (a nack), which the caller has sent. */
  close(tag: number): void {
    this.closed.add(tag);
    this.advance();
  }

  /** The acks to send for all that was added since the last call. */
  take(): Ack[] {
    const acks: Ack[] = [];
    if (this.groupSize > 0) acks.push({ tag: this.groupEnd, multiple: this.groupSize > 1 });
    this.groupSize = 0;
    for (const tag of this.ahead) {
      acks.push({ tag, multiple: false });
      this.closed.add(tag);
    }
    this.ahead.clear();
    return acks;
  }

  private advance(): void {
    for (;;) {
      if (this.ahead.delete(this.lowest)) this.extendGroup(this.lowest);
      else if (!this.closed.delete(this.lowest)) return;
      this.lowest++;
    }
  }

  private extendGroup(tag: number): void {
    this.groupEnd = tag;
    this.groupSize++;
  }
}
