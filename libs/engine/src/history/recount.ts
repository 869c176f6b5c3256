// Counts a run that has been counted under one result under another: an operator has said how it counts.
import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { RunResult } from '../records/rows';
import type { Tables } from '../store/schema';
import { hourOf } from '../writer/hourly-counts';

/**
 * Nothing where its count is gone already.
 * @param from in the alphabet before `to`: so batches have them, and none waits for the other
 */
export async function recount(
  trx: Transaction<Tables>,
  run: { readonly name: string; readonly endedAt: number },
  from: Extract<RunResult, 'cancelled'>,
  to: Extract<RunResult, 'done' | 'failed'>,
): Promise<void> {
  const place = { hour: hourOf(run.endedAt), name: run.name, bucket: 0 };
  const { numUpdatedRows } = await trx
    .updateTable('roger_counts')
    .set({ count: sql<number>`count - 1` })
    .where('hour', '=', place.hour)
    .where('name', '=', place.name)
    .where('measure', '=', from)
    .where('bucket', '=', place.bucket)
    .where('count', '>', 0)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return;
  await trx
    .insertInto('roger_counts')
    .values({ ...place, measure: to, count: 1 })
    .onConflict((conflict) =>
      conflict
        .columns(['hour', 'name', 'measure', 'bucket'])
        .doUpdateSet({ count: sql<number>`roger_counts.count + 1` }),
    )
    .execute();
}
