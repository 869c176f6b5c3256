// The nodes of the cluster: who is there, commands to all of them, and whether this one takes jobs.
import { InvalidArgumentError, oneLine } from '../job/errors';
import type { RogerLog } from '../job/log';
import type { OwnCommand } from '../job/names';
import { describe } from '../job/names';
import type { NodeCard } from '../ledger/present-nodes';
import type { Transport } from '../transport';
import type { Activity } from './activity';
import type { CommandAnswers, CommandHandler } from './command-answers';
import type { CallOptions, CallResult, CommandCalls } from './command-calls';
import type { NodeMail } from './node-mail';

/** A process with a RogerModule, as it says of itself. */
export interface ClusterNode {
  /** Another one with each start of the process. */
  readonly id: string;
  /** The option `nodeName`. */
  readonly name: string;
  /** Since when it is there, in ms since the epoch, by its clock. */
  readonly since: number;
  /** Whether it is this node. */
  readonly isSelf: boolean;
  /** False after `setInactive`, and from the first moment of its shutdown. */
  readonly isActive: boolean;
  /** The option `mode`. */
  readonly role: 'worker' | 'producer';
}

/** A node came, went, or has become another. */
export interface ClusterChange {
  /** `changed`: `isActive`, mostly. */
  readonly kind: 'joined' | 'changed' | 'left';
  readonly node: ClusterNode;
}

/** What holds back the jobs of this node. */
interface JobIntake {
  /** Resolves when no job comes any more and what was at hand is given back. */
  untilHeld(): Promise<void>;
}

export interface ClusterParts {
  readonly mail: NodeMail;
  readonly calls: CommandCalls;
  readonly answers: CommandAnswers;
  readonly activity: Activity;
  readonly transport: Pick<Transport, 'state'>;
  readonly intake: JobIntake;
  readonly log: RogerLog;
}

/**
 * Who is in the cluster, and commands to all of them.
 *
 * A node that serves partitions, or has a handler under `@RogerCommand`, is there from its start; any other from the
 * first use of `nodes`, `onChange`, `call` or `cast`, by which it opens its mailbox. A node that starts or closes is seen
 * at once, one that was killed within 6 s; one that hangs for up to 13 s.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { ClusterService, RogerCommand } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Caches {
 *   private readonly prices = new Map<string, number>();
 *
 *   constructor(private readonly cluster: ClusterService) {}
 *
 *   \@RogerCommand('forget-prices')
 *   forget(): number {
 *     const { size } = this.prices;
 *     this.prices.clear();
 *     return size;
 *   }
 *
 *   async forgetEverywhere(): Promise<number> {
 *     const { replies } = await this.cluster.call<number>('forget-prices');
 *     return replies.reduce((sum, { value }) => sum + value, 0);
 *   }
 * }
 * ```
 */
export class ClusterService {
  /** @internal */
  constructor(private readonly parts: ClusterParts) {}

  /** The id of this node. */
  get nodeId(): string {
    return this.parts.mail.nodeId;
  }

  /**
   * The nodes that are there, as far as this one knows; complete about half a second after it was first asked and after
   * each reconnect.
   */
  nodes(): ClusterNode[] {
    this.parts.mail.join();
    return this.parts.mail.presence.nodes.all().map((card) => this.nodeOf(card));
  }

  /**
   * Calls the listener whenever a node comes, goes or changes, until the returned function is called. Those that are
   * there already are not told, but for a node that learns of them only now, as after its first use.
   * @throws InvalidArgumentError
   */
  onChange(listener: (change: ClusterChange) => void): () => void {
    if (typeof listener !== 'function') throw new InvalidArgumentError('listener', 'it must be a function');
    this.parts.mail.join();
    return this.parts.mail.presence.onChange(({ kind, card }) => {
      try {
        listener({ kind, node: this.nodeOf(card) });
      } catch (thrown) {
        const message = thrown instanceof Error ? thrown.message : describe(thrown);
        this.parts.log.error(`A listener of ClusterService threw: ${oneLine(message)}`);
      }
    });
  }

  /**
   * Has every node, this one too, carry out a command (a method under `@RogerCommand`), and resolves when each has
   * answered or is known to be gone, at the latest after `timeoutMs`. A node carries it out once or not at all. Payload
   * and what handlers return are plain JSON of at most `maxJobBytes`.
   * @throws InvalidArgumentError, NotConnectedError, RogerClosedError
   */
  async call<T = unknown>(
    command: string,
    payload?: unknown,
    options: CallOptions = {},
  ): Promise<CallResult<T>> {
    return (await this.parts.calls.call(command, payload, options)) as CallResult<T>;
  }

  /**
   * The same without answers: resolves when the broker has taken the command for every node that is there. A handler
   * that throws is logged where it does.
   * @throws InvalidArgumentError, NotConnectedError, RogerClosedError
   */
  cast(command: string, payload?: unknown): Promise<void> {
    return this.parts.calls.cast(command, payload);
  }

  /** Whether this node is connected to the broker, and hears the others, if it has ever wanted to. Changes nothing. */
  isConnected(): boolean {
    const { transport, mail } = this.parts;
    const isUp = transport.state === 'connected' || transport.state === 'blocked';
    return isUp && (mail.hearsMail || !mail.wantsMail);
  }

  /** Whether this node takes jobs: not after {@link setInactive}, nor from the first moment of its shutdown. */
  isActive(): boolean {
    return this.parts.activity.isActive;
  }

  /**
   * This node takes no more jobs, of partitions that are started later neither; running ones end normally, and what is at
   * hand goes back to its queue. The others see it in {@link nodes}, and this node counts as not ready. Holds until
   * {@link setActive} or the end of the process.
   */
  setInactive(): void {
    this.parts.activity.hold(true);
  }

  /** Undoes {@link setInactive}. */
  setActive(): void {
    this.parts.activity.hold(false);
  }

  /**
   * As {@link setInactive}; resolves when the broker has no consumer of jobs of this node any more and has got back what
   * was at hand. Running jobs may go on (and RabbitMQ counts a cancelled consumer until its jobs are settled). A broker that doesn't answer is waited for 3 s.
   */
  async unsubscribeAll(): Promise<void> {
    this.setInactive();
    await this.parts.intake.untilHeld();
  }

  /** @internal A command of Roger's own: its name begins with `roger.`. */
  answer(command: OwnCommand, handler: CommandHandler): void {
    this.parts.answers.add(command, handler, 'Roger');
  }

  private nodeOf({ node, name, role, isActive, since }: NodeCard): ClusterNode {
    return { id: node, name, since, isSelf: node === this.nodeId, isActive, role };
  }
}
