// Queues that may not answer: they are asked on a connection of their own first, for the broker cuts it over one that doesn't.
import type { ChannelModel } from 'amqplib';
import { BrokerRefusedError, QueueNotAnsweringError, TopologyMismatchError } from '../../job/errors';
import type { RogerLog } from '../../job/log';
import type { QueueAddress } from '../../job/names';
import type { QueueLane } from '../../transport';
import { BrokerConnection } from './broker-connection';
import type { BrokerNames } from './broker-names';
import type { RabbitmqConnectionOptions } from './connection-options';
import { FairTurns } from './fair-turns';
import { within } from './time-limit';
import type { Topology } from './topology';
import { replyCode, withChannel } from './topology';

/** A queue that hasn't answered by then is in doubt. */
export const PATIENCE_MS = 10_000;
/** Most of those that are in doubt don't answer, and those that do must not wait for all the others. */
const AT_ONCE = 32;
const FAREWELL_MS = 3_000;

export interface DoubtfulQueuesParts {
  readonly connection: RabbitmqConnectionOptions;
  readonly names: BrokerNames;
  readonly topology: Topology;
  readonly log: RogerLog;
}

/**
 * A queue without a leader, or whose process hangs, holds up the channel that takes from it; after a minute or more the
 * broker closes the whole connection over it. So what has once not answered is asked apart, until it has. There is a
 * connection for it while something is asked, and nothing else is ever on it.
 */
export class DoubtfulQueues {
  private readonly suspects = new Set<string>();
  private readonly turns = new FairTurns(AT_ONCE);
  private connection: BrokerConnection | undefined;
  private questions = 0;

  constructor(private readonly parts: DoubtfulQueuesParts) {}

  suspect(queueName: string): void {
    this.suspects.add(queueName);
  }

  /** The queue has answered. */
  trust(queueName: string): void {
    this.suspects.delete(queueName);
  }

  /** Resolves when the queue answers, at once for one that is not in doubt. @throws QueueNotAnsweringError */
  async beyondDoubt(address: QueueAddress, lane: QueueLane): Promise<void> {
    const name = this.parts.names.lane(address, lane);
    if (!this.suspects.has(name)) return;
    await this.turns.take(address.partition, async () => {
      if (this.suspects.has(name)) await this.prove(address, lane);
    });
    this.trust(name);
  }

  /** Those that are still in doubt are nobody's any more. */
  async close(timeoutMs: number): Promise<void> {
    this.suspects.clear();
    await this.connection?.close(timeoutMs);
  }

  private async prove(address: QueueAddress, lane: QueueLane): Promise<void> {
    const connection = (this.connection ??= this.open());
    this.questions++;
    try {
      const answer = connection.untilUp().then((model) => this.ask(model, address, lane));
      if ((await within(PATIENCE_MS, answer)) === 'done') return;
    } catch (error) {
      if (isRefusal(error)) return;
    } finally {
      if (--this.questions === 0) this.drop(this.connection);
    }
    // It may be about to end, which it does when all its channels have: whoever asked on it would wait for that.
    this.drop(connection);
    throw new QueueNotAnsweringError(address.partition, address.queue, connection.lastFailure);
  }

  private async ask(model: ChannelModel, address: QueueAddress, lane: QueueLane): Promise<void> {
    await this.parts.topology.declareQueue(model, address, lane);
    // The broker answers all else for the queue. A job that comes with the answer is given back as the channel closes.
    await withChannel(model, (channel) => channel.get(this.parts.names.lane(address, lane)));
  }

  private open(): BrokerConnection {
    const { log } = this.parts;
    const inDetail = (message: string): void => {
      log.debug(message);
    };
    // It comes and goes; whoever waits for the queue says so.
    const quiet = { log: inDetail, warn: inDetail, error: inDetail, debug: inDetail };
    const connection = new BrokerConnection('doubtful queues', this.parts.connection, quiet);
    connection.open();
    return connection;
  }

  /** What is still asked on it is asked again on the next. */
  private drop(connection: BrokerConnection | undefined): void {
    if (this.connection === connection) this.connection = undefined;
    void connection?.close(FAREWELL_MS);
  }
}

/** A refusal is an answer, and is to be met where it is logged and shown. */
function isRefusal(error: unknown): boolean {
  const isExplained = error instanceof TopologyMismatchError || error instanceof BrokerRefusedError;
  return isExplained || replyCode(error) !== undefined;
}
