// While nobody watches a job or awaits it, nothing is sent about it.
import { served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';
import { Signals } from '../support/signal';
import { within } from '../support/within';
import { Frame } from '../../libs/roger/src/ledger/frame';
import { RabbitmqLedgerTransport } from '../../libs/roger/src/transports/rabbitmq/rabbitmq.ledger-transport';

const connection = { uri: sharedBrokerUri() };

test('progress is sent to watchers only, an outcome to who awaits it only', async () => {
  const send = jest.spyOn(RabbitmqLedgerTransport.prototype, 'send');
  const announce = jest.spyOn(RabbitmqLedgerTransport.prototype, 'announce');
  const partition = uniquePartition();
  const sightings = new Sightings();
  const partitions = { [partition]: { default: 5 } };
  const worker = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  await served(worker, partition);
  const { jobs, info } = await startApp({ connection, mode: 'producer' });
  const count = (kind: string): number =>
    [...send.mock.calls.map(([, bytes]) => bytes), ...announce.mock.calls.map(([bytes]) => bytes)].filter(
      (bytes) => (Frame.read(bytes).head as { mail: string }).mail === kind,
    ).length;
  const steps = [1, 2, 3];
  for (let n = 0; n < 20; n++) await jobs.enqueue(ResultWork, { steps }, { partition });
  await within('their runs', sightings.seen('began', 20));
  expect(count('watch') + count('progress') + count('outcome')).toBe(0);

  const told = new Signals<unknown>();
  const stop = info.onProgress(partition, 'watched', ({ value }) => {
    told.add(value);
  });
  const watched = { partition, id: 'watched', awaitable: true } as const;
  const { finished } = await jobs.enqueue(ResultWork, { steps: [1, 2, 3], gives: 1 }, watched);
  await finished({ timeoutMs: 15_000 });
  await within('the last step', told.count(2));
  stop();
  expect(told.seen).toEqual([1, 3]);
  expect(count('outcome')).toBe(1);
  expect(count('progress')).toBe(2);
  expect(worker.partitions.queues(partition)[0]?.counts.done).toBe(21);
  jest.restoreAllMocks();
});
