// Writes JSON as bytes, with no string in between: JSON.stringify takes three times as long for a record, and leaves ten
// times its length to the garbage collector.
const INITIAL_BYTES = 16 * 1024;
/** What a character can become, as in \u0000. */
const MAX_CHARACTER_BYTES = 6;
const MAX_NUMBER_BYTES = 24;
/** What is larger is written in pieces, in the arithmetic of small integers. */
const PIECE = 10_000_000;
const PIECE_DIGITS = 7;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const MINUS = 0x2d;
const FIRST_PLAIN = 0x20;
const LAST_PLAIN = 0x7e;

export class JsonBytes {
  bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  length = 0;

  /** What stands between values, as it is. */
  raw(ascii: string): void {
    this.reserve(ascii.length);
    const { bytes } = this;
    let at = this.length;
    for (let index = 0; index < ascii.length; index++) bytes[at++] = ascii.charCodeAt(index);
    this.length = at;
  }

  string(value: string): void {
    this.reserve(value.length * MAX_CHARACTER_BYTES + 2);
    const { bytes } = this;
    let at = this.length;
    bytes[at++] = QUOTE;
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code < FIRST_PLAIN || code > LAST_PLAIN) {
        this.length += bytes.write(JSON.stringify(value), this.length);
        return;
      }
      if (code === QUOTE || code === BACKSLASH) bytes[at++] = BACKSLASH;
      bytes[at++] = code;
    }
    bytes[at++] = QUOTE;
    this.length = at;
  }

  number(value: number): void {
    this.reserve(MAX_NUMBER_BYTES);
    if (!Number.isSafeInteger(value)) {
      this.raw(JSON.stringify(value));
      return;
    }
    if (value < 0) this.bytes[this.length++] = MINUS;
    this.digits(Math.abs(value));
  }

  private digits(value: number): void {
    if (value < PIECE) {
      this.piece(value, digitsOf(value));
      return;
    }
    const high = Math.floor(value / PIECE);
    this.digits(high);
    this.piece(value - high * PIECE, PIECE_DIGITS);
  }

  private piece(value: number, digits: number): void {
    const { bytes } = this;
    let rest = value | 0;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const higher = (rest / 10) | 0;
      bytes[at] = ZERO + rest - higher * 10;
      rest = higher;
    }
    this.length += digits;
  }

  private reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const { bytes, length } = this;
    this.bytes = Buffer.allocUnsafeSlow(2 * (length + more));
    bytes.copy(this.bytes, 0, 0, length);
  }
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let bound = 10; value >= bound; bound *= 10) digits++;
  return digits;
}
