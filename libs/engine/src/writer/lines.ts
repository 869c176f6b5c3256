// Lines of text that wait to be written, as bytes in large pieces: very many wait, and as many strings would keep the
// garbage collector busy.
const SEGMENT_BYTES = 1024 * 1024;
const NEW_LINE = 10;
/** The longest that a character of a string can become. */
const MAX_CHARACTER_BYTES = 3;

/** A piece of memory. It is given up when nobody holds any of its lines. */
export class Segment {
  readonly bytes: Buffer;
  /** How many of them are in use. */
  length = 0;
  private holds = 0;

  constructor(
    bytes: number,
    private readonly onLetGo: (segment: Segment) => void,
  ) {
    this.bytes = Buffer.allocUnsafeSlow(bytes);
  }

  get isHeld(): boolean {
    return this.holds > 0;
  }

  hasRoomFor(text: string): boolean {
    const room = this.bytes.length - this.length - 1;
    return room >= MAX_CHARACTER_BYTES * text.length || room >= Buffer.byteLength(text);
  }

  /** To be called where there is room. @returns the line, held once. */
  append(text: string): Line {
    const start = this.length;
    const end = start + this.bytes.write(text, start);
    this.bytes[end] = NEW_LINE;
    this.length = end + 1;
    this.hold();
    return new Line(this, start, end);
  }

  hold(): void {
    this.holds++;
  }

  release(): void {
    if (--this.holds === 0) this.onLetGo(this);
  }
}

export class Line {
  constructor(
    private readonly segment: Segment,
    private readonly start: number,
    private readonly end: number,
  ) {}

  get byteLength(): number {
    return this.end - this.start;
  }

  get text(): string {
    return this.segment.bytes.toString('utf8', this.start, this.end);
  }

  /** @returns where it ends there. */
  copyTo(target: Buffer, at: number): number {
    return at + this.segment.bytes.copy(target, at, this.start, this.end);
  }

  hold(): void {
    this.segment.hold();
  }

  release(): void {
    this.segment.release();
  }
}

/** That it takes as a line. */
export function bytesOf(text: string): number {
  return Buffer.byteLength(text) + 1;
}

/** What becomes of segments. */
export interface SegmentWatcher {
  /** A line was appended to it. */
  appended(segment: Segment): void;
  /** Nobody needs what is in it: it is used anew, from the start. */
  emptied(segment: Segment): void;
  /** Nobody needs it. */
  gone(segment: Segment): void;
}

export class Lines {
  private current: Segment | undefined;

  constructor(private readonly watcher?: SegmentWatcher) {}

  /** @returns the line, held once: whoever appends it lets it go. */
  append(text: string): Line {
    const segment = this.roomFor(text);
    const line = segment.append(text);
    this.watcher?.appended(segment);
    return line;
  }

  private roomFor(text: string): Segment {
    const { current } = this;
    if (current?.hasRoomFor(text) === true) return current;
    const next = new Segment(Math.max(SEGMENT_BYTES, bytesOf(text)), (segment) => this.letGo(segment));
    this.current = next;
    if (current?.isHeld === false) this.watcher?.gone(current);
    return next;
  }

  private letGo(segment: Segment): void {
    if (segment !== this.current) this.watcher?.gone(segment);
    else if (segment.length >= SEGMENT_BYTES / 16) {
      segment.length = 0;
      this.watcher?.emptied(segment);
    }
  }
}
