// What the second port promises, in memory: one keeper per ledger, its records and requests, mail, dispatch.
import { setImmediate as immediately } from 'node:timers/promises';
import { RogerClosedError } from '../../job/errors';
import type {
  BrokerMessageToAck,
  DispatchRoute,
  LedgerMember,
  LedgerMembership,
  Mailbox,
} from '../../ledger-transport';
import type { DeliveryConsumer, QueueLane } from '../../transport';
import { MemoryBroker } from './memory-broker';
import { MemoryTransport } from './memory.transport';

const ADDRESS = { partition: 'acme', queue: 'mail' };
const SILENCE = { log: ignore, warn: ignore, error: ignore, debug: ignore };

function ignore(): void {
  // The tests judge by what happens.
}

/** Remembers what it is told, in one order. */
class Keeper implements LedgerMember {
  readonly words: string[] = [];
  readonly requests: BrokerMessageToAck[] = [];

  onRecord(bytes: Buffer): void {
    this.words.push(bytes.toString().startsWith('JOIN') ? 'JOIN' : bytes.toString());
  }
  onRequest(request: BrokerMessageToAck): void {
    this.requests.push(request);
    this.words.push(`request ${request.body.toString()}`);
  }
  onLost(detail: string): void {
    this.words.push(`lost: ${detail}`);
  }
}

class Letters implements Mailbox {
  readonly words: string[] = [];
  take(bytes: Buffer): void {
    this.words.push(bytes.toString());
  }
  up(): void {
    this.words.push('up');
  }
  down(reason: Error): void {
    this.words.push(`down: ${reason.message}`);
  }
  buried(): void {
    this.words.push('buried');
  }
}

interface Node {
  readonly transport: MemoryTransport;
  readonly keeper: Keeper;
  readonly membership: LedgerMembership;
}

function connect(broker: MemoryBroker): MemoryTransport {
  const transport = new MemoryTransport({ broker, log: SILENCE });
  transport.open();
  return transport;
}

/** A node that stands in the line of ledger 0. */
async function joined(broker: MemoryBroker): Promise<Node> {
  const transport = connect(broker);
  const keeper = new Keeper();
  const membership = transport.ledgers.join(0, keeper);
  await roundsPass();
  return { transport, keeper, membership };
}

/** Lets the rounds that are due take place: to connect, to join, to give, and for what that brought about. */
async function roundsPass(): Promise<void> {
  for (let n = 0; n < 4; n++) await immediately();
}

function append(membership: LedgerMembership, ...records: string[]): void {
  for (const record of records) membership.append(Buffer.from(record));
}

function request(transport: MemoryTransport, ...requests: string[]): void {
  for (const body of requests) transport.ledgers.request(0, Buffer.from(body));
}

afterEach(() => {
  jest.useRealTimers();
});

describe('the keeper of a ledger in memory', () => {
  test('the first in line is given every record, its own and those of others, in one order', async () => {
    const broker = new MemoryBroker();
    const first = await joined(broker);
    const second = await joined(broker);
    append(first.membership, 'a');
    append(second.membership, 'b');
    append(first.membership, 'c');
    await roundsPass();
    expect(first.keeper.words).toEqual(['JOIN', 'JOIN', 'a', 'b', 'c']);
    expect(second.keeper.words).toEqual([]);
  });

  test('a join says in the log which node has come', async () => {
    const transport = connect(new MemoryBroker());
    const records: string[] = [];
    transport.ledgers.join(0, {
      onRecord: (it) => records.push(it.toString()),
      onRequest: ignore,
      onLost: ignore,
    });
    await roundsPass();
    expect(records).toEqual([`JOIN${transport.ledgers.nodeId}`]);
    expect(transport.ledgers.nodeId).toMatch(/^[A-Za-z0-9-]+$/);
  });

  test('nothing is given inside a call of join, append, request or takeRequests', async () => {
    const { transport, keeper, membership } = await joined(new MemoryBroker());
    append(membership, 'a');
    membership.takeRequests();
    request(transport, 'r');
    expect(keeper.words).toEqual(['JOIN']);
    await roundsPass();
    expect(keeper.words).toEqual(['JOIN', 'a', 'request r']);
  });

  test.each<[string, (node: Node) => Promise<void> | void]>([
    [
      'steps down',
      ({ membership }) => {
        membership.stepDown('too slow');
      },
    ],
    ['closes', ({ transport }) => transport.ledgers.closeLedgers()],
    ['ends with its transport', ({ transport }) => transport.close()],
    [
      'crashes',
      ({ transport }) => {
        transport.crash();
      },
    ],
  ])('when it %s, the next is given all that has not been trimmed, from the oldest', async (_, leave) => {
    const broker = new MemoryBroker();
    const first = await joined(broker);
    const second = await joined(broker);
    append(first.membership, 'a', 'b', 'c');
    await roundsPass();
    first.membership.trim(3);
    await leave(first);
    await roundsPass();
    expect(second.keeper.words.slice(0, 2)).toEqual(['b', 'c']);
    const told = first.keeper.words.length;
    append(second.membership, 'd');
    await roundsPass();
    expect(second.keeper.words.at(-1)).toBe('d');
    expect(first.keeper.words).toHaveLength(told);
  });

  test('who stepped down is told so, joins again as the last, and is chosen again in its turn', async () => {
    const broker = new MemoryBroker();
    const first = await joined(broker);
    const second = await joined(broker);
    first.membership.stepDown('too slow');
    expect(first.keeper.words).not.toContain('lost: too slow');
    await roundsPass();
    expect(second.keeper.words).toEqual(['JOIN', 'JOIN', 'JOIN']);
    second.membership.stepDown('too slow as well');
    await roundsPass();
    expect(first.keeper.words).toEqual([
      ...['JOIN', 'JOIN', 'lost: too slow'],
      ...['JOIN', 'JOIN', 'JOIN', 'JOIN'],
    ]);
  });

  test('one alone that steps down is chosen again and given all again', async () => {
    const { keeper, membership } = await joined(new MemoryBroker());
    append(membership, 'a');
    await roundsPass();
    membership.stepDown('rebuild');
    await roundsPass();
    expect(keeper.words).toEqual(['JOIN', 'a', 'lost: rebuild', 'JOIN', 'a', 'JOIN']);
  });

  test('who steps down at a record is given no further one of that time', async () => {
    const { keeper, membership } = await joined(new MemoryBroker());
    keeper.onRecord = (bytes) => {
      keeper.words.push(bytes.toString());
      if (bytes.toString() === 'bad') {
        keeper.onRecord = Keeper.prototype.onRecord.bind(keeper);
        membership.stepDown('a bad record');
      }
    };
    append(membership, 'bad', 'next');
    await roundsPass();
    expect(keeper.words).toEqual(['JOIN', 'bad', 'lost: a bad record', 'JOIN', 'bad', 'next', 'JOIN']);
  });

  test('a crash is told, what is said during it is lost, and the node joins again as the last', async () => {
    const broker = new MemoryBroker();
    const first = await joined(broker);
    const second = await joined(broker);
    first.transport.crash('pulled the plug');
    append(first.membership, 'lost');
    first.membership.trim(1);
    await roundsPass();
    expect(first.keeper.words.at(-1)).toBe('lost: pulled the plug');
    expect(second.keeper.words).toEqual(['JOIN', 'JOIN', 'JOIN']);
    await second.transport.close();
    await roundsPass();
    append(first.membership, 'back');
    await roundsPass();
    expect(first.keeper.words.at(-1)).toBe('back');
  });

  test('a close of one’s own is no loss to the member', async () => {
    const { transport, keeper } = await joined(new MemoryBroker());
    await transport.close();
    await roundsPass();
    expect(keeper.words).toEqual(['JOIN']);
  });

  test('a node that is chosen when all has been trimmed is told by a record', async () => {
    const broker = new MemoryBroker();
    const first = await joined(broker);
    const second = await joined(broker);
    await roundsPass();
    first.membership.trim(2);
    await first.transport.close();
    await roundsPass();
    expect(second.keeper.words).toEqual(['JOIN']);
  });

  test('trimming forgets no record that has not come, and nothing on behalf of who is not chosen', async () => {
    const broker = new MemoryBroker();
    const first = await joined(broker);
    const second = await joined(broker);
    append(first.membership, 'a');
    second.membership.trim(2);
    first.membership.trim(100);
    await roundsPass();
    expect(first.keeper.words).toEqual(['JOIN', 'JOIN', 'a']);
    await first.transport.close();
    await roundsPass();
    expect(second.keeper.words).toEqual(['a']);
  });

  test('a log of many records lets other work of the process have its turn', async () => {
    const { keeper, membership } = await joined(new MemoryBroker());
    append(membership, ...Array.from({ length: 10_000 }, (_, n) => `${n}`));
    await roundsPass();
    expect(keeper.words.length).toBeGreaterThan(1);
    expect(keeper.words.length).toBeLessThan(10_001);
    for (let n = 0; n < 10; n++) await immediately();
    expect(keeper.words).toHaveLength(10_001);
  });

  test('ledgers do not mix, nor do brokers', async () => {
    const broker = new MemoryBroker();
    const { transport, keeper } = await joined(broker);
    await joined(new MemoryBroker());
    const other = new Keeper();
    append(transport.ledgers.join(1, other), 'other');
    await roundsPass();
    expect(keeper.words).toEqual(['JOIN']);
    expect(other.words).toContain('other');
  });

  test('a ledger exists from the first join on', async () => {
    const broker = new MemoryBroker();
    const { ledgers } = connect(broker);
    expect(await ledgers.exists(0)).toBe(false);
    await joined(broker);
    expect(await ledgers.exists(0)).toBe(true);
    expect(await ledgers.exists(1)).toBe(false);
  });

  test('a node joins when its transport is opened, under faked timers too', async () => {
    jest.useFakeTimers();
    const transport = new MemoryTransport({ broker: new MemoryBroker(), log: SILENCE });
    const keeper = new Keeper();
    transport.ledgers.join(0, keeper);
    await roundsPass();
    expect(keeper.words).toEqual([]);
    transport.open();
    await roundsPass();
    expect(keeper.words).toEqual(['JOIN']);
  });
});

describe('requests to a ledger in memory', () => {
  test('they come to the chosen one only, after the records, when it takes them', async () => {
    const broker = new MemoryBroker();
    const first = await joined(broker);
    const second = await joined(broker);
    second.membership.takeRequests();
    request(second.transport, 'r1', 'r2');
    await roundsPass();
    expect(first.keeper.requests).toEqual([]);
    first.membership.takeRequests();
    append(first.membership, 'a');
    await roundsPass();
    expect(first.keeper.words.slice(-3)).toEqual(['a', 'request r1', 'request r2']);
    expect(second.keeper.words).toEqual([]);
  });

  test('what is not acknowledged goes to the successor, in its order, before what came later', async () => {
    const broker = new MemoryBroker();
    const first = await joined(broker);
    const second = await joined(broker);
    first.membership.takeRequests();
    request(second.transport, 'r1', 'r2', 'r3');
    await roundsPass();
    first.keeper.requests[1]?.ack();
    first.transport.crash();
    request(second.transport, 'r4');
    // Too late: it is the successor's.
    first.keeper.requests[0]?.ack();
    await roundsPass();
    expect(second.keeper.requests).toEqual([]);
    second.membership.takeRequests();
    await roundsPass();
    expect(second.keeper.words.slice(-3)).toEqual(['request r1', 'request r3', 'request r4']);
  });

  test('requests have to be asked for each time that a node is chosen', async () => {
    const { transport, keeper, membership } = await joined(new MemoryBroker());
    membership.takeRequests();
    await roundsPass();
    membership.stepDown('rebuild');
    await roundsPass();
    request(transport, 'r');
    await roundsPass();
    expect(keeper.requests).toEqual([]);
    membership.takeRequests();
    await roundsPass();
    expect(keeper.requests).toHaveLength(1);
  });

  test('two with the same bytes are two', async () => {
    const { transport, keeper, membership } = await joined(new MemoryBroker());
    membership.takeRequests();
    const bytes = Buffer.from('r');
    transport.ledgers.request(0, bytes);
    transport.ledgers.request(0, bytes);
    await roundsPass();
    keeper.requests[0]?.ack();
    membership.stepDown('rebuild');
    await roundsPass();
    membership.takeRequests();
    await roundsPass();
    expect(keeper.requests).toHaveLength(3);
  });

  test('one that nobody has taken for more than 30 seconds is dropped', async () => {
    jest.useFakeTimers();
    const { transport, keeper, membership } = await joined(new MemoryBroker());
    request(transport, 'old');
    jest.advanceTimersByTime(20_000);
    request(transport, 'younger');
    jest.advanceTimersByTime(10_001);
    membership.takeRequests();
    await roundsPass();
    expect(keeper.words.slice(1)).toEqual(['request younger']);
  });

  test('one to a ledger that nobody has joined is lost without a word', async () => {
    const broker = new MemoryBroker();
    request(connect(broker), 'r');
    const { keeper, membership } = await joined(broker);
    membership.takeRequests();
    await roundsPass();
    expect(keeper.requests).toEqual([]);
  });
});

describe('mail between nodes in memory', () => {
  async function receiving(broker: MemoryBroker): Promise<{ transport: MemoryTransport; letters: Letters }> {
    const transport = connect(broker);
    const letters = new Letters();
    transport.ledgers.receive(letters);
    await roundsPass();
    return { transport, letters };
  }

  test('what is sent comes to one node, what is announced to all, the own one too, in one order', async () => {
    const broker = new MemoryBroker();
    const [one, other] = [await receiving(broker), await receiving(broker)];
    const { ledgers } = one.transport;
    const sent = ledgers.send(other.transport.ledgers.nodeId, Buffer.from('to you'));
    ledgers.announce(Buffer.from('to all'));
    expect(other.letters.words).toEqual(['up']);
    expect(await sent).toBe(true);
    await roundsPass();
    expect(one.letters.words).toEqual(['up', 'to all']);
    expect(other.letters.words).toEqual(['up', 'to you', 'to all']);
  });

  test('a node says that it receives from `up` on', async () => {
    const { ledgers } = connect(new MemoryBroker());
    const seen: boolean[] = [];
    const letters = new Letters();
    letters.up = () => seen.push(ledgers.isReceiving);
    ledgers.receive(letters);
    seen.push(ledgers.isReceiving);
    await roundsPass();
    expect(seen).toEqual([false, true]);
  });

  test('to a node that is gone nothing can be sent', async () => {
    const broker = new MemoryBroker();
    const [one, other] = [await receiving(broker), await receiving(broker)];
    const to = other.transport.ledgers.nodeId;
    const { ledgers } = one.transport;
    expect(await ledgers.send('nobody', Buffer.from('x'))).toBe(false);
    await other.transport.ledgers.closeLedgers();
    expect(await ledgers.send(to, Buffer.from('x'))).toBe(false);
    expect(other.letters.words).toEqual(['up']);
    expect(other.transport.ledgers.isReceiving).toBe(false);
  });

  test('a crash takes the mail down, loses what is on its way, and puts it up again', async () => {
    const broker = new MemoryBroker();
    const [one, other] = [await receiving(broker), await receiving(broker)];
    const to = one.transport.ledgers.nodeId;
    await other.transport.ledgers.send(to, Buffer.from('on its way'));
    one.transport.crash('pulled the plug');
    expect(one.transport.ledgers.isReceiving).toBe(false);
    expect(await other.transport.ledgers.send(to, Buffer.from('too early'))).toBe(false);
    await roundsPass();
    expect(one.transport.ledgers.isReceiving).toBe(true);
    expect(await other.transport.ledgers.send(to, Buffer.from('later'))).toBe(true);
    await roundsPass();
    expect(one.letters.words).toEqual(['up', 'down: pulled the plug', 'up', 'later']);
  });
});

describe('dispatching on a ledger’s behalf in memory', () => {
  /** The bodies of all jobs that come on the lane. */
  function take(transport: MemoryTransport, lane: QueueLane): string[] {
    const bodies: string[] = [];
    const consumer: DeliveryConsumer = {
      deliver: (delivery) => {
        bodies.push(delivery.body.toString());
        delivery.settle({ kind: 'done' });
      },
      lost: ignore,
      waiting: ignore,
    };
    transport.consume(ADDRESS, 10, consumer, lane);
    return bodies;
  }

  function dispatch(transport: MemoryTransport, id: string, route: DispatchRoute): Promise<void> {
    return transport.ledgers.dispatch({ ...ADDRESS, id, body: Buffer.from(id), route });
  }

  test('a job goes to the end of its queue, or to the express lane, and declares the queue', async () => {
    const transport = connect(new MemoryBroker());
    await dispatch(transport, 'a', { kind: 'normal' });
    expect([...(await transport.lanesOf(ADDRESS))]).toEqual([]);
    await dispatch(transport, 'b', { kind: 'express' });
    expect([...(await transport.lanesOf(ADDRESS))]).toEqual(['express']);
    expect(await transport.depth(ADDRESS)).toMatchObject({ ready: 2 });
    const [normal, express] = [take(transport, 'normal'), take(transport, 'express')];
    await roundsPass();
    expect(normal).toEqual(['a']);
    expect(express).toEqual(['b']);
  });

  test('a retry comes after its seconds, on the normal lane', async () => {
    jest.useFakeTimers();
    const transport = connect(new MemoryBroker());
    const normal = take(transport, 'normal');
    await dispatch(transport, 'a', { kind: 'retry', afterSeconds: 60 });
    jest.advanceTimersByTime(59_999);
    await roundsPass();
    expect(normal).toEqual([]);
    jest.advanceTimersByTime(1);
    await roundsPass();
    expect(normal).toEqual(['a']);
  });

  test('a job is buried with its reason', async () => {
    const broker = new MemoryBroker();
    const reason = { type: 'TypeError', message: 'no mailbox' };
    await dispatch(connect(broker), 'a', { kind: 'bury', reason });
    expect(broker.buried(ADDRESS)).toEqual([{ id: 'a', body: Buffer.from('a'), reason }]);
  });

  test('a full queue refuses no job that its ledger has accepted, and each takes room', async () => {
    const transport = connect(new MemoryBroker({ maxJobs: 1 }));
    await dispatch(transport, 'a', { kind: 'normal' });
    await dispatch(transport, 'b', { kind: 'express' });
    expect(await transport.depth(ADDRESS)).toMatchObject({ ready: 2 });
    await expect(transport.publish({ ...ADDRESS, id: 'c', body: Buffer.alloc(0) })).rejects.toThrow('full');
    expect(await transport.purge(ADDRESS)).toBe(2);
    await expect(transport.publish({ ...ADDRESS, id: 'c', body: Buffer.alloc(0) })).resolves.toBeUndefined();
  });

  test('after the close every call is refused or without effect', async () => {
    const broker = new MemoryBroker();
    const { transport, membership } = await joined(broker);
    const successor = await joined(broker);
    await transport.ledgers.closeLedgers();
    await transport.ledgers.closeLedgers();
    await expect(dispatch(transport, 'a', { kind: 'normal' })).rejects.toThrow(RogerClosedError);
    await expect(transport.ledgers.exists(0)).rejects.toThrow(RogerClosedError);
    append(membership, 'a');
    membership.stepDown('again');
    request(transport, 'r');
    transport.ledgers.announce(Buffer.from('x'));
    append(transport.ledgers.join(0, new Keeper()), 'b');
    successor.membership.takeRequests();
    await roundsPass();
    expect(successor.keeper.words).toEqual(['JOIN', 'JOIN']);
  });
});
