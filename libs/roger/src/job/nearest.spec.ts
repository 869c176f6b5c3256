// What a misspelt name was meant to be.
import { nearest } from './nearest';

const KNOWN = ['connection', 'partitions', 'maxWorkers'];

test.each([
  ['partitons', '; did you mean "partitions"?'],
  ['Connection', '; did you mean "connection"?'],
  ['MAXWORKERS', '; did you mean "maxWorkers"?'],
  ['concurrency', '; known are connection, partitions, maxWorkers'],
  ['__proto__', '; known are connection, partitions, maxWorkers'],
])('%s%s', (name, hint) => {
  expect(nearest(name, KNOWN)).toBe(hint);
});

test('a short name that has nothing in common with any is not guessed at', () => {
  expect(nearest('foo', ['id', 'queue', 'partition'])).toBe('; known are id, queue, partition');
});

test('where nothing is known there is nothing to say', () => {
  expect(nearest('x', [])).toBe('');
});
