// Any text becomes one that PostgreSQL takes.
import fc from 'fast-check';
import { plainText } from './plain-text';

test('no NUL and no half of a pair is left, and it is no longer than it may be', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 20 }), (text, maxLength) => {
      const plain = plainText(text, maxLength);
      expect(plain.length).toBeLessThanOrEqual(maxLength);
      expect(plain).not.toContain('\0');
      expect(Buffer.from(plain).toString()).toBe(plain);
    }),
  );
});

test('plain text stays as it is', () => {
  expect(plainText('Grüße 😀', 100)).toBe('Grüße 😀');
  expect(plainText('😀\ud83d', 3)).toBe('😀\ufffd');
});
