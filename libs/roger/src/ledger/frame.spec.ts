// What is packed comes out as it was, and what was cut, lengthened or never packed is refused.
import fc from 'fast-check';
import { encodeFrame, Frame, FrameError } from './frame';

const HEAD = fc.dictionary(fc.string(), fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.boolean()));
const PARTS = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 });

function read(bytes: Buffer): Frame | undefined {
  try {
    return Frame.read(bytes);
  } catch (error) {
    if (error instanceof FrameError) return undefined;
    throw error;
  }
}

describe('a frame', () => {
  it('gives back its head and parts, whether they were put in as text or as bytes', () => {
    fc.assert(
      fc.property(HEAD, PARTS, fc.boolean(), (head, parts, asText) => {
        const given = parts.map((part) => (asText ? Buffer.from(part).toString('latin1') : part));
        const frame = Frame.read(encodeFrame(head, given));
        expect(JSON.stringify(frame.head)).toBe(JSON.stringify(head));
        expect(frame.count).toBe(parts.length);
        for (const [index, part] of parts.entries()) {
          expect(frame.part(index)).toEqual(Buffer.from(part));
          expect(frame.text(index)).toBe(Buffer.from(part).toString('latin1'));
        }
      }),
    );
  });

  it('is refused when it is cut off or has something behind it', () => {
    fc.assert(
      fc.property(HEAD, PARTS, fc.nat(), (head, parts, at) => {
        const bytes = encodeFrame(head, parts);
        expect(read(bytes.subarray(0, at % bytes.length))).toBeUndefined();
        expect(read(Buffer.concat([bytes, Buffer.from([0])]))).toBeUndefined();
      }),
    );
  });

  it('is refused or read, whatever the bytes are, and never breaks its reader', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, hasHead) => {
        const start = hasHead ? [0x52, 1] : [];
        const frame = read(Buffer.from([...start, ...bytes]));
        expect(frame?.count ?? 0).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('is refused when a length in it is a lie', () => {
    const bytes = encodeFrame({ a: 1 }, ['one', 'two']);
    for (const [at, value] of [
      [2, 0xffff_fff0],
      [6, 0xffff_ffff],
      [6, 1],
      [10, 4],
      [14, 2],
    ] as const) {
      const lie = Buffer.from(bytes);
      lie.writeUInt32LE(value, at);
      expect(read(lie)).toBeUndefined();
    }
  });

  it('is refused with the version that it has', () => {
    const bytes = encodeFrame({});
    bytes[1] = 7;
    expect(() => Frame.read(bytes)).toThrow('its version is 7, not 1');
  });

  it('has no part beyond its last', () => {
    const frame = Frame.read(encodeFrame({}, ['only']));
    expect(() => frame.text(1)).toThrow('it has no part 1');
    expect(() => frame.part(-1)).toThrow(FrameError);
  });
});
