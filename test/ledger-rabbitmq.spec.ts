// Holds the RabbitMQ transport to what it promises to ledgers, on lines that are cut.
import { DispatchDoubtfulError } from '../libs/roger/src/ledger-transport';
import { RabbitmqTransport } from '../libs/roger/src/transports/rabbitmq/rabbitmq.transport';
import { describeLedgerTransport, type LedgerFixture, type LedgerNode } from './ledger-transport.conformance';
import { eventually } from './support/app';
import { sharedBrokerUri, uniquePartition } from './support/broker';
import { RecordingConsumer } from './support/recording-consumer';
import { RecordingMailbox } from './support/recording-member';
import { TcpProxy } from './support/tcp-proxy';
import { within } from './support/within';

const SILENCE = { log: ignore, warn: ignore, error: ignore, debug: ignore };

/** Each node has a proxy of its own. */
class RabbitmqLedgerFixture implements LedgerFixture {
  private readonly proxies: TcpProxy[] = [];

  async open(namespace: string): Promise<LedgerNode & { transport: RabbitmqTransport; proxy: TcpProxy }> {
    const proxy = await TcpProxy.before(sharedBrokerUri());
    this.proxies.push(proxy);
    const transport = new RabbitmqTransport(
      {
        connection: { uri: proxy.uri },
        namespace,
        enqueueTimeoutMs: 10_000,
        maxBufferedBytes: 64 * 1024 * 1024,
        deliveryLimit: 5,
        maxBuriedQueueSize: 2,
        ledgerShards: 8,
        journal: undefined,
      },
      SILENCE,
    );
    transport.open();
    await eventually('the transport to connect', () => transport.state === 'connected');
    const cut = (): void => {
      proxy.cut();
    };
    return { transport, ledgers: transport.ledgers, cut, proxy };
  }

  async close(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
  }
}

function ignore(): void {
  // The suite judges by what happens.
}

describeLedgerTransport('RabbitMQ', () => Promise.resolve(new RabbitmqLedgerFixture()));

describe('on a line that is cut', () => {
  const fixture = new RabbitmqLedgerFixture();
  const opened: RabbitmqTransport[] = [];

  async function open(namespace = uniquePartition('n')) {
    const node = await fixture.open(namespace);
    opened.push(node.transport);
    return node;
  }
  afterEach(() => Promise.all(opened.splice(0).map((transport) => transport.close(5_000))));
  afterAll(() => fixture.close());

  test('a dispatch that a cut interrupts is doubtful, and nothing is sent twice', async () => {
    const namespace = uniquePartition('n');
    const { transport, ledgers, proxy } = await open(namespace);
    const observer = await open(namespace);
    const address = { partition: uniquePartition(), queue: 'default' };
    await transport.declareQueue(address);
    const send = (id: string) =>
      ledgers.dispatch({ ...address, id, body: Buffer.from(id), route: { kind: 'normal' } });
    await send('first');
    const ids = Array.from({ length: 3_000 }, (_, n) => String(n));
    const outcomes: Promise<'arrived' | 'doubtful'>[] = ids.map((id) =>
      send(id).then(
        () => 'arrived' as const,
        (error: unknown) => {
          expect(error).toBeInstanceOf(DispatchDoubtfulError);
          return 'doubtful' as const;
        },
      ),
    );
    // More than one at a time go to a queue from its first confirm on.
    await outcomes[0];
    // The jobs reach the broker, their confirms don't come back.
    proxy.silence('down');
    await eventually(
      'jobs to arrive behind the silence',
      async () => ((await observer.transport.depth(address))?.ready ?? 0) > 100,
    );
    proxy.cut();
    proxy.heal();
    const known = await within('every dispatch to settle', Promise.all(outcomes), undefined, 30_000);
    expect(known).toContain('doubtful');
    // What waited for its turn went out on the next connection.
    expect(known.filter((outcome) => outcome === 'doubtful').length).toBeLessThanOrEqual(1_000);
    expect(known.at(-1)).toBe('arrived');
    await send('last');
    const consumer = new RecordingConsumer((delivery) => {
      delivery.settle({ kind: 'done' });
    });
    const arrived = new Set<string>();
    observer.transport.consume(address, 1_000, consumer);
    await consumer.until('the last', () => consumer.texts.includes('last') || undefined);
    for (const text of consumer.texts) {
      expect(arrived).not.toContain(text);
      arrived.add(text);
    }
    const missing = ids.filter((id, n) => known[n] === 'arrived' && !arrived.has(id));
    expect(missing).toEqual([]);
    // Some of the doubtful ones have arrived: to send them again would have made two of each.
    expect(ids.some((id, n) => known[n] === 'doubtful' && arrived.has(id))).toBe(true);
  });

  test('a dispatch before there is a connection waits for it', async () => {
    const { ledgers, proxy, transport } = await open();
    const connected = () => transport.state === 'connected';
    await proxy.refuse();
    await eventually('the connection to be lost', () => !connected());
    const address = { partition: uniquePartition(), queue: 'default' };
    const sent = ledgers.dispatch({ ...address, id: 'a', body: Buffer.from('a'), route: { kind: 'normal' } });
    await proxy.admit();
    await within('the dispatch', sent);
    await eventually('the other connection', connected);
    await eventually('the job', async () => (await transport.depth(address))?.ready === 1);
  });

  test('a full buried queue makes room for a job that a ledger buries', async () => {
    const { ledgers, transport } = await open();
    const address = { partition: uniquePartition(), queue: 'default' };
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      const route = { kind: 'bury', reason: { type: 'Error', message: 'no' } } as const;
      await within('the burial', ledgers.dispatch({ ...address, id, body: Buffer.from(id), route }));
    }
    const buried = (await transport.depth(address))?.buried ?? 0;
    expect(buried).toBeGreaterThan(1);
    expect(buried).toBeLessThan(5);
  });

  test('a node that falls silent is known as gone after some heartbeats, and receives again when it is back', async () => {
    const namespace = uniquePartition('n');
    const [a, b] = [await open(namespace), await open(namespace)];
    const mailbox = new RecordingMailbox();
    b.ledgers.receive(mailbox);
    a.ledgers.receive(new RecordingMailbox());
    await within('the mail', mailbox.ups.count(1));
    await eventually('a to receive', () => a.ledgers.isReceiving);
    a.proxy.silence('up', 'down');
    await eventually(
      'it to be known as gone',
      async () => !(await b.ledgers.send(a.ledgers.nodeId, Buffer.from('?'))),
      15_000,
    );
    a.proxy.cut();
    a.proxy.heal();
    await eventually('a to receive again', () => a.ledgers.isReceiving);
  });
});
