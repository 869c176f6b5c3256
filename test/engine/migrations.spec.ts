// Many nodes may start at once on an empty database, and a node of an older version on the tables of a newer one.
import { Client } from 'pg';
import { startEngine, rogerOn } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';

describe.each(DATABASES)('the tables in %s', (kind) => {
  test('are made once when five nodes start at once', async () => {
    const database = await newDatabase(kind);
    const engines = await Promise.all(
      Array.from({ length: 5 }, () => startEngine({ ...rogerOn('memory'), mode: 'producer' }, { database })),
    );
    for (const { history } of engines) expect(await history.count()).toBe(0);
    expect(engines[0]?.log.messages('warn', 'error').filter((line) => line.includes('database'))).toEqual([]);
  });

  test('serve a node that starts again', async () => {
    const database = await newDatabase(kind);
    const first = await startEngine({ mode: 'producer' }, { database });
    await first.close();
    const again = await startEngine({ mode: 'producer' }, { database });
    expect(await again.records.count()).toBe(0);
  });
});

test('a node of an older version starts on the tables of a newer one', async () => {
  const database = await newDatabase('PostgreSQL');
  await (await startEngine({ mode: 'producer' }, { database })).close();
  if (!('postgres' in database)) throw new Error('it is PostgreSQL');
  const client = new Client(database.postgres as { connectionString: string });
  await client.connect();
  await client.query(`insert into roger_migrations (name, timestamp) values ('0099-of-the-future', 'now')`);
  await client.end();
  const older = await startEngine({ mode: 'producer' }, { database });
  expect(await older.history.count()).toBe(0);
  expect(older.log.messages('warn', 'error').filter((line) => line.includes('not ready'))).toEqual([]);
});
