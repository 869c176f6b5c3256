// Which job definitions are switched off on this node. Knows names; who decides, and who tells the other nodes, is outside.
import { JobDefinitionInactiveError } from './errors';

/** Why jobs of a definition are held while it is switched off. */
const REASON = 'definition:';

/**
 * For libraries built on Roger, such as an engine that lets an operator switch definitions off: the names of those that
 * are off, as this node knows them. An app has no use for it.
 *
 * While a definition is off, `enqueue` refuses its jobs with JobDefinitionInactiveError, and a worker that gets one
 * doesn't run it but has it held by the ledger of its partition, with the reason `definition:<name>`; one that runs
 * goes on. Nothing is off until {@link setInactive} is called, and nothing is stored: whoever owns the list calls it on every
 * node, at its start and at each change. From the first call on this node sees to it, at each call and once a minute, that
 * jobs which are held for a definition that is on (again) are released.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { DefinitionGates } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Switchboard {
 *   constructor(private readonly gates: DefinitionGates) {}
 *
 *   apply(off: readonly string[]): void {
 *     this.gates.setInactive(off);
 *   }
 * }
 * ```
 */
export class DefinitionGates {
  private names: ReadonlySet<string> = new Set();
  private readonly listeners: (() => void)[] = [];

  /** The names that are off on this node. */
  get inactive(): readonly string[] {
    return [...this.names];
  }

  isInactive(name: string): boolean {
    // Nearly always empty, and asked before every run.
    return this.names.size > 0 && this.names.has(name);
  }

  /** These are off on this node from now on, and no others. Safe to repeat, also to have held jobs looked after at once. */
  setInactive(names: Iterable<string>): void {
    this.names = new Set(names);
    for (const listener of this.listeners) listener();
  }

  /** @internal Why a job of this name must not run for now; undefined: it may. */
  holdReason(name: string): string | undefined {
    return this.isInactive(name) ? `${REASON}${name}` : undefined;
  }

  /** @internal Whether jobs that are held for this reason may run. */
  isOver(reason: string): boolean {
    return reason.startsWith(REASON) && !this.isInactive(reason.slice(REASON.length));
  }

  /** @internal @throws JobDefinitionInactiveError */
  refuseInactive(name: string): void {
    if (this.isInactive(name)) throw new JobDefinitionInactiveError(name);
  }

  /** @internal Told of each call of `setInactive`. */
  follow(listener: () => void): void {
    this.listeners.push(listener);
  }
}
