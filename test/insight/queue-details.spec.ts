// What the broker's management plugin tells of a queue.
import type { JobHandler } from 'nestjs-roger';
import { ManagementUnavailableError, RogerJob } from 'nestjs-roger';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Gate } from '../support/signal';

@RogerJob({ name: 'detailed' })
class Detailed implements JobHandler {
  static readonly gate = new Gate();
  perform(): Promise<void> {
    return Detailed.gate.opened;
  }
}

let broker: PrivateRabbitmq | undefined;

beforeAll(async () => {
  broker = await startPrivateRabbitmq({ management: true });
});

afterAll(() => broker?.stop(), 60_000);

test('rates and what is with workers come from the management plugin', async () => {
  const { uri = '', managementUri = '' } = broker ?? {};
  const partition = uniquePartition();
  const app = await startApp(
    { connection: { uri, managementUri }, partitions: { [partition]: { default: 1 } } },
    [Detailed],
  );
  await served(app, partition);
  let enqueued = 0;
  await eventually(
    'the plugin to have counted',
    async () => {
      // A rate is that of the last seconds.
      await app.jobs.enqueue(Detailed, {});
      enqueued++;
      const details = await app.info.queueDetails(partition, 'default');
      return (details?.unsettled ?? 0) > 0 && (details?.publishedPerSecond ?? 0) > 0;
    },
    20_000,
  );
  const details = await app.info.queueDetails(partition, 'default');
  expect((details?.ready ?? 0) + (details?.unsettled ?? 0)).toBeLessThanOrEqual(enqueued);
  expect(details?.bytes).toBeGreaterThan(0);
  expect(await app.info.queueDetails(partition, 'other')).toBeUndefined();
  Detailed.gate.open();
});

test('where nobody has said where the plugin is, or it is not there, the error says what to do', async () => {
  const partitions = { [uniquePartition()]: { default: 1 } };
  const without = await startApp({ connection: { uri: sharedBrokerUri() }, partitions }, [Detailed]);
  await expect(without.info.queueDetails('acme', 'default')).rejects.toThrow(/connection\.managementUri/);
  const managementUri = 'http://guest:s3cret@127.0.0.1:1';
  const absent = await startApp({ connection: { uri: sharedBrokerUri(), managementUri }, partitions }, [
    Detailed,
  ]);
  const failure: unknown = await absent.info.queueDetails('acme', 'default').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ManagementUnavailableError);
  expect(String(failure)).not.toContain('s3cret');
});
