// The program of the thread that has a SQLite file open: carries out one statement after the other. JavaScript, so that
// it is the same file in the source and in the package.
'use strict';
const { Buffer } = require('node:buffer');
const { parentPort, workerData } = require('node:worker_threads');
const Database = require('better-sqlite3');

const STATEMENTS = 200;

const database = new Database(workerData.path, { timeout: workerData.busyTimeoutMs });
database.pragma('journal_mode = WAL');
// A crash of the process loses nothing, one of the machine the last moments; the file stays sound in either.
database.pragma('synchronous = NORMAL');
// Rows come by random ids: 32 MiB of the file at hand instead of 2, and checkpoints every 16 MiB.
database.pragma('cache_size = -32768');
database.pragma('wal_autocheckpoint = 4000');

/** The last that were used, by their text. */
const statements = new Map();

function statementOf(text) {
  let statement = statements.get(text);
  if (statement === undefined) statement = database.prepare(text);
  else statements.delete(text);
  statements.set(text, statement);
  if (statements.size > STATEMENTS) statements.delete(statements.keys().next().value);
  return statement;
}

function carryOut({ text, parameters }) {
  const statement = statementOf(text);
  if (statement.reader) return { rows: statement.all(parameters) };
  const { changes, lastInsertRowid } = statement.run(parameters);
  return { rows: [], changes, lastInsertRowid };
}

function recordsIn({ pieces, places }) {
  const buffers = pieces.map((piece) => Buffer.from(piece));
  const records = [];
  for (let at = 0; at < places.length; at += 3) {
    records.push(JSON.parse(buffers[places[at]].toString('utf8', places[at + 1], places[at + 2])));
  }
  return records;
}

function carryOutEach(task) {
  const records = recordsIn(task);
  for (const { sql, mark, columns } of task.statements) {
    const statement = statementOf(sql);
    for (const record of records) {
      if (record[mark] !== undefined) statement.run(columns.map((column) => valueOf(record, column)));
    }
  }
  return { rows: [] };
}

function valueOf(record, { short, otherwise }) {
  const value = record[short];
  return (value === undefined ? record[otherwise] : value) ?? null;
}

parentPort.on('message', (task) => {
  if (task.number === undefined) {
    database.close();
    parentPort.close();
    return;
  }
  try {
    const done = task.places === undefined ? carryOut(task) : carryOutEach(task);
    parentPort.postMessage({ number: task.number, ...done });
  } catch (error) {
    const { message, code } = error;
    parentPort.postMessage({ number: task.number, error: { message, code } });
  }
});
