// What every adapter promises to ledgers and between nodes, as one exercise that every adapter runs.
/* eslint-disable jest/no-export -- the adapters' specs import the suite */
import { randomInt } from 'node:crypto';
import type { QueueAddress } from '../libs/roger/src/job/names';
import type { DispatchRoute, LedgerMembership, LedgerTransport } from '../libs/roger/src/ledger-transport';
import type { Transport } from '../libs/roger/src/transport';
import { eventually } from './support/app';
import { uniquePartition } from './support/broker';
import { RecordingConsumer } from './support/recording-consumer';
import { RecordingMailbox, RecordingMember } from './support/recording-member';
import { within } from './support/within';

/** One simulated process. */
export interface LedgerNode {
  readonly transport: Transport;
  readonly ledgers: LedgerTransport;
  /** Cuts, hard, all its connections; they come back. */
  cut(): void;
}

/** A broker under test, which buries a job after a few deliveries. One serves all the tests of a suite. */
export interface LedgerFixture {
  /** A process whose names are in this namespace: only those of one see each other. The suite closes its transport. */
  open(namespace: string): Promise<LedgerNode>;
  /** Called once, when all transports are closed. */
  close(): Promise<void>;
}

/** Declares the suite for one adapter. */
export function describeLedgerTransport(name: string, createFixture: () => Promise<LedgerFixture>): void {
  describe(`the ${name} transport of ledgers`, () => {
    const stage = new LedgerStage();
    const promises: Promises = (promise, exercise) => {
      // eslint-disable-next-line jest/expect-expect, jest/valid-title -- the exercises expect, and title themselves
      test(promise, () => exercise(stage), TEST_LIMIT_MS);
    };
    beforeAll(async () => {
      stage.fixture = await createFixture();
    }, TEST_LIMIT_MS);
    afterEach(() => stage.clear(), TEST_LIMIT_MS);
    afterAll(() => stage.fixture?.close(), TEST_LIMIT_MS);

    describe('mail', () => {
      mail(promises);
    });
    describe('records', () => {
      records(promises);
    });
    describe('requests', () => {
      requests(promises);
    });
    describe('dispatching', () => {
      dispatching(promises);
    });
    describe('lanes', () => {
      lanes(promises);
    });
  });
}

const TEST_LIMIT_MS = 60_000;

type Promises = (promise: string, exercise: (stage: LedgerStage) => Promise<void>) => void;

function mail(promises: Promises): void {
  promises('what is sent to a node comes to it alone, what is announced comes to all', async (stage) => {
    const [a, b] = [await stage.open(), await stage.open()];
    const boxes = [await receive(a), await receive(b)] as const;
    expect(await within('the send', a.ledgers.send(b.ledgers.nodeId, Buffer.from('to b')))).toBe(true);
    a.ledgers.announce(Buffer.from('to all'));
    expect(await within('b to hear', boxes[1].mail.count(2))).toEqual(
      expect.arrayContaining(['to b', 'to all']),
    );
    expect(await within('a to hear', boxes[0].mail.count(1))).toEqual(['to all']);
  });

  promises('sending to a node that is gone tells so', async (stage) => {
    const [a, b] = [await stage.open(), await stage.open()];
    await receive(a);
    await receive(b);
    await b.ledgers.closeLedgers(5_000);
    await eventually(
      'the node to be known as gone',
      async () => !(await a.ledgers.send(b.ledgers.nodeId, Buffer.from('?'))),
    );
  });

  promises('a mailbox is told when the mail stops and when it comes again', async (stage) => {
    const [a, b] = [await stage.open(), await stage.open()];
    await receive(a);
    const box = await receive(b);
    b.cut();
    await within('down', box.downs.count(1));
    await within('up again', box.ups.count(2));
    expect(b.ledgers.isReceiving).toBe(true);
    a.ledgers.announce(Buffer.from('after'));
    expect(await within('the mail', box.mail.count(1))).toEqual(['after']);
  });
}

function records(promises: Promises): void {
  promises('a ledger exists from the first join on', async (stage) => {
    const [a, b] = [await stage.open(), await stage.open()];
    const ledger = randomInt(1000);
    expect(await within('the answer', a.ledgers.exists(ledger))).toBe(false);
    await stage.keeper(a, ledger);
    expect(await within('the answer', b.ledgers.exists(ledger))).toBe(true);
  });

  promises('one member is given all records, of whomever, in one order', async (stage) => {
    const { chosen, other } = await stage.pair();
    for (let n = 0; n < 500; n++) (n % 2 === 0 ? chosen : other).membership.append(Buffer.from(String(n)));
    const seen = await within('the records', chosen.member.records.count(500));
    for (const remainder of [0, 1]) {
      expect(seen.map(Number).filter((n) => n % 2 === remainder)).toEqual(
        Array.from({ length: 250 }, (_, index) => 2 * index + remainder),
      );
    }
    expect(other.member.given.seen).toEqual([]);
  });

  promises('who steps down hands over all that is not trimmed, from the oldest, in order', async (stage) => {
    const { chosen, other } = await stage.pair();
    for (let n = 0; n < 1000; n++) chosen.membership.append(Buffer.from(String(n)));
    const seen = [...(await within('the records', chosen.member.records.count(1000)))];
    // The two records of joining stand before or among them.
    const joins = chosen.member.given.seen.length - 1000;
    chosen.membership.trim(300 + joins);
    chosen.membership.stepDown('enough');
    expect(chosen.member.losses.seen).toEqual(['enough']);
    expect(await within('the records', other.member.records.count(700))).toEqual(seen.slice(300));
    // And the first comes back into the line.
    chosen.membership.append(Buffer.from('lost or not'));
    await eventually('it to be in line again', () => {
      chosen.membership.append(Buffer.from('back'));
      return other.member.records.seen.includes('back');
    });
    other.membership.stepDown('enough, too');
    const again = await within('the records', chosen.member.records.count(700));
    expect(again.slice(0, 700)).toEqual(seen.slice(300));
  });

  promises('of a node that is cut off the other takes over, and the cut one learns of it', async (stage) => {
    const { chosen, other } = await stage.pair();
    for (let n = 0; n < 100; n++) chosen.membership.append(Buffer.from(String(n)));
    const seen = [...(await within('the records', chosen.member.records.count(100)))];
    chosen.node.cut();
    expect(await within('the records', other.member.records.count(100))).toEqual(seen);
    await within('the loss to be told', chosen.member.losses.count(1));
    const before = other.member.records.seen.length;
    await eventually('the first to be in line again', () => {
      chosen.membership.append(Buffer.from('back'));
      return other.member.records.seen.length > before;
    });
  });

  promises('what was trimmed never comes again', async (stage) => {
    const { chosen, other } = await stage.pair();
    for (const text of ['a', 'b', 'c']) chosen.membership.append(Buffer.from(text));
    await within('the records', chosen.member.records.count(3));
    chosen.membership.trim(1_000);
    chosen.membership.append(Buffer.from('d'));
    await within('the record', chosen.member.records.count(4));
    chosen.membership.stepDown('enough');
    other.membership.append(Buffer.from('e'));
    expect(await within('the records', other.member.records.count(2))).toEqual(['d', 'e']);
  });
}

function requests(promises: Promises): void {
  promises(
    'requests come to the chosen one when it takes them; unanswered ones to its successor',
    async (stage) => {
      const { chosen, other, ledger } = await stage.pair();
      const asking = await stage.open();
      await receive(asking);
      for (let n = 0; n < 10; n++) asking.ledgers.request(ledger, Buffer.from(String(n)));
      chosen.membership.append(Buffer.from('mark'));
      await within('the mark', chosen.member.records.count(1));
      expect(chosen.member.requests.seen).toEqual([]);
      chosen.membership.takeRequests();
      const given = [...(await within('the requests', chosen.member.requests.count(10)))];
      expect(given.map(({ body }) => body.toString())).toEqual(
        Array.from({ length: 10 }, (_, n) => String(n)),
      );
      expect(other.member.requests.seen).toEqual([]);
      for (const n of [0, 1, 2, 5]) given[n]?.ack();
      await new Promise((resolve) => setImmediate(resolve));
      chosen.membership.stepDown('enough');
      given[7]?.ack();
      await within('the records', other.member.given.count(1));
      other.membership.takeRequests();
      const left = await within('the requests', other.member.requests.count(6));
      expect(left.map(({ body }) => body.toString())).toEqual(['3', '4', '6', '7', '8', '9']);
      expect(chosen.member.requests.seen).toEqual([]);
    },
  );
}

function dispatching(promises: Promises): void {
  promises('a job goes to its queue, which is made if it is missing', async (stage) => {
    const node = await stage.open();
    const address = stage.address();
    await dispatch(node, address, 'a', { kind: 'normal' });
    await dispatch(node, address, 'b', { kind: 'normal' });
    expect(await take(node, address, 2, 'normal')).toEqual(['a', 'b']);
  });

  promises('many dispatches at once all arrive, once, in order', async (stage) => {
    const node = await stage.open();
    const address = stage.address();
    const texts = Array.from({ length: 3_000 }, (_, n) => String(n));
    await node.transport.declareQueue(address);
    await Promise.all(texts.map((text) => dispatch(node, address, text, { kind: 'normal' })));
    expect(await take(node, address, 3_000, 'normal')).toEqual(texts);
  });

  promises('a job goes to the express lane', async (stage) => {
    const node = await stage.open();
    const address = stage.address();
    await node.transport.declareQueue(address);
    expect([...(await node.transport.lanesOf(address))]).toEqual([]);
    await dispatch(node, address, 'a', { kind: 'express' });
    await eventually('the lane to be known', async () =>
      (await node.transport.lanesOf(address)).has('express'),
    );
    expect(await take(node, address, 1, 'express')).toEqual(['a']);
  });

  promises('a job comes to its queue after some seconds', async (stage) => {
    const node = await stage.open();
    const address = stage.address();
    await node.transport.declareQueue(address);
    const begunAt = performance.now();
    await dispatch(node, address, 'a', { kind: 'retry', afterSeconds: 1 });
    expect(await take(node, address, 1, 'normal')).toEqual(['a']);
    expect(performance.now() - begunAt).toBeGreaterThan(950);
  });

  promises('a job goes to the buried', async (stage) => {
    const node = await stage.open();
    const address = stage.address();
    await dispatch(node, address, 'a', { kind: 'bury', reason: { type: 'Error', message: 'no' } });
    await eventually(
      'the job to be counted',
      async () => (await node.transport.depth(address))?.buried === 1,
    );
  });

  promises('a job that the broker buries is told to one of the nodes, and kept', async (stage) => {
    const nodes = [await stage.open(), await stage.open()] as const;
    const boxes = [await receive(nodes[0]), await receive(nodes[1])];
    const address = stage.address();
    await dispatch(nodes[0], address, 'often', { kind: 'normal' });
    // A job that is given back is not counted among those that harm their worker; one that is lost is.
    const doomed = await stage.open();
    doomed.transport.consume(
      address,
      1,
      new RecordingConsumer(() => {
        doomed.cut();
      }),
    );
    const told = (): string[] =>
      boxes.flatMap(({ burials }) => burials.seen.map(({ body }) => body.toString()));
    await eventually('the burial to be told', () => told().length > 0);
    expect(told()).toEqual(['often']);
    for (const { burials } of boxes) for (const burial of burials.seen) burial.ack();
    await eventually(
      'the job to be kept',
      async () => (await nodes[0].transport.depth(address))?.buried === 1,
    );
  });
}

function lanes(promises: Promises): void {
  promises('the express lane is consumed by itself, and what is handed back returns to it', async (stage) => {
    const node = await stage.open();
    const address = stage.address();
    let isHandedBack = false;
    const express = new RecordingConsumer((delivery) => {
      delivery.settle(isHandedBack ? { kind: 'done' } : { kind: 'handBack' });
      isHandedBack = true;
    });
    const subscription = node.transport.consume(address, 5, express, 'express');
    await express.taking();
    await dispatch(node, address, 'quick', { kind: 'express' });
    await dispatch(node, address, 'slow', { kind: 'normal' });
    await express.first(2);
    expect(express.texts).toEqual(['quick', 'quick']);
    await within('the close', subscription.close());
    expect(await take(node, address, 1, 'normal')).toEqual(['slow']);
  });

  promises('depth counts both lanes, and a purge shows and removes what stands in them', async (stage) => {
    const node = await stage.open();
    const address = stage.address();
    const texts = Array.from({ length: 1_100 }, (_, n) => String(n));
    await Promise.all(texts.map((text) => dispatch(node, address, text, { kind: 'normal' })));
    await dispatch(node, address, 'x', { kind: 'express' });
    await eventually('the depth', async () => (await node.transport.depth(address))?.ready === 1_101);
    const shown: string[] = [];
    const purged = node.transport.purge(address, (bodies) => {
      expect(bodies.length).toBeLessThanOrEqual(500);
      shown.push(...bodies.map(String));
      return Promise.resolve();
    });
    expect(await within('the purge', purged)).toBe(1_101);
    expect(shown).toEqual([...texts, 'x']);
    await eventually('the queue to be empty', async () => (await node.transport.depth(address))?.ready === 0);
  });

  promises('a purge whose watcher fails leaves what it was shown', async (stage) => {
    const node = await stage.open();
    const address = stage.address();
    for (const text of ['a', 'b']) await dispatch(node, address, text, { kind: 'normal' });
    const purged = node.transport.purge(address, () => Promise.reject(new Error('no')));
    await expect(within('the purge', purged)).rejects.toThrow('no');
    expect(await take(node, address, 2, 'normal')).toEqual(['a', 'b']);
  });
}

/** A node that has joined a ledger. */
interface Joined {
  readonly node: LedgerNode;
  readonly member: RecordingMember;
  readonly membership: LedgerMembership;
}

/** The nodes of the test that runs. */
export class LedgerStage {
  fixture: LedgerFixture | undefined;
  private namespace = uniquePartition('n');
  private nodes: LedgerNode[] = [];

  async open(): Promise<LedgerNode> {
    if (this.fixture === undefined) throw new Error('The fixture could not be created');
    const node = await within('a node to open', this.fixture.open(this.namespace));
    this.nodes.push(node);
    return node;
  }

  address(): QueueAddress {
    return { partition: uniquePartition(), queue: 'default' };
  }

  /** Lets the node join and be chosen. */
  async keeper(node: LedgerNode, ledger: number): Promise<Joined> {
    const member = new RecordingMember();
    const membership = node.ledgers.join(ledger, member);
    await within('the node to be chosen', member.given.count(1));
    return { node, member, membership };
  }

  /** Two nodes that have joined the same ledger, and which of them was chosen. */
  async pair(): Promise<{ chosen: Joined; other: Joined; ledger: number }> {
    const ledger = randomInt(1000);
    const chosen = await this.keeper(await this.open(), ledger);
    const node = await this.open();
    const member = new RecordingMember();
    const membership = node.ledgers.join(ledger, member);
    // Its record of joining comes to the chosen one, and it stands in line.
    await within('the other to join', chosen.member.given.count(2));
    return { chosen, other: { node, member, membership }, ledger };
  }

  async clear(): Promise<void> {
    const nodes = this.nodes;
    this.nodes = [];
    this.namespace = uniquePartition('n');
    await Promise.all(
      nodes.map(async ({ transport, ledgers }) => {
        await within('the ledgers to close', ledgers.closeLedgers(5_000));
        await within('the transport to close', transport.close(5_000));
      }),
    );
  }
}

async function receive({ ledgers }: LedgerNode): Promise<RecordingMailbox> {
  const mailbox = new RecordingMailbox();
  ledgers.receive(mailbox);
  await within('the mail to come', mailbox.ups.count(1));
  return mailbox;
}

function dispatch(
  node: LedgerNode,
  address: QueueAddress,
  text: string,
  route: DispatchRoute,
): Promise<void> {
  return within(
    'the dispatch',
    node.ledgers.dispatch({ ...address, id: text, body: Buffer.from(text), route }),
  );
}

/** Takes so many jobs of the lane, and no more come with them. */
async function take(
  node: LedgerNode,
  address: QueueAddress,
  count: number,
  lane: 'normal' | 'express',
): Promise<string[]> {
  const consumer = new RecordingConsumer((delivery) => {
    delivery.settle({ kind: 'done' });
  });
  const subscription = node.transport.consume(address, 100, consumer, lane);
  await consumer.first(count);
  await within('the subscription to close', subscription.close());
  return consumer.texts;
}
