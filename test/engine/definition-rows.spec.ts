// Nodes that start at once write what their code says of the same jobs, each in its own order.
import { DefinitionStore } from '../../libs/engine/src/catalogue/definition-store';
import { EngineStore } from '../../libs/engine/src/store/engine-store';
import { DATABASES, newDatabase } from '../support/engine-databases';

const OF_CODE = {
  ...({ source: 'code', title: null, sort_order: 0, handler: null, queue: null } as const),
  ...{ max_execution_time_seconds: null, retries: 'true', priority: 0, args_schema: null },
  ...{ is_active: 1, updated_at: 0 },
};

test.each(DATABASES)('none of them waits for another for good in %s', async (kind) => {
  const database = await newDatabase(kind);
  const stores = ['a', 'b'].map((node) => new EngineStore(database, node));
  await stores[0]?.migrate();
  const rows = Array.from({ length: 60 }, (_, n) => ({ ...OF_CODE, name: `job-${n}` }));
  const [one, other] = stores.map((store) => new DefinitionStore(store));
  for (let round = 0; round < 3; round++)
    await Promise.all([one?.note(rows), other?.note([...rows].reverse())]);
  expect(await one?.all()).toHaveLength(60);
  for (const store of stores) await store.close();
});
