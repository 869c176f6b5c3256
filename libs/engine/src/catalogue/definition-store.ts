// The rows of the catalogue.
import type { Insertable, Selectable } from 'kysely';
import { plainText } from '../records/plain-text';
import type { EngineStore } from '../store/engine-store';
import type { DefinitionsTable } from '../store/schema';

export type DefinitionRow = Selectable<DefinitionsTable>;
/** Beside what is its own, what it has from the job whose handler takes it: null where there is none. */
export type ShownRow = DefinitionRow & {
  readonly of_handler: string | null;
  readonly handlers_queue: string | null;
  readonly handlers_limit: number | null;
  readonly handlers_retries: string | null;
  readonly handlers_priority: number | string | null;
};
export type NewDefinitionRow = Insertable<DefinitionsTable>;

export class DefinitionStore {
  constructor(private readonly store: EngineStore) {}

  /** What the code of this node says; whether one is switched off stays as it is. */
  async note(rows: readonly NewDefinitionRow[]): Promise<void> {
    const { writing } = this.store;
    await writing.transaction().execute(async (trx) => {
      // Two nodes that lock the same rows in another order would wait for each other.
      for (const row of [...rows].sort((one, other) => (one.name < other.name ? -1 : 1))) {
        await trx
          .insertInto('roger_definitions')
          .values(row)
          .onConflict((conflict) =>
            conflict.column('name').doUpdateSet((eb) => ({
              source: eb.ref('excluded.source'),
              title: eb.ref('excluded.title'),
              sort_order: eb.ref('excluded.sort_order'),
              handler: eb.ref('excluded.handler'),
              queue: eb.ref('excluded.queue'),
              max_execution_time_seconds: eb.ref('excluded.max_execution_time_seconds'),
              retries: eb.ref('excluded.retries'),
              priority: eb.ref('excluded.priority'),
              args_schema: eb.ref('excluded.args_schema'),
              updated_at: eb.ref('excluded.updated_at'),
            })),
          )
          .execute();
      }
    });
  }

  /** @returns false when one of the name is there. */
  async insert(row: NewDefinitionRow): Promise<boolean> {
    const { numInsertedOrUpdatedRows = 0n } = await this.store.writing
      .insertInto('roger_definitions')
      .values(row)
      .onConflict((conflict) => conflict.column('name').doNothing())
      .executeTakeFirst();
    return numInsertedOrUpdatedRows > 0n;
  }

  /** @returns whether there was one of this source. */
  async update(
    name: string,
    change: Partial<NewDefinitionRow>,
    source?: DefinitionRow['source'],
  ): Promise<boolean> {
    let query = this.store.writing
      .updateTable('roger_definitions')
      .set(change)
      .where('name', '=', plainText(name));
    if (source !== undefined) query = query.where('source', '=', source);
    const { numUpdatedRows } = await query.executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  /** @returns whether there was one of this source. */
  async remove(name: string, source: DefinitionRow['source']): Promise<boolean> {
    const { numDeletedRows } = await this.store.writing
      .deleteFrom('roger_definitions')
      .where('name', '=', plainText(name))
      .where('source', '=', source)
      .executeTakeFirst();
    return numDeletedRows > 0n;
  }

  get(name: string): Promise<ShownRow | undefined> {
    return this.select().where('job.name', '=', plainText(name)).executeTakeFirst();
  }

  /** Sorted as they are shown. */
  all(): Promise<ShownRow[]> {
    return this.select().execute();
  }

  page(
    isActive: boolean | undefined,
    place: { readonly at: number; readonly id: string } | undefined,
    limit: number,
  ): Promise<ShownRow[]> {
    let query = this.select();
    if (isActive !== undefined) query = query.where('job.is_active', '=', isActive ? 1 : 0);
    if (place !== undefined) {
      query = query.where((eb) =>
        eb(eb.refTuple('job.sort_order', 'job.name'), '>', eb.tuple(place.at, place.id)),
      );
    }
    return query.limit(limit).execute();
  }

  private select() {
    return this.store.reading
      .selectFrom('roger_definitions as job')
      .leftJoin('roger_definitions as taker', 'taker.name', 'job.handler')
      .selectAll('job')
      .select([
        'taker.name as of_handler',
        'taker.queue as handlers_queue',
        'taker.max_execution_time_seconds as handlers_limit',
        'taker.retries as handlers_retries',
        'taker.priority as handlers_priority',
      ])
      .orderBy('job.sort_order')
      .orderBy('job.name');
  }
}
