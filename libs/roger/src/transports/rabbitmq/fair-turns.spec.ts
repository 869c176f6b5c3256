// Who begins when many want to begin at once.
import { FairTurns } from './fair-turns';

async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await Promise.resolve();
}

test('so many at once as are allowed, and of each party one after the other', async () => {
  const fair = new FairTurns(2);
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const take = (party: string, name: string): void => {
    void fair.take(party, () => {
      begun.push(name);
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  };
  for (const name of ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2']) take(name[0] ?? '', name);
  await turns();
  expect(begun).toEqual(['a1', 'a2']);
  for (let n = 0; n < 7; n++) {
    ends[n]?.();
    await turns();
  }
  expect(begun).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'b2']);
  take('d', 'd1');
  take('d', 'd2');
  await turns();
  expect(begun.slice(7)).toEqual(['d1', 'd2']);
});

test('one that hangs gives up its place, one that fails too', async () => {
  jest.useFakeTimers();
  const fair = new FairTurns(1, 3_000);
  const hangs = fair.take('a', () => new Promise(() => undefined));
  let isBegun = false;
  const fails = fair.take('b', () => {
    isBegun = true;
    return Promise.reject(new Error('refused'));
  });
  const refused = fails.catch((error: unknown) => error);
  await jest.advanceTimersByTimeAsync(2_999);
  expect(isBegun).toBe(false);
  await jest.advanceTimersByTimeAsync(1);
  expect(isBegun).toBe(true);
  expect(await refused).toMatchObject({ message: 'refused' });
  expect(await fair.take('c', () => Promise.resolve('done'))).toBe('done');
  void hangs;
  jest.useRealTimers();
});
