// What a job tells of its progress is small plain JSON, and nobody can change it afterwards.
import { InvalidArgumentError } from './errors';
import { keptProgress } from './progress';

test.each([0, 0.5, 100, 'half', '', true, null, [1, 2], { pages: 3, of: 7 }, 'x'.repeat(4_094)])(
  '%j is kept',
  (value) => {
    expect(keptProgress(value)).toEqual(value);
  },
);

test.each([
  ['a number below 0', -0.1],
  ['a number above 100', 100.1],
  ['NaN', NaN],
  ['infinity', Infinity],
  ['undefined', undefined],
  ['a function', () => 1],
  ['a Date', new Date()],
  ['a Map', new Map()],
  ['what is over 4 KiB', 'x'.repeat(4_095)],
  ['what is over 4 KiB in UTF-8', 'ü'.repeat(2_048)],
])('%s is refused', (_what, value) => {
  expect(() => keptProgress(value)).toThrow(InvalidArgumentError);
});

test('what is circular is refused', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  expect(() => keptProgress(circle)).toThrow(InvalidArgumentError);
});

test('it stays what it was when its owner goes on with it', () => {
  const value = { done: [1] };
  const kept = keptProgress(value);
  value.done.push(2);
  expect(kept).toEqual({ done: [1] });
});
