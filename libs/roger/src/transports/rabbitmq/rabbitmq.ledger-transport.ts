// Carries ledgers and the mail between nodes over RabbitMQ: puts mailbox, memberships and dispatcher together.
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { BrokerRefusedError, NotConnectedError } from '../../job/errors';
import type { RogerLog } from '../../job/log';
import type {
  DispatchedJob,
  LedgerMember,
  LedgerMembership,
  LedgerTransport,
  Mailbox,
} from '../../ledger-transport';
import { BrokerConnection } from './broker-connection';
import type { BrokerNames } from './broker-names';
import type { RabbitmqConnectionOptions } from './connection-options';
import { JobDispatcher } from './job-dispatcher';
import type { LedgerParts } from './ledger-parts';
import { NodeMailbox } from './node-mailbox';
import { OutgoingMail } from './outgoing-mail';
import type { JournalWriter } from './journal/journal-writer';
import { RabbitmqLedgerMembership } from './rabbitmq.ledger-membership';
import { within } from './time-limit';
import type { Topology } from './topology';
import { ACCESS_REFUSED, NOT_FOUND, replyCode, withChannel } from './topology';

/** While a dead keeper isn't noticed, nobody else is chosen: two to three of these. */
const MAX_HEARTBEAT_SECONDS = 3;
/** The longest that RabbitMQ takes for a queue's name is 255 bytes, and a namespace must fit too. */
const MAX_HOST_LENGTH = 100;

export interface RabbitmqLedgerTransportParts {
  readonly connection: RabbitmqConnectionOptions;
  /** How long a question to the broker may take. */
  readonly timeoutMs: number;
  readonly names: BrokerNames;
  readonly topology: Topology;
  /** Where queues have journals. */
  readonly journal: JournalWriter | undefined;
  readonly log: RogerLog;
}

/** A connection of its own, opened when it is first needed. */
export class RabbitmqLedgerTransport implements LedgerTransport {
  readonly nodeId = `${hostname()
    .replace(/[^A-Za-z0-9-]/g, '-')
    .slice(0, MAX_HOST_LENGTH)}-${process.pid}-${randomBytes(4).toString('hex')}`;
  private readonly connection: BrokerConnection;
  private readonly memberships: RabbitmqLedgerMembership[] = [];
  private mailbox: NodeMailbox | undefined;
  private outgoing: OutgoingMail | undefined;
  private dispatcher: JobDispatcher | undefined;
  private closing: Promise<void> | undefined;

  constructor(private readonly parts: RabbitmqLedgerTransportParts) {
    const { connection, log } = parts;
    const heartbeatSeconds = Math.min(
      connection.heartbeatSeconds ?? MAX_HEARTBEAT_SECONDS,
      MAX_HEARTBEAT_SECONDS,
    );
    this.connection = new BrokerConnection('ledger', { ...connection, heartbeatSeconds }, log);
  }

  receive(mailbox: Mailbox): void {
    const outgoing = (this.outgoing ??= new OutgoingMail(this.opened()));
    this.mailbox ??= new NodeMailbox(this.opened(), mailbox, () => outgoing.untilReady());
  }

  get isReceiving(): boolean {
    return this.mailbox?.isReceiving === true;
  }

  async send(nodeId: string, bytes: Buffer): Promise<boolean> {
    return (await this.outgoing?.send(nodeId, bytes)) ?? true;
  }

  announce(bytes: Buffer): void {
    this.outgoing?.announce(bytes);
  }

  async exists(ledger: number): Promise<boolean> {
    const queue = this.parts.names.ledger(ledger);
    const answer = this.opened()
      .connection.untilUp()
      .then(async (model) => {
        if (!(await this.parts.topology.checkLedgerCount(model))) return false;
        await withChannel(model, (channel) => channel.checkQueue(queue));
        return true;
      });
    try {
      if ((await within(this.parts.timeoutMs, answer)) === 'late') {
        throw new NotConnectedError(this.connection.lastFailure);
      }
      return await answer;
    } catch (error) {
      if (replyCode(error) === NOT_FOUND) return false;
      if (replyCode(error) === ACCESS_REFUSED) throw new BrokerRefusedError(`use ${queue}`, error);
      throw error;
    }
  }

  join(ledger: number, member: LedgerMember): LedgerMembership {
    const membership = new RabbitmqLedgerMembership(ledger, member, this.opened());
    this.memberships.push(membership);
    return membership;
  }

  request(ledger: number, bytes: Buffer): void {
    this.outgoing ??= new OutgoingMail(this.opened());
    this.outgoing.request(ledger, bytes);
  }

  dispatch(job: DispatchedJob): Promise<void> {
    this.dispatcher ??= new JobDispatcher(this.opened());
    return this.dispatcher.dispatch(job);
  }

  reconnect(detail: string): void {
    if (this.connection.blockedReason === undefined) this.connection.giveUp(detail);
  }

  closeLedgers(timeoutMs: number): Promise<void> {
    return (this.closing ??= this.closeAll(timeoutMs));
  }

  private async closeAll(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const leaving = [
      ...this.memberships.map((membership) => membership.close()),
      this.mailbox?.close() ?? Promise.resolve(),
      this.outgoing?.close() ?? Promise.resolve(),
      this.dispatcher?.close(timeoutMs) ?? Promise.resolve(),
    ];
    await within(timeoutMs, Promise.all(leaving));
    await this.connection.close(Math.max(0, deadline - performance.now()));
  }

  /** What the parts of this need; opens the connection. */
  private opened(): LedgerParts {
    this.connection.open();
    const { names, topology, journal, log } = this.parts;
    return { nodeId: this.nodeId, names, topology, connection: this.connection, journal, log };
  }
}
