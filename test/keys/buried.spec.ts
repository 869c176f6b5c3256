// A job with keys that the broker buries, because its workers die, holds its keys no longer.
import { eventually, startApp } from '../support/app';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';

test('a job whose workers are killed too often stands among the buried, and its keys are free', async () => {
  const { partition, worker, producer } = keyedPartition({ default: 1 }, { deliveryLimit: 1 });
  const sightings = new Sightings();
  const { jobs, info, globalState } = await startApp(producer, [...KEYED, sightings.of('producer')]);
  const keys = { queueKey: 'key', executionKey: 'line' };
  await jobs.enqueue(KeyedWork, { ...keys, isHeld: true }, { partition, id: 'deadly' });
  await jobs.enqueue(KeyedWork, { executionKey: 'line' }, { partition, id: 'next' });
  for (let death = 1; death <= 2; death++) {
    const child = await ChildApp.start({ node: `child-${death}`, roger: worker, sightings });
    await sightings.seenOf('deadly', 'began', death);
    expect(await globalState.isQueued(partition, 'key')).toBe('deadly');
    await child.kill('SIGKILL');
  }
  await eventually('it to be buried', async () => {
    return (await info.queueDepth(partition, 'default'))?.buried === 1;
  });
  await eventually('its keys to be free', async () => {
    return (
      (await globalState.isQueued(partition, 'key')) === undefined &&
      (await globalState.isExecuting(partition, 'line')) === undefined
    );
  });

  await ChildApp.start({ node: 'heir', roger: worker, sightings });
  const result = await jobs.enqueue(KeyedWork, keys, { partition, id: 'later' });
  expect(result).toMatchObject({ status: 'enqueued' });
  await sightings.ended(['next', 'later']);
  expect(sightings.ids('began', 'heir')).toEqual(['next', 'later']);
});
