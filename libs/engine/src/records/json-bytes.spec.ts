// JSON that is written byte by byte is what JSON.stringify would have written.
import fc from 'fast-check';
import { JsonBytes } from './json-bytes';

function written(write: (json: JsonBytes) => void): string {
  const json = new JsonBytes();
  write(json);
  return json.bytes.toString('utf8', 0, json.length);
}

test('any string', () => {
  const strings = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.json(),
    // Lone surrogates included.
    fc.array(fc.integer({ min: 0, max: 0xffff })).map((codes) => String.fromCharCode(...codes)),
  );
  fc.assert(
    fc.property(strings, (value) => {
      expect(written((json) => json.string(value))).toBe(JSON.stringify(value));
    }),
    { numRuns: 2_000 },
  );
});

test('any number', () => {
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.double()), (value) => {
      expect(written((json) => json.number(value))).toBe(JSON.stringify(value));
    }),
    { numRuns: 2_000 },
  );
});

test.each([0, -0, 9, 10, 9_999_999, 10_000_000, 2 ** 31, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER, 1e21, 0.1])(
  'the number %d',
  (value) => {
    expect(written((json) => json.number(value))).toBe(JSON.stringify(value));
  },
);

test('whatever length', () => {
  const long = 'a "long" text, '.repeat(10_000);
  const text = written((json) => {
    json.raw('[');
    json.string(long);
    json.raw(',');
    json.string(`ü${long}`);
    json.raw(',');
    json.number(7);
    json.raw(']');
  });
  expect(JSON.parse(text)).toEqual([long, `ü${long}`, 7]);
});
