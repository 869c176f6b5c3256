// Packs a JSON head and parts that JSON needn't read into one message, and unpacks it. What can't be read is refused.

const MAGIC = 0x52;
const VERSION = 1;
/** Magic, version, length of the head, number of parts. */
const FIXED_BYTES = 10;

/** The bytes are no frame of a known version. */
export class FrameError extends Error {}

/** A text of one byte per character (the bytes of a job), or bytes. */
export type Part = string | Uint8Array;

export function encodeFrame(head: unknown, parts: readonly Part[] = []): Buffer {
  const text = JSON.stringify(head);
  const headLength = Buffer.byteLength(text);
  const tableLength = parts.length * 4;
  const bytes = Buffer.allocUnsafe(
    parts.reduce((sum, part) => sum + part.length, FIXED_BYTES + tableLength + headLength),
  );
  bytes[0] = MAGIC;
  bytes[1] = VERSION;
  bytes.writeUInt32LE(headLength, 2);
  bytes.writeUInt32LE(parts.length, 6);
  let at = FIXED_BYTES;
  for (const part of parts) at = bytes.writeUInt32LE(part.length, at);
  at += bytes.write(text, at);
  for (const part of parts) {
    if (typeof part === 'string') bytes.write(part, at, 'latin1');
    else bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A frame that was read: its head is parsed, its parts are cut out when asked for. */
export class Frame {
  private constructor(
    readonly head: unknown,
    private readonly bytes: Buffer,
    /** Where each part begins, and where the last one ends. */
    private readonly bounds: Uint32Array,
  ) {}

  /** @throws FrameError */
  static read(bytes: Buffer): Frame {
    if (bytes.length < FIXED_BYTES || bytes[0] !== MAGIC) throw new FrameError('it is no frame');
    if (bytes[1] !== VERSION) throw new FrameError(`its version is ${bytes[1]}, not ${VERSION}`);
    const headLength = bytes.readUInt32LE(2);
    const count = bytes.readUInt32LE(6);
    const headAt = FIXED_BYTES + count * 4;
    if (headAt + headLength > bytes.length) throw new FrameError('it is cut off');
    const bounds = new Uint32Array(count + 1);
    let end = headAt + headLength;
    bounds[0] = end;
    for (let index = 0; index < count; index++) {
      end += bytes.readUInt32LE(FIXED_BYTES + index * 4);
      bounds[index + 1] = end;
    }
    if (end !== bytes.length) throw new FrameError('its parts have not the length that it says');
    try {
      return new Frame(JSON.parse(bytes.toString('utf8', headAt, headAt + headLength)), bytes, bounds);
    } catch (error) {
      throw new FrameError('its head is not JSON', { cause: error });
    }
  }

  get count(): number {
    return this.bounds.length - 1;
  }

  /** A part as a text of one byte per character. @throws FrameError */
  text(index: number): string {
    const [from, to] = this.boundsOf(index);
    return this.bytes.toString('latin1', from, to);
  }

  /** A part's bytes, which are shared with the frame. @throws FrameError */
  part(index: number): Buffer {
    const [from, to] = this.boundsOf(index);
    return this.bytes.subarray(from, to);
  }

  private boundsOf(index: number): [from: number, to: number] {
    const from = this.bounds[index];
    const to = this.bounds[index + 1];
    if (from === undefined || to === undefined) throw new FrameError(`it has no part ${index}`);
    return [from, to];
  }
}
