// Writes down that runs are lost: their node has gone without a word, or an operator says so.
import { RUN_LIMITED, RUN_MISSED } from '../records/rows';
import type { EngineStore } from '../store/engine-store';

/** All that go on of a node, or one. */
export type RunsToLose = { readonly node: string } | { readonly runId: string };

/** @returns how many had no end before, and are lost now */
export async function markLost(store: EngineStore, which: RunsToLose, message: string): Promise<number> {
  const why = { reason_type: 'NodeGone', reason_message: message };
  return store.writing.transaction().execute(async (trx) => {
    const going = trx
      .updateTable('roger_runs')
      .set({ result: 'lost', ...why, seq: RUN_MISSED })
      .where('ended_at', 'is', null)
      .where('result', 'is', null)
      .where('seq', '<=', RUN_LIMITED);
    const runs = await (
      'node' in which ? going.where('node', '=', which.node) : going.where('id', '=', which.runId)
    )
      .returning('id')
      .execute();
    // The broker gives the job to another. In the order of events this is still the begin of the lost run.
    const running = trx
      .updateTable('roger_jobs')
      .set({ state: 'queued', ...why })
      .where('state', '=', 'running');
    if ('node' in which) await running.where('node', '=', which.node).execute();
    else if (runs.length > 0) await running.where('run_id', '=', which.runId).execute();
    return runs.length;
  });
}
