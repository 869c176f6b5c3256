// Holds the in-memory transport to the promises of the port.
import { MemoryBroker } from '../libs/roger/src/transports/memory/memory-broker';
import { MemoryTransport } from '../libs/roger/src/transports/memory/memory.transport';
import type { QueueAddress } from '../libs/roger/src/job/names';
import { describeTransport, type TransportFixture } from './transport.conformance';

const SILENCE = { log: ignore, warn: ignore, error: ignore, debug: ignore };

class MemoryFixture implements TransportFixture {
  private readonly broker = new MemoryBroker();
  private readonly transports: MemoryTransport[] = [];
  private addresses = 0;

  open(): Promise<MemoryTransport> {
    const transport = new MemoryTransport({ broker: this.broker, log: SILENCE });
    transport.open();
    this.transports.push(transport);
    return Promise.resolve(transport);
  }

  address(): QueueAddress {
    return { partition: `p${++this.addresses}`, queue: 'default' };
  }

  cutConnections(): Promise<void> {
    for (const transport of this.transports) transport.crash();
    return Promise.resolve();
  }

  buried(address: QueueAddress): ReturnType<TransportFixture['buried']> {
    return Promise.resolve(
      this.broker.buried(address).map(({ body, reason }) => ({ body, reasonType: reason.type })),
    );
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function ignore(): void {
  // The suite judges by what happens.
}

describeTransport('memory', () => Promise.resolve(new MemoryFixture()));
