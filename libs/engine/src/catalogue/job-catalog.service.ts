// The jobs there are: those of code and those made at run time, switched on and off for the whole cluster.
import type {
  ClusterService,
  EnqueueOptions,
  EnqueueResult,
  JobDefinition,
  JobDefinitions,
  JobQueue,
} from 'nestjs-roger';
import { InvalidArgumentError } from 'nestjs-roger';
import type { Page, PageOptions } from '../history/page';
import { limitOf, pageOf, placeOf } from '../history/page';
import type { JsonSchema } from './args-schema';
import { checkOfSchema } from './args-schema';
import type { CataloguedJob } from './catalogued-job';
import { cataloguedOf, limitsOf } from './catalogued-job';
import { CATALOGUE_CHANGED } from './catalogue-news';
import type { DefinitionStore, NewDefinitionRow } from './definition-store';
import type { KnownDefinitions } from './known-definitions';
import { takesRuntimeDefinitions } from './takes-runtime-definitions.decorator';

/** A definition to be made at run time. */
export interface NewDefinition {
  /** On the wire and in the history, like a class's; no class may have it. 1 to 128 of `A-Z a-z 0-9 _ . : / -`. */
  readonly name: string;
  /** The name of the job whose handler takes it: a class under `@RogerJob` and `@TakesRuntimeDefinitions`. */
  readonly handler: string;
  /** The JSON Schema (2020-12) of its args, at most 64 KiB. `$ref` may only lead into itself. */
  readonly schema: JsonSchema;
  /** @default its name */
  readonly title?: string | undefined;
  /** Where it stands in the list: a whole number, lower ones first. @default 0 */
  readonly order?: number | undefined;
  /** @default that of the handler's class */
  readonly queue?: string | undefined;
}

/** What a change came to. */
export interface CatalogueChange {
  readonly job: CataloguedJob;
  /** The ids of nodes that have not said within 3 s that they know; they will within half a minute of being well. */
  readonly missing: readonly string[];
}

export interface JobCatalogParts {
  readonly rows: DefinitionStore;
  readonly known: KnownDefinitions;
  readonly cluster: ClusterService;
  readonly jobs: JobQueue;
  readonly definitions: JobDefinitions;
}

const NEWS_TIMEOUT_MS = 3_000;
const MAX_TITLE_LENGTH = 200;
const JOB_NAME = /^[A-Za-z0-9_.:/-]{1,128}$/;
const QUEUE_NAME = /^[a-z0-9_]{1,64}$/;

/**
 * The catalogue of jobs, the same on all nodes: kept in the database, known to each node from its start, told anew with every
 * change, and looked at every half minute in case the news got lost. While the database is away, what was known last holds.
 *
 * Every method that reads or changes it rejects with the database's error where that is away.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { JobCatalog } from 'nestjs-roger-engine';
 *
 * \@Injectable()
 * export class Administration {
 *   constructor(private readonly catalog: JobCatalog) {}
 *
 *   async addHook(): Promise<void> {
 *     await this.catalog.create({
 *       name: 'hook:orders',
 *       handler: 'webhook',
 *       schema: { type: 'object', properties: { url: { type: 'string' } }, required: ['url'] },
 *     });
 *     await this.catalog.enqueue('hook:orders', { url: 'https://example.com' }, { partition: 'acme' });
 *   }
 *
 *   async stopMails(): Promise<void> {
 *     const { missing } = await this.catalog.setActive('welcome-mail', false);
 *     if (missing.length > 0) console.warn('not known yet on', missing);
 *   }
 * }
 * ```
 */
export class JobCatalog {
  /** @internal */
  constructor(private readonly parts: JobCatalogParts) {}

  /** By order, then by name. `isActive: true`: those that are switched on, `false`: those that are off; left out: all. */
  async list(
    options: { readonly isActive?: boolean | undefined } & PageOptions = {},
  ): Promise<Page<CataloguedJob>> {
    const limit = limitOf(options);
    const rows = await this.parts.rows.page(options.isActive, placeOf(options), limit + 1);
    return pageOf(rows, limit, cataloguedOf, ({ sort_order, name }) => ({
      at: Number(sort_order),
      id: name,
    }));
  }

  async get(name: string): Promise<CataloguedJob | undefined> {
    const row = await this.parts.rows.get(name);
    return row === undefined ? undefined : cataloguedOf(row);
  }

  /** Whether this node knows the job as switched off. Reads memory only. */
  isInactive(name: string): boolean {
    return this.parts.known.isInactive(name);
  }

  /**
   * Switches a job on or off, on all nodes. Off, `enqueue` of it is refused, and what is queued is held until it is
   * switched on again. Runs that go on end as usual. Of a job that takes definitions made at run time, `enqueue` of those is
   * refused with its name; what is queued of them runs.
   * @throws InvalidArgumentError when there is none of the name
   */
  async setActive(name: string, isActive: boolean): Promise<CatalogueChange> {
    if (typeof isActive !== 'boolean') throw new InvalidArgumentError('isActive', 'must be true or false');
    const change = { is_active: isActive ? 1 : 0, updated_at: Date.now() };
    if (!(await this.parts.rows.update(name, change))) throw unknown(name);
    return this.changed(name);
  }

  /**
   * Makes a definition at run time: jobs of its name are run by the handler, with args that fit the schema.
   * @throws InvalidArgumentError (a field is wrong, the name is taken, or the handler is not one that takes it)
   */
  async create(definition: NewDefinition): Promise<CatalogueChange> {
    const { name } = definition;
    checkFields(definition);
    if (typeof name !== 'string' || !JOB_NAME.test(name)) {
      throw new InvalidArgumentError('name', 'must be 1 to 128 of A-Z a-z 0-9 _ . : / -');
    }
    const taker = this.handlerOf(definition.handler);
    checkOfSchema(definition.schema, name);
    const known = this.parts.definitions.named(name);
    const isTaken = known !== undefined && this.parts.known.find(name) === undefined;
    const row = rowOf(definition, taker);
    if (isTaken || !(await this.parts.rows.insert(row))) {
      throw new InvalidArgumentError('name', `${JSON.stringify(name)} is the name of another job`);
    }
    return this.changed(name);
  }

  /**
   * Changes a definition made at run time; what is left out stays. Jobs that are queued are checked against the new schema
   * before they run; one that doesn't fit is buried.
   * @throws InvalidArgumentError
   */
  async update(name: string, change: Partial<Omit<NewDefinition, 'name'>>): Promise<CatalogueChange> {
    const row = await this.parts.rows.get(name);
    if (row?.source !== 'runtime') throw unknown(name, ' made at run time');
    checkFields(change);
    if (change.handler !== undefined) this.handlerOf(change.handler);
    if (change.schema !== undefined) checkOfSchema(change.schema, name);
    const { handler, title, order, queue, schema } = change;
    const columns: Partial<NewDefinitionRow> = {
      updated_at: Date.now(),
      ...(handler === undefined ? {} : { handler }),
      ...(title === undefined ? {} : { title }),
      ...(order === undefined ? {} : { sort_order: order }),
      ...(queue === undefined ? {} : { queue }),
      ...(schema === undefined ? {} : { args_schema: JSON.stringify(schema) }),
    };
    if (!(await this.parts.rows.update(name, columns, 'runtime'))) throw unknown(name, ' made at run time');
    return this.changed(name);
  }

  /**
   * Removes a definition made at run time. Jobs of it that are queued become unknown: they are handed on for some minutes,
   * in case it comes back, and then buried.
   * @returns the nodes that have not said that they know
   * @throws InvalidArgumentError
   */
  async delete(name: string): Promise<Pick<CatalogueChange, 'missing'>> {
    if (!(await this.parts.rows.remove(name, 'runtime'))) throw unknown(name, ' made at run time');
    return { missing: await this.tell() };
  }

  /**
   * Enqueues a job by its name, of code or made at run time; the args of one made at run time are checked against its
   * schema. The class, or the handler, has to be a provider of this app.
   * @throws InvalidArgumentError when this node knows none of the name, InvalidJobArgsError, and what `JobQueue.enqueue` throws
   */
  async enqueue(
    name: string,
    args: object | string | number | boolean | null,
    options: Omit<EnqueueOptions, 'awaitable'> = {},
  ): Promise<EnqueueResult> {
    const { jobs, definitions, known } = this.parts;
    const runtime = known.find(name);
    const definition = definitions.named(runtime?.row.handler ?? name);
    if (definition === undefined) throw unknown(name, ' whose class is a provider of this app');
    const { jobClass } = definition;
    if (runtime === undefined) return jobs.enqueue(jobClass, args, options);
    runtime.check(args);
    const { held, queue = runtime.row.queue ?? undefined, ...others } = options;
    const job = jobs.create(jobClass, args, { ...others, ...(queue === undefined ? {} : { queue }) });
    return jobs.enqueue({ ...job, name }, undefined, held === undefined ? {} : { held });
  }

  /** @throws InvalidArgumentError where it is not one that takes definitions */
  private handlerOf(handler: unknown): JobDefinition {
    const definition = this.parts.definitions.all().find(({ name }) => name === handler);
    if (definition === undefined) {
      throw new InvalidArgumentError(
        'handler',
        `no class of the name ${JSON.stringify(handler)} is a provider of this app`,
      );
    }
    if (!takesRuntimeDefinitions(definition.jobClass)) {
      throw new InvalidArgumentError(
        'handler',
        `${definition.jobClass.name} does not take definitions made at run time: put @TakesRuntimeDefinitions() on it`,
      );
    }
    if (definition.isolation === 'thread') {
      throw new InvalidArgumentError(
        'handler',
        `${definition.jobClass.name} has isolation: 'thread', whose threads don't know definitions made at run time`,
      );
    }
    return definition;
  }

  private async changed(name: string): Promise<CatalogueChange> {
    const missing = await this.tell();
    const job = await this.get(name);
    if (job === undefined) throw unknown(name);
    return { job, missing };
  }

  /** This node knows for sure; who else does not say so is named. */
  private async tell(): Promise<readonly string[]> {
    const { cluster, known } = this.parts;
    await known.load();
    try {
      const { failures, missing } = await cluster.call(CATALOGUE_CHANGED, undefined, {
        timeoutMs: NEWS_TIMEOUT_MS,
      });
      return [
        ...missing,
        ...failures.filter(({ error }) => error.code !== 'ROGER_UNKNOWN_COMMAND').map(({ node }) => node),
      ];
    } catch {
      // The change is made; without the broker the others look for themselves.
      return cluster.nodes().flatMap(({ id, isSelf }) => (isSelf ? [] : [id]));
    }
  }
}

function rowOf(
  { name, handler, schema, title, order, queue }: NewDefinition,
  taker: JobDefinition,
): NewDefinitionRow {
  return {
    name,
    source: 'runtime',
    title: title ?? null,
    sort_order: order ?? 0,
    handler,
    queue: queue ?? null,
    ...limitsOf(taker),
    args_schema: JSON.stringify(schema),
    is_active: 1,
    updated_at: Date.now(),
  };
}

function unknown(name: string, more = ''): InvalidArgumentError {
  return new InvalidArgumentError('name', `there is no job ${JSON.stringify(name)}${more}`);
}

function checkFields({ title, order, queue }: Partial<NewDefinition>): void {
  if (
    title !== undefined &&
    (typeof title !== 'string' || title.trim() === '' || title.length > MAX_TITLE_LENGTH)
  ) {
    throw new InvalidArgumentError('title', `must be 1 to ${MAX_TITLE_LENGTH} characters`);
  }
  if (order !== undefined && !Number.isSafeInteger(order)) {
    throw new InvalidArgumentError('order', 'must be a whole number');
  }
  if (queue !== undefined && (typeof queue !== 'string' || !QUEUE_NAME.test(queue))) {
    throw new InvalidArgumentError('queue', 'must be 1 to 64 of a-z 0-9 _');
  }
}
