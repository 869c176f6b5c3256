// Sends commands to nodes and collects what they answer; knows at once when one of them is gone.
import { randomBytes } from 'node:crypto';
import { checkArgument } from '../job/check-argument';
import {
  CommandFailedError,
  CommandRefusedError,
  InvalidArgumentError,
  NotConnectedError,
  UnknownCommandError,
} from '../job/errors';
import { describe, problemOfCommandName } from '../job/names';
import type { Frame } from '../ledger/frame';
import { isNodeId } from '../ledger/mail';
import type { AnswerMail } from './cluster-mail';
import { isAnswerMail } from './cluster-mail';
import type { NodeMail } from './node-mail';
import { untilKnown } from './node-mail';
import { decodePayload, encodePayload } from './payload';

const DEFAULT_TIMEOUT_MS = 2_000;
const MAX_TIMEOUT_MS = 600_000;
/** Who has not answered is asked, so often, whether it is there at all. */
const PROBE_MS = 250;

/** How long a call waits, and for whom. */
export interface CallOptions {
  /** Milliseconds after which the call resolves, whoever has answered. 1 to 600000. @default 2000 */
  readonly timeoutMs?: number | undefined;
  /** The ids of the nodes that are called. @default all that are there, this one too */
  readonly nodes?: readonly string[] | undefined;
}

/** What a call came to: each called node is in one of the three. */
export interface CallResult<T = unknown> {
  /** What the handlers returned, in the order of their answers. */
  readonly replies: readonly { readonly node: string; readonly value: T }[];
  /** Who could not or would not carry it out. */
  readonly failures: readonly {
    readonly node: string;
    readonly error: CommandFailedError | CommandRefusedError | UnknownCommandError;
  }[];
  /** Who did not answer: gone meanwhile, or silent until the time was over. Whether they did it is not known. */
  readonly missing: readonly string[];
}

interface Call {
  readonly command: string;
  readonly waiting: Set<string>;
  readonly replies: { node: string; value: unknown }[];
  readonly failures: CallResult['failures'][number][];
  readonly missing: string[];
  readonly resolve: () => void;
}

export class CommandCalls {
  private readonly calls = new Map<string, Call>();

  constructor(
    private readonly mail: NodeMail,
    private readonly maxBytes: number,
  ) {
    mail.carry({
      take: (frame) => {
        if (isAnswerMail(frame.head)) this.take(frame.head, frame);
      },
    });
  }

  /** @throws InvalidArgumentError, NotConnectedError, RogerClosedError */
  async call(command: string, payload: unknown, options: CallOptions = {}): Promise<CallResult> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, nodes } = options;
    const parts = this.checked(command, payload);
    checkArgument('timeoutMs', problemOfTimeout(timeoutMs));
    checkArgument('nodes', nodes === undefined ? undefined : problemOfNodes(nodes));
    const deadline = performance.now() + timeoutMs;
    await untilKnown(this.mail, timeoutMs);
    const called = new Set(nodes ?? this.present());
    return this.collect(command, parts, called, Math.max(1, deadline - performance.now()));
  }

  /** @throws InvalidArgumentError, NotConnectedError, RogerClosedError */
  async cast(command: string, payload: unknown): Promise<void> {
    const parts = this.checked(command, payload);
    await untilKnown(this.mail, DEFAULT_TIMEOUT_MS);
    const head = { mail: 'command', node: this.mail.nodeId, command };
    await Promise.all(this.present().map((node) => this.mail.sendTo(node, head, parts)));
    if (!this.mail.hearsMail) throw new NotConnectedError();
  }

  /** Whoever has not answered by now is missing. */
  close(): void {
    for (const call of this.calls.values()) call.resolve();
  }

  private present(): string[] {
    return this.mail.presence.nodes.all().map(({ node }) => node);
  }

  private async collect(
    command: string,
    parts: readonly Buffer[],
    called: ReadonlySet<string>,
    timeoutMs: number,
  ): Promise<CallResult> {
    const token = randomBytes(16).toString('base64url');
    const { replies, failures, missing, waiting } = await new Promise<Call>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        clearInterval(probes);
        this.calls.delete(token);
        resolve(call);
      };
      const call: Call = {
        command,
        waiting: new Set(called),
        replies: [],
        failures: [],
        missing: [],
        resolve: end,
      };
      const timer = setTimeout(end, timeoutMs);
      const probes = setInterval(() => {
        for (const node of call.waiting) void this.probe(call, node);
      }, PROBE_MS);
      this.calls.set(token, call);
      const head = { mail: 'command', node: this.mail.nodeId, command, call: token };
      for (const node of called) void this.ask(call, node, head, parts);
      settleIfOver(call);
    });
    return { replies, failures, missing: [...missing, ...waiting] };
  }

  private async ask(call: Call, node: string, head: object, parts: readonly Buffer[]): Promise<void> {
    const isThere = await this.mail.sendTo(node, head, parts);
    // While nothing leaves, nothing is known of the node.
    if (!isThere && this.mail.hearsMail) this.giveUp(call, node);
  }

  private async probe(call: Call, node: string): Promise<void> {
    if (node === this.mail.nodeId || !this.mail.hearsMail) return;
    if (!(await this.mail.presence.probe(node))) this.giveUp(call, node);
  }

  private giveUp(call: Call, node: string): void {
    if (!call.waiting.delete(node)) return;
    call.missing.push(node);
    settleIfOver(call);
  }

  private take({ node, call: token, answer }: AnswerMail, frame: Frame): void {
    const call = this.calls.get(token);
    // Nobody asked, or not this node, or it has answered before.
    if (call?.waiting.delete(node) !== true) return;
    const { command } = call;
    switch (answer.kind) {
      case 'value':
        try {
          call.replies.push({ node, value: decodePayload(frame, this.maxBytes) });
        } catch (error) {
          const message = `what it answered: ${error instanceof Error ? error.message : String(error)}`;
          const reason = { type: 'PayloadError', message };
          call.failures.push({ node, error: new CommandFailedError(command, node, reason) });
        }
        break;
      case 'failed': {
        const { type, message } = answer;
        call.failures.push({ node, error: new CommandFailedError(command, node, { type, message }) });
        break;
      }
      case 'refused':
        call.failures.push({ node, error: new CommandRefusedError(command, node, answer.problem) });
        break;
      case 'unknown':
        call.failures.push({ node, error: new UnknownCommandError(command, node) });
    }
    settleIfOver(call);
  }

  private checked(command: string, payload: unknown): readonly Buffer[] {
    checkArgument('command', problemOfCommandName(command));
    try {
      return encodePayload(payload, this.maxBytes);
    } catch (error) {
      throw new InvalidArgumentError('payload', error instanceof Error ? error.message : String(error));
    }
  }
}

function settleIfOver(call: Call): void {
  if (call.waiting.size === 0) call.resolve();
}

function problemOfTimeout(timeoutMs: unknown): string | undefined {
  if (typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS) return undefined;
  return `it must be a number of milliseconds from 1 to ${MAX_TIMEOUT_MS}, not ${describe(timeoutMs)}`;
}

function problemOfNodes(nodes: unknown): string | undefined {
  if (!Array.isArray(nodes)) return `it must be a list of node ids, not ${describe(nodes)}`;
  const wrong: unknown = nodes.find((node) => !isNodeId(node));
  return wrong === undefined && !nodes.includes(undefined) ? undefined : `${describe(wrong)} is no node id`;
}
