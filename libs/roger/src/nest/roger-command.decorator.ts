// The decorator by which a method answers a command that any node of the cluster may send.
import 'reflect-metadata';
import type { CommandContext } from '../cluster/command-answers';
import { InvalidCommandError } from '../job/errors';

const COMMAND = Symbol('roger:command');

interface CommandOptions {
  /** The module instance (see `forRoot({ name })`) whose nodes may send it. @default the unnamed one */
  instance?: string;
}

/** What a method under `@RogerCommand` looks like. */
type CommandMethod = (payload: never, context: CommandContext) => unknown;

/** A command as its decorator says it. */
export interface CommandMark {
  readonly command: string;
  readonly instance: string | undefined;
}

/**
 * Has `ClusterService.call` and `cast` call this method on every node that has it, with the payload and `{ from }`, the id
 * of the node that sent it. What it returns (plain JSON, or a promise of it) is the node's reply; what it throws, its
 * failure. It stands on a provider or controller that is a singleton. Only such methods can be called from afar, and whoever
 * may write to the broker can call them: check the payload. At most 100 calls of one command run at once on a node; more
 * are refused.
 *
 * Names are 1 to 128 of `A-Z a-z 0-9 _ . : / -`, each once per app; those that begin with `roger.` are Roger's own.
 *
 * @throws InvalidCommandError, DuplicateCommandError at the start of the app.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { RogerCommand, type CommandContext } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class LogLevel {
 *   private level = 'log';
 *
 *   \@RogerCommand('set-log-level')
 *   set(level: unknown, { from }: CommandContext): string {
 *     if (level !== 'log' && level !== 'debug') throw new TypeError(`no level, from ${from}`);
 *     const before = this.level;
 *     this.level = level;
 *     return before;
 *   }
 * }
 * ```
 */
export function RogerCommand(command: string, { instance }: CommandOptions = {}) {
  return <Method extends CommandMethod>(
    target: object,
    method: string,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    const { value } = descriptor;
    if (typeof target === 'function' || typeof value !== 'function') {
      throw new InvalidCommandError(method, '@RogerCommand stands on methods of instances only');
    }
    Reflect.defineMetadata(COMMAND, { command, instance } satisfies CommandMark, value);
  };
}

/** The methods of an object, inherited ones too, that stand under `@RogerCommand`. */
export function commandMethodsOf(
  prototype: unknown,
): { readonly method: string; readonly mark: CommandMark }[] {
  const found = new Map<string, CommandMark | undefined>();
  let at = prototype;
  while (typeof at === 'object' && at !== null && at !== Object.prototype) {
    for (const method of Object.getOwnPropertyNames(at)) {
      // Read so, for a getter must not run.
      const value: unknown = Object.getOwnPropertyDescriptor(at, method)?.value;
      // One that overrides a command without a decorator of its own is none.
      if (found.has(method) || typeof value !== 'function') continue;
      found.set(method, Reflect.getOwnMetadata(COMMAND, value) as CommandMark | undefined);
    }
    at = Object.getPrototypeOf(at);
  }
  return [...found].flatMap(([method, mark]) => (mark === undefined ? [] : [{ method, mark }]));
}
