// Carries out the commands that other nodes send, if they are among those that were registered.
import { DuplicateCommandError, oneLine } from '../job/errors';
import type { RogerLog } from '../job/log';
import { OWN_COMMANDS } from '../job/names';
import type { Frame } from '../ledger/frame';
import type { CommandAnswer, CommandMail } from './cluster-mail';
import { isCommandMail } from './cluster-mail';
import type { NodeMail } from './node-mail';
import { decodePayload, encodePayload, PayloadError } from './payload';

/** Who wants a command carried out. */
export interface CommandContext {
  /** The id of the node that sent it, as it says. */
  readonly from: string;
}

/** @param payload plain JSON, of unknown origin; undefined when none was given */
export type CommandHandler = (payload: unknown, context: CommandContext) => unknown;

/** So many runs of one command go on at once on a node; further ones are refused. */
const MAX_RUNS = 100;

interface Command {
  readonly handler: CommandHandler;
  /** For people. */
  readonly where: string;
  runs: number;
  isRefusing: boolean;
}

export class CommandAnswers {
  private readonly commands = new Map<string, Command>();
  private isClosed = false;

  constructor(
    private readonly mail: NodeMail,
    private readonly maxBytes: number,
    private readonly log: RogerLog,
  ) {
    mail.carry({
      take: (frame) => {
        if (isCommandMail(frame.head)) this.take(frame.head, frame);
      },
    });
  }

  /** How many commands the app itself answers. */
  get appCount(): number {
    return [...this.commands.keys()].filter((name) => !name.startsWith(OWN_COMMANDS)).length;
  }

  /** @throws DuplicateCommandError */
  add(command: string, handler: CommandHandler, where: string): void {
    const other = this.commands.get(command);
    if (other !== undefined) throw new DuplicateCommandError(command, other.where, where);
    this.commands.set(command, { handler, where, runs: 0, isRefusing: false });
  }

  /** Refuses commands from now on: what they need is about to end. */
  close(): void {
    this.isClosed = true;
  }

  private take(mail: CommandMail, frame: Frame): void {
    const command = this.commands.get(mail.command);
    if (command === undefined) {
      this.answer(mail, { kind: 'unknown' });
    } else if (this.isClosed) {
      this.answer(mail, { kind: 'refused', problem: 'it is shutting down' });
    } else if (command.runs >= MAX_RUNS) {
      this.refuseForNow(mail, command);
    } else {
      command.isRefusing = false;
      command.runs++;
      void this.run(mail, frame, command).finally(() => command.runs--);
    }
  }

  private refuseForNow(mail: CommandMail, command: Command): void {
    this.answer(mail, { kind: 'refused', problem: `it has ${MAX_RUNS} of them under way` });
    // Once per flood.
    if (command.isRefusing) return;
    command.isRefusing = true;
    this.log.warn(`The command ${mail.command} is refused for now: ${MAX_RUNS} of them are under way`);
  }

  /** Never rejects. */
  private async run(mail: CommandMail, frame: Frame, { handler }: Command): Promise<void> {
    let payload: unknown;
    try {
      payload = decodePayload(frame, this.maxBytes);
    } catch (error) {
      this.answer(mail, { kind: 'refused', problem: `the payload: ${messageOf(error)}` });
      return;
    }
    try {
      const value = await handler(payload, { from: mail.node });
      if (mail.call !== undefined) {
        this.answer(mail, { kind: 'value' }, encodePayload(value, this.maxBytes));
      }
    } catch (thrown) {
      const message =
        thrown instanceof PayloadError ? `what it returned: ${thrown.message}` : messageOf(thrown);
      // Whoever calls is told; whoever doesn't wait for an answer is not.
      if (mail.call === undefined) this.log.error(`The command ${mail.command} failed: ${oneLine(message)}`);
      else this.answer(mail, { kind: 'failed', type: typeOf(thrown), message: oneLine(message) });
    }
  }

  private answer({ node, call }: CommandMail, answer: CommandAnswer, parts: readonly Buffer[] = []): void {
    if (call === undefined) return;
    void this.mail.sendTo(node, { mail: 'answer', node: this.mail.nodeId, call, answer }, parts);
  }
}

function typeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return typeof thrown;
  const { code } = thrown as { code?: unknown };
  return oneLine(typeof code === 'string' ? code : thrown.name);
}

function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  return typeof thrown === 'string' ? thrown : `it threw ${thrown === null ? 'null' : typeof thrown}`;
}
