// A set of keys: what is in it, what two of them make, and that it is the same after it was written down.
import * as fc from 'fast-check';
import { KeySet } from './key-set';

const KEYS = fc.array(fc.string({ maxLength: 3 }));

test('a key that was added is in, once, until it is deleted', () => {
  const keys = new KeySet();
  expect(keys.add('a')).toBe(true);
  expect(keys.add('a')).toBe(false);
  keys.addMany(['b', 'c', 'b']);
  expect(keys.size).toBe(3);
  expect(keys.delete('b')).toBe(true);
  expect(keys.delete('b')).toBe(false);
  expect([...keys]).toEqual(['a', 'c']);
  expect([keys.has('a'), keys.has('b')]).toEqual([true, false]);
});

test('union and difference are new sets with the keys of both, and with those of the first alone', () => {
  fc.assert(
    fc.property(KEYS, KEYS, (first, second) => {
      const one = new KeySet(first);
      const other = new KeySet(second);
      expect(new Set(one.union(other))).toEqual(new Set([...first, ...second]));
      expect(new Set(one.difference(second))).toEqual(new Set(first.filter((key) => !second.includes(key))));
      expect([...one]).toEqual([...new Set(first)]);
    }),
  );
});

test('it is the same after it was written down and read back', () => {
  fc.assert(
    fc.property(KEYS, (keys) => {
      const set = new KeySet(keys);
      expect(KeySet.fromState(JSON.parse(JSON.stringify(set.state()))).state()).toEqual(set.state());
    }),
  );
});

test.each([[{}], ['ab'], [null], [[1]], [['a', null]]])(
  'what is no list of texts is refused: %j',
  (state) => {
    expect(() => KeySet.fromState(state)).toThrow(TypeError);
  },
);
