// Many nodes may start at once on an empty database, and a node of an older version on the tables of a newer one.
import { startEngine, rogerOn } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';
import { runSql } from '../support/run-sql';

const TO_FIRST_VERSION = [
  ...['max_retries', 'max_execution_time_seconds', 'reply_to'].map(
    (column) => `alter table roger_jobs drop column ${column}`,
  ),
  `delete from roger_migrations where name > '0001-tables'`,
];

/** As its batches do, for one row. */
function writtenByFirstVersion(id: string): string {
  const columns =
    'partition, job_id, queued_at, name, queue, priority, args, state, attempt, seq_phase, seq_at, seq_run';
  const values = `'p', '${id}', 1000, 'n', 'q', 0, '{"id":"${id}"}', 'queued', 1, 1, 0, ''`;
  const list = columns.replace('partition', '"partition"');
  return `insert into roger_jobs (${list}) values (${values}) on conflict ("partition", job_id) do update set state = excluded.state`;
}

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

  test('are brought on from those of the first version, whose nodes go on to write to them', async () => {
    const database = await newDatabase(kind);
    await (await startEngine({ mode: 'producer' }, { database })).close();
    await runSql(database, [...TO_FIRST_VERSION, writtenByFirstVersion('before')]);
    const { records } = await startEngine({ mode: 'producer' }, { database });
    await runSql(database, [writtenByFirstVersion('before'), writtenByFirstVersion('after')]);
    for (const id of ['before', 'after']) {
      expect(await records.get(id)).toMatchObject({
        ...{ state: 'queued', args: { id } },
        ...{ maxRetries: undefined, maxExecutionTimeSeconds: undefined, replyTo: undefined },
      });
    }
  });

  test('serve a node of an older version when a newer one has changed them', async () => {
    const database = await newDatabase(kind);
    await (await startEngine({ mode: 'producer' }, { database })).close();
    await runSql(database, [
      `insert into roger_migrations (name, timestamp) values ('0099-of-the-future', 'now')`,
    ]);
    const older = await startEngine({ mode: 'producer' }, { database });
    expect(await older.history.count()).toBe(0);
    expect(older.log.messages('warn', 'error').filter((line) => line.includes('not ready'))).toEqual([]);
  });
});
