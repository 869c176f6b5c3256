// The job definitions that this process knows, and further names for them.
import { checkArgument } from '../job/check-argument';
import { NotAJobClassError } from '../job/errors';
import type { JobClass, JobDefinition } from '../job/job-definition';
import type { JobRegistry } from '../job/job-registry';
import { problemOfJobName } from '../job/names';

/** What a further name of a job may have of its own. */
export interface AliasOptions {
  /**
   * Asked before each run with the args as they came; throw, and the job is buried with the error's message. The args
   * class of the original is not applied.
   * @default none
   */
  readonly check?: ((args: unknown) => void) | undefined;
}

/**
 * The job definitions that this process knows. For libraries that list jobs, or make definitions at run time.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { JobDefinitions } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Menu {
 *   constructor(private readonly definitions: JobDefinitions) {}
 *
 *   titles(): string[] {
 *     return this.definitions.all().map(({ name, title }) => title ?? name);
 *   }
 * }
 * ```
 */
export class JobDefinitions {
  /** @internal */
  constructor(private readonly registry: JobRegistry) {}

  /** Those whose handlers are providers of this app, without further names; complete once its modules are initialised. */
  all(): readonly JobDefinition[] {
    return this.registry.runnableDefinitions.filter(({ name }) => !this.registry.isAlias(name));
  }

  /** Known under this name, be it a further one. */
  named(name: string): JobDefinition | undefined {
    return this.registry.definitionNamed(name);
  }

  /** Of a class that need not have a handler in this process. @throws NotAJobClassError, InvalidJobDefinitionError */
  of(jobClass: JobClass): JobDefinition {
    return this.registry.definitionOf(jobClass);
  }

  /**
   * Has the handler of a job take those of another name too: as if it stood under a second `@RogerJob` that differs in the
   * name and takes any args. Each node that is to run or enqueue such jobs has to be told; others hand them on. An alias
   * of the name that is there already is replaced.
   * @throws InvalidArgumentError (no job name, or it belongs to a class), NotAJobClassError (no handler of that name in
   * this process, or one with `isolation: 'thread'`)
   */
  addAlias(alias: string, handler: string, { check }: AliasOptions = {}): void {
    checkArgument('alias', problemOfJobName(alias));
    const original = this.registry.find(handler);
    if (original === undefined || this.registry.isAlias(handler)) {
      throw new NotAJobClassError(handler, 'no handler of that name is a provider of this app');
    }
    if (original.invokeApart !== undefined) {
      throw new NotAJobClassError(
        handler,
        "it has isolation: 'thread', whose threads don't know further names",
      );
    }
    checkArgument('alias', this.registry.problemOfAlias(alias));
    this.registry.addAlias(alias, original, check);
  }

  /** Jobs of this further name are unknown to this process from now on. @returns whether it was one. */
  removeAlias(alias: string): boolean {
    return this.registry.removeAlias(alias);
  }
}
