// Lines of text that wait to be written, as bytes in large pieces: very many wait, and as many strings would keep the
// garbage collector busy.
const SEGMENT_BYTES = 1024 * 1024;
const NEW_LINE = 10;

/** What a line is made of. */
export interface LineBytes {
  readonly bytes: Buffer;
  /** How many of them count. */
  readonly length: number;
}

export function bytesOf(text: string): LineBytes {
  const bytes = Buffer.from(text);
  return { bytes, length: bytes.length };
}

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

  hasRoomFor({ length }: LineBytes): boolean {
    return this.length + length < this.bytes.length;
  }

  /** To be called where there is room. @returns the line, held once. */
  append({ bytes, length }: LineBytes): Line {
    const start = this.length;
    const end = start + length;
    bytes.copy(this.bytes, start, 0, length);
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
  append(bytes: LineBytes): Line {
    const segment = this.roomFor(bytes);
    const line = segment.append(bytes);
    this.watcher?.appended(segment);
    return line;
  }

  private roomFor(bytes: LineBytes): Segment {
    const { current } = this;
    if (current?.hasRoomFor(bytes) === true) return current;
    const next = new Segment(Math.max(SEGMENT_BYTES, bytes.length + 1), (segment) => this.letGo(segment));
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
