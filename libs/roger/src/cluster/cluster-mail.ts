// What nodes write to each other about commands. All of it is untrusted.
import { problemOfCommandName } from '../job/names';
import { isNodeId } from '../ledger/mail';

/** A node is to carry out a command. The payload is the mail's first part, as JSON; without one there is none. */
export interface CommandMail {
  readonly mail: 'command';
  /** Who wants it, as they say. */
  readonly node: string;
  readonly command: string;
  /** To be named in the answer; absent: none is wanted. */
  readonly call?: string | undefined;
}

/** What the command came to on a node. */
export interface AnswerMail {
  readonly mail: 'answer';
  readonly node: string;
  readonly call: string;
  readonly answer: CommandAnswer;
}

export type CommandAnswer =
  /** What the handler returned is the mail's first part, as JSON; without one it is undefined. */
  | { readonly kind: 'value' }
  | { readonly kind: 'failed'; readonly type: string; readonly message: string }
  | { readonly kind: 'refused'; readonly problem: string }
  | { readonly kind: 'unknown' };

const CALL = /^[A-Za-z0-9_-]{16,64}$/;

export function isCommandMail(head: unknown): head is CommandMail {
  if (!isMailOf(head, 'command')) return false;
  const { node, command, call } = head;
  return (
    isNodeId(node) && problemOfCommandName(command) === undefined && (call === undefined || isCall(call))
  );
}

export function isAnswerMail(head: unknown): head is AnswerMail {
  if (!isMailOf(head, 'answer')) return false;
  return isNodeId(head['node']) && isCall(head['call']) && isAnswer(head['answer']);
}

function isAnswer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, type, message, problem } = value as { readonly [field: string]: unknown };
  switch (kind) {
    case 'value':
    case 'unknown':
      return true;
    case 'failed':
      return typeof type === 'string' && typeof message === 'string';
    case 'refused':
      return typeof problem === 'string';
    default:
      return false;
  }
}

function isMailOf(head: unknown, kind: string): head is { readonly [field: string]: unknown } {
  return typeof head === 'object' && head !== null && (head as { mail?: unknown }).mail === kind;
}

function isCall(value: unknown): value is string {
  return typeof value === 'string' && CALL.test(value);
}
