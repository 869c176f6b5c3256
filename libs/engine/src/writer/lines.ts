// Lines of text that wait to be written, as bytes in large pieces of memory that threads share: very many wait, and as many
// strings would keep the garbage collector busy.
const SEGMENT_BYTES = 1024 * 1024;
/** So many pieces are kept for use: memory that is new costs more than what is written to it. */
const MAX_SPARE = 8;
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
    this.bytes = Buffer.from(new SharedArrayBuffer(bytes));
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
    readonly segment: Segment,
    /** Where it begins and ends there. */
    readonly start: number,
    readonly end: number,
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

/** In a piece of their own, each held once. @param onLetGo called when nobody holds any of them */
export function linesOf(texts: readonly string[], onLetGo: () => void = () => undefined): Line[] {
  const lines = texts.map(bytesOf);
  const segment = new Segment(
    lines.reduce((sum, { length }) => sum + length + 1, 0),
    onLetGo,
  );
  return lines.map((line) => segment.append(line));
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
  private readonly spare: Segment[] = [];

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
    const next = this.newSegment(bytes.length + 1);
    this.current = next;
    if (current?.isHeld === false) this.giveUp(current);
    return next;
  }

  private newSegment(minBytes: number): Segment {
    const spare = minBytes <= SEGMENT_BYTES ? this.spare.pop() : undefined;
    return spare ?? new Segment(Math.max(SEGMENT_BYTES, minBytes), (segment) => this.letGo(segment));
  }

  private letGo(segment: Segment): void {
    if (segment !== this.current) this.giveUp(segment);
    else if (segment.length >= SEGMENT_BYTES / 16) {
      segment.length = 0;
      this.watcher?.emptied(segment);
    }
  }

  private giveUp(segment: Segment): void {
    this.watcher?.gone(segment);
    if (segment.bytes.length > SEGMENT_BYTES || this.spare.length >= MAX_SPARE) return;
    segment.length = 0;
    this.spare.push(segment);
  }
}
