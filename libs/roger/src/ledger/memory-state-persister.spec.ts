// What is stored in memory comes back as it was, to all who share the persister.
import { MemoryStatePersister } from './memory-state-persister';

test('nothing is there before the first store, not even after init', async () => {
  const persister = new MemoryStatePersister();
  await persister.init();
  expect(await persister.load('0')).toBeUndefined();
});

test('the last store of each id comes back, an empty one too', async () => {
  const persister = new MemoryStatePersister();
  await persister.store('0', Uint8Array.of(1));
  await persister.store('1', Uint8Array.of());
  await persister.store('0', Uint8Array.of(2, 3));
  await persister.init();
  expect(await persister.load('0')).toEqual(Uint8Array.of(2, 3));
  expect(await persister.load('1')).toEqual(Uint8Array.of());
});

test('what is done to the bytes outside changes nothing', async () => {
  const persister = new MemoryStatePersister();
  const given = Uint8Array.of(1);
  await persister.store('0', given);
  given[0] = 9;
  const loaded = await persister.load('0');
  loaded?.fill(9);
  expect(await persister.load('0')).toEqual(Uint8Array.of(1));
});
