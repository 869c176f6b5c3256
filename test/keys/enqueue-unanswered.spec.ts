// An enqueue of a job with a key settles with a typed error when the broker falls silent, whatever was being asked.
import { LedgerUnavailableError, RogerJob } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { TcpProxy } from '../support/tcp-proxy';
import { within } from '../support/within';

@RogerJob({ executionKey: 'one' })
class Keyed {
  perform(): void {
    throw new Error('nobody runs it');
  }
}

let proxy: TcpProxy;

beforeAll(async () => {
  proxy = await TcpProxy.before(sharedBrokerUri());
});

afterAll(() => proxy.close());

test('an enqueue that meets a black hole while it looks for its queue says that the ledger is unavailable', async () => {
  const partition = uniquePartition();
  const { jobs, log } = await startApp(
    {
      connection: { uri: proxy.uri, heartbeatSeconds: 1 },
      mode: 'producer',
      partitions: { [partition]: { default: 1 } },
      ledgerTimeoutMs: 1_000,
      shutdownTimeoutMs: 0,
    },
    [Keyed],
  );
  await eventually('it to connect', () => log.lines.some(({ message }) => message.includes('(publishing)')));
  proxy.silence('down');

  const failed = jobs.enqueue(Keyed, {}, { partition }).catch((error: unknown) => error);

  expect(await within('the enqueue to settle', failed)).toBeInstanceOf(LedgerUnavailableError);
});
