// A cancel that is acknowledged before its job with keys has come to the ledger holds for it all the same.
import type { CancelEvent, JobHandler, WorkerCallbacks } from 'nestjs-roger';
import { RogerCallbacks, RogerJob } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';

const ran: string[] = [];
const cancelled: string[] = [];

@RogerJob({
  queueKey: (args: { id: string; key: string }) => args.key,
  executionKey: (args: { key: string }) => args.key,
})
class Keyed implements JobHandler<{ id: string; key: string }> {
  async perform(args: { id: string; key: string }): Promise<void> {
    ran.push(args.id);
  }
}

@RogerCallbacks()
class Callbacks implements WorkerCallbacks {
  onCancel({ job, reason }: CancelEvent): void {
    cancelled.push(`${job.id} ${reason}`);
  }
}

test('a job with keys that is enqueued after its cancel was acknowledged never runs, tells why, and holds no key', async () => {
  const { jobs, globalState } = await startApp({ partitions: { acme: { default: 1 } } }, [Keyed, Callbacks]);
  expect(await globalState.cancelJob('acme', 'late', { reason: 'too late' })).toMatchObject({
    met: 'unseen',
  });

  await jobs.enqueue(Keyed, { id: 'late', key: 'k' }, { id: 'late' });
  const next = await jobs.enqueue(Keyed, { id: 'next', key: 'k' }, { id: 'next' });

  expect(next.status).toBe('enqueued');
  await eventually('both to be over', () => ran.length > 0 && cancelled.length > 0);
  expect({ ran, cancelled }).toEqual({ ran: ['next'], cancelled: ['late too late'] });
  expect(await globalState.isCancelled('acme', 'late')).toBe(false);
});
