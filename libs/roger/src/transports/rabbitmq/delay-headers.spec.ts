import { hasLevel, MAX_DELAY_SECONDS } from '../../job/delays';
import { levelHeader } from './broker-names';
import { DelayHeaders } from './delay-headers';

test('a delay is told to each level from its longest on, and to no longer one', () => {
  const headers = new DelayHeaders();
  expect(headers.of(1)).toEqual({ 'delay-0': true });
  expect(headers.of(5)).toEqual({ 'delay-2': true, 'delay-1': false, 'delay-0': true });
  expect(Object.keys(headers.of(MAX_DELAY_SECONDS))).toHaveLength(28);
});

test('the headers of one delay are one object, for amqplib is quick with those that it has seen', () => {
  const headers = new DelayHeaders();
  expect(headers.of(3_600)).toBe(headers.of(3_600));
});

test('however many delays there are, each is told right', () => {
  const headers = new DelayHeaders();
  for (const seconds of [...Array(1_200).keys(), ...Array(300).keys()].map((index) => index + 1)) {
    const told = Object.entries(headers.of(seconds)).map(([header, isSpent]) => {
      const level = Number(header.slice(levelHeader(0).length - 1));
      return isSpent === hasLevel(seconds, level) ? 2 ** level * Number(isSpent) : Number.NaN;
    });
    expect(told.reduce((sum, part) => sum + part)).toBe(seconds);
  }
});
