// An operator ends a job in a thread, whatever it does.
import { eventually } from '../support/app';
import { rogerOn, startEngine } from '../support/engine-app';
import { newDatabase } from '../support/engine-databases';
import { Threaded, THREADED, THREADS } from '../support/thread-jobs';

test('a job in a thread that heeds nothing is killed, and counts as cancelled', async () => {
  const database = await newDatabase('SQLite');
  const roger = { ...rogerOn('RabbitMQ'), threads: THREADS, abortGraceMs: 200 };
  const app = await startEngine(roger, { database }, [...THREADED]);
  const { engine, history, jobs, log, partition } = app;
  await jobs.enqueue(Threaded, { does: 'spin' }, { partition, id: 'spin' });
  await eventually('it to spin', () => log.lines.some(({ message }) => message === 'began'));
  await eventually('its run', async () => (await engine.findRun('spin'))?.isolation === 'thread');
  expect(await engine.kill('spin', { reason: 'enough' })).toEqual({ did: 'killed' });
  expect(await engine.get('spin')).toMatchObject({ state: 'cancelled' });
  expect((await history.runsOf('spin')).items).toMatchObject([{ result: 'cancelled', isolation: 'thread' }]);
  await jobs.enqueue(Threaded, { does: 'answer' }, { partition, id: 'next' });
  await eventually('the next', async () => (await engine.get('next'))?.state === 'done');
});
