// What goes to one queue in bulk keeps nothing from the channel that all queues share.
import { EventEmitter } from 'node:events';
import type { ChannelModel } from 'amqplib';
import type { BrokerConnection } from './broker-connection';
import { BrokerNames } from './broker-names';
import { OutgoingMessages } from './outgoing-messages';

/** Of confirms, after which a channel has room for more. */
const CREDIT_STEP = 200;

const LOG = { log: ignore, warn: ignore, error: ignore, debug: ignore };

function ignore(): void {
  // The tests judge by what is sent.
}

/** A channel of a broker that confirms when it is told to. */
class Channel extends EventEmitter {
  readonly sent: string[] = [];
  private readonly confirms: (() => void)[] = [];

  publish(
    _exchange: string,
    _key: string,
    _body: Buffer,
    { messageId }: { messageId: string },
    onConfirm: () => void,
  ): void {
    this.sent.push(messageId);
    this.confirms.push(onConfirm);
  }

  confirm(count = 1): void {
    for (const onConfirm of this.confirms.splice(0, count)) onConfirm();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Sends to a broker whose channels come in this order: the one that all share, then those on which queues prove themselves. */
function sending() {
  const channels: Channel[] = [];
  const model = {
    createConfirmChannel: () => {
      const channel = new Channel();
      channels.push(channel);
      return Promise.resolve(channel);
    },
  } as unknown as ChannelModel;
  const connection = Object.assign(new EventEmitter(), { current: model }) as unknown as BrokerConnection;
  const outgoing = new OutgoingMessages({
    connection,
    names: new BrokerNames(undefined),
    log: LOG,
    purpose: 'Testing',
    giveUpMs: { first: 60_000, most: 60_000 },
    prepare: () => Promise.resolve(),
  });
  const submit = (queue: string, count: number, more: { isUrgent?: boolean } = {}): void => {
    for (let n = 1; n <= count; n++) {
      outgoing.submit({
        message: {
          exchange: 'roger.jobs',
          routingKey: queue,
          messageId: `${queue} ${n}`,
          appId: 'acme',
          contentType: 'text/plain',
          body: Buffer.from('x'),
        },
        isWanted: () => true,
        onEnd: ignore,
        ...more,
      });
    }
  };
  const channel = (place: number): Channel => channels[place] ?? new Channel();
  /** The shared channel confirms so many that it has room again. @returns what is sent on it then */
  const sentOnRoom = (): string[] => {
    const before = channel(0).sent.length;
    channel(0).confirm(CREDIT_STEP);
    return channel(0).sent.slice(before);
  };
  return { outgoing, submit, channel, sentOnRoom };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The shared channel has as many messages of one queue as it takes, and more wait. */
async function sendingInBulk() {
  const all = sending();
  await turn();
  all.submit('bulk', 2_000);
  await turn();
  all.channel(1).confirm();
  expect(all.channel(1).sent).toEqual(['bulk 1']);
  expect(all.channel(0).sent.length).toBeGreaterThan(CREDIT_STEP);
  expect(all.channel(0).sent.length).toBeLessThan(2 * CREDIT_STEP);
  return all;
}

test('a queue that confirms gets onto the shared channel though more waits for that than it takes', async () => {
  const { outgoing, submit, channel, sentOnRoom } = await sendingInBulk();
  submit('other', 3);
  expect(channel(1).sent).toEqual(['bulk 1', 'other 1']);
  channel(1).confirm();
  expect(sentOnRoom().slice(0, 2)).toEqual(['other 2', 'bulk 392']);
  await outgoing.close(0);
});

test('what is urgent goes before all that waits, in its order', async () => {
  const { outgoing, submit, channel, sentOnRoom } = await sendingInBulk();
  submit('other', 4, { isUrgent: true });
  channel(1).confirm();
  submit('bulk', 2, { isUrgent: true });
  expect(sentOnRoom().slice(0, 6)).toEqual(['other 2', 'bulk 1', 'bulk 2', 'other 3', 'other 4', 'bulk 392']);
  await outgoing.close(0);
});

test('what is urgent stays so when the shared channel is lost', async () => {
  const { outgoing, submit, channel } = await sendingInBulk();
  submit('bulk', 1, { isUrgent: true });
  channel(0).emit('close');
  await turn();
  expect(channel(1).sent).toEqual(['bulk 1', 'bulk 1']);
  await outgoing.close(0);
});

test('a queue that waits for room on the shared channel goes on beside when that is lost', async () => {
  const { outgoing, submit, channel } = await sendingInBulk();
  submit('other', 3);
  channel(1).confirm();
  channel(0).emit('close');
  await turn();
  expect(channel(1).sent).toEqual(['bulk 1', 'other 1', 'other 2']);
  await outgoing.close(0);
});
