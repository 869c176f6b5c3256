// What a killed process had not brought to the database comes there by another, whole and once, and no end is made up.
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HeldRelease, Job, JobEnd, QueueAddress, RogerLog, RunRecord } from 'nestjs-roger';
import { markOfJob } from '../records/event-marks';
import { FactsReader } from '../records/job-facts';
import type { JobRow, RunRow } from '../records/rows';
import { holdsOver, RUN_UNSETTLED } from '../records/rows';
import type { BatchStore } from './history-writer';
import { HistoryWriter } from './history-writer';
import { thisProcess } from './process-identity';
import type { Batch } from './record-buffer';
import { Spool } from './spool';

const PATIENCE_MS = 10_000;

/** Keeps rows by their order, as the tables do. */
class Database implements BatchStore {
  readonly jobs = new Map<string, JobRow>();
  readonly runs = new Map<string, RunRow>();
  readonly purges: string[] = [];
  readonly releases: string[] = [];
  readonly counts: Record<string, number> = {};
  isAway = false;

  async write({ events, counts }: Batch): Promise<void> {
    await this.answer();
    for (const {
      rows: { job: row },
    } of events) {
      if (row === undefined) continue;
      const other = this.jobs.get(row.facts.job_id);
      if (other === undefined || holdsOver(markOfJob(row), markOfJob(other)))
        this.jobs.set(row.facts.job_id, row);
    }
    for (const {
      rows: { run: row },
    } of events) {
      if (row === undefined) continue;
      const other = this.runs.get(row.id);
      if (other === undefined || row.seq > other.seq) this.runs.set(row.id, row);
    }
    for (const { measure, count } of counts) this.counts[measure] = (this.counts[measure] ?? 0) + count;
  }

  async markPurged({ queue }: QueueAddress, at: number): Promise<void> {
    await this.answer();
    this.purges.push(`${queue} ${at}`);
  }

  async markReleased(release: HeldRelease, at: number): Promise<void> {
    await this.answer();
    this.releases.push(`${'jobId' in release ? release.jobId : release.why} ${at}`);
  }

  async endedOf(runIds: readonly string[]): Promise<ReadonlySet<string>> {
    await this.answer();
    return new Set(runIds.filter((id) => (this.runs.get(id)?.seq ?? 0) >= RUN_UNSETTLED));
  }

  private async answer(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.isAway) throw new Error('connection refused');
  }

  isRefusal(): boolean {
    return false;
  }
}

let folder: string;
let database: Database;
const nodes: HistoryNode[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'roger-replay-'));
  database = new Database();
});
afterEach(() => {
  for (const { writer } of nodes.splice(0)) writer.close();
  rmSync(folder, { recursive: true });
});

/** What a process has of it. */
class HistoryNode {
  readonly lines: string[] = [];
  readonly writer: HistoryWriter;
  /** Nothing of it comes to the database any more. */
  isCut = false;
  private onLine: () => void = () => undefined;

  constructor(readonly id: string) {
    const keep = (line: string): void => {
      this.lines.push(line);
      this.onLine();
    };
    const log: RogerLog = { log: keep, warn: keep, error: keep, debug: keep };
    const spool = new Spool({ folder, maxBytes: 10_000_000 }, log);
    this.writer = new HistoryWriter(
      { nodeId: id, facts: new FactsReader('full', 1_000_000), store: this.store, log, spool },
      { flushIntervalMs: 1, maxRows: 10_000, maxBytes: 10_000_000, maxValueBytes: 100 },
    );
    nodes.push(this);
  }

  private get store(): BatchStore {
    const never = new Promise<never>(() => undefined);
    return {
      write: (batch) => (this.isCut ? never : database.write(batch)),
      markPurged: (address, at) => (this.isCut ? never : database.markPurged(address, at)),
      markReleased: (release, at) => (this.isCut ? never : database.markReleased(release, at)),
      endedOf: (ids) => database.endedOf(ids),
      isRefusal: () => false,
    };
  }

  /** Resolves when it has said so. */
  async said(what: string): Promise<string> {
    for (;;) {
      const line = this.lines.find((one) => one.includes(what));
      if (line !== undefined) return line;
      await new Promise<void>((resolve) => (this.onLine = resolve));
    }
  }

  /** Resolves when all that the dead have left is in the database. */
  async takeOver(): Promise<void> {
    this.writer.start();
    await this.said('Took over');
    await this.writer.flush(PATIENCE_MS);
  }
}

/** What it appended is in its files, and it does no more. */
async function kill(node: HistoryNode): Promise<void> {
  node.isCut = true;
  await new Promise<void>((resolve) => setImmediate(resolve));
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  for (const owner of ownFolders()) {
    writeFileSync(join(owner, 'owner.json'), JSON.stringify({ ...thisProcess(), pid }));
  }
  nodes.splice(nodes.indexOf(node), 1);
}

function sizeOf(file: string): number {
  return statSync(file).size;
}

function ownFolders(): string[] {
  return readdirSync(folder).map((name) => join(folder, name));
}

function eventFiles(): string[] {
  return ownFolders().flatMap((own) =>
    readdirSync(own)
      .filter((name) => name.endsWith('.events'))
      .map((name) => join(own, name)),
  );
}

function jobOf(id: string, more: Partial<Job> = {}): Job {
  return { id, name: 'n', partition: 'p', queue: 'q', args: {}, attempt: 1, queuedAt: 1_000, ...more };
}

function runOf(job: Job, id: string, startedAt = 2_000): RunRecord {
  const node = id.split('/')[0] ?? '';
  return { ...{ id, node, job, startedAt }, timeLimitAt: undefined, fence: 1, isolation: 'process' };
}

function endOf(run: RunRecord, outcome: JobEnd['outcome'], more: Partial<JobEnd> = {}): JobEnd {
  return { job: run.job, address: run.job, run, at: run.startedAt + 5, outcome, ...more };
}

describe('an end that its ledger had not taken', () => {
  test('counts when the process is killed before the answer, and is not told while it lives', async () => {
    const victim = new HistoryNode('a');
    const run = runOf(jobOf('j'), 'a/1');
    void victim.writer.began(run);
    victim.writer.ending(endOf(run, 'done', { result: 7 }));
    expect(await victim.writer.flush(PATIENCE_MS)).toBe(true);
    expect(database.runs.get('a/1')?.result).toBeNull();
    expect(database.jobs.get('j')?.state).toBe('running');
    await kill(victim);
    await new HistoryNode('b').takeOver();
    expect(database.runs.get('a/1')).toMatchObject({ result: 'done', ended_at: 2_005, value: '7' });
    expect(database.jobs.get('j')).toMatchObject({ state: 'done', run_id: 'a/1' });
    expect(database.counts).toMatchObject({ done: 1, run: 1 });
  });

  test.each([['before the database had it'], ['after the database had it']])(
    'gives way to the real one, told %s, and the run counts once',
    async (when) => {
      const victim = new HistoryNode('a');
      const lost = runOf(jobOf('lost'), 'a/1');
      const done = runOf(jobOf('done'), 'a/2');
      victim.isCut = when === 'before the database had it';
      for (const run of [lost, done]) {
        void victim.writer.began(run);
        victim.writer.ending(endOf(run, 'done'));
      }
      victim.writer.ended(endOf(lost, 'lost'));
      victim.writer.ended(endOf(done, 'done'));
      if (when === 'after the database had it') await victim.writer.flush(PATIENCE_MS);
      await kill(victim);
      await new HistoryNode('b').takeOver();
      expect(database.runs.get('a/1')?.result).toBe('lost');
      expect(database.jobs.get('lost')?.state).toBe('queued');
      expect(database.runs.get('a/2')?.result).toBe('done');
      expect(database.counts).toMatchObject({ done: 1, lost: 1, run: 2 });
    },
  );

  test.each([['before'], ['after']])(
    'does not hide that the job runs again, told %s it is taken over',
    async (when) => {
      const victim = new HistoryNode('a');
      const [done, failed] = [jobOf('done'), jobOf('failed')];
      const again = { attempt: 2, at: 60_000 };
      victim.writer.ending(endOf(runOf(done, 'a/1'), 'done'));
      victim.writer.ending(endOf(runOf(failed, 'a/2'), 'retried', { again }));
      await kill(victim);
      const heir = new HistoryNode('b');
      const rerun = (): void => {
        for (const job of [done, failed]) void heir.writer.began(runOf(job, `b/${job.id}`, 3_000));
      };
      if (when === 'before') rerun();
      await heir.takeOver();
      if (when === 'after') {
        expect(database.jobs.get('done')?.state).toBe('done');
        expect(database.jobs.get('failed')).toMatchObject({ state: 'waiting', attempt: 2, due_at: 60_000 });
        rerun();
      }
      await heir.writer.flush(PATIENCE_MS);
      expect(database.jobs.get('done')).toMatchObject({ state: 'running', run_id: 'b/done' });
      expect(database.jobs.get('failed')).toMatchObject({ state: 'running', run_id: 'b/failed', attempt: 1 });
      expect([database.runs.get('a/1')?.result, database.runs.get('a/2')?.result]).toEqual([
        'done',
        'failed',
      ]);
    },
  );

  test('stands in the spool until it is settled, whatever the database has', async () => {
    const node = new HistoryNode('a');
    const run = runOf(jobOf('j'), 'a/1');
    const padding = jobOf('padding', { args: { text: 'x'.repeat(200_000) } });
    void node.writer.began(run);
    node.writer.ending(endOf(run, 'done'));
    node.writer.enqueued(padding);
    await node.writer.flush(PATIENCE_MS);
    expect(eventFiles().map(sizeOf)).toEqual([expect.any(Number)]);
    expect(eventFiles().map(sizeOf)[0]).toBeGreaterThan(0);
    node.writer.ended(endOf(run, 'done'));
    await node.writer.flush(PATIENCE_MS);
    expect(eventFiles().map(sizeOf)).toEqual([0]);
  });
});

describe('what a killed process left', () => {
  test('is read but for the line that the kill tore, and for what is not known, and that is said', async () => {
    const victim = new HistoryNode('a');
    for (const id of ['one', 'two']) victim.writer.enqueued(jobOf(id));
    await kill(victim);
    const [file = ''] = eventFiles();
    appendFileSync(
      file,
      '%of another version\n!{"kind":"drained","at":1}\n?[1]\n[{"partition":"p","job_id":"thr',
    );
    const heir = new HistoryNode('b');
    await heir.takeOver();
    expect([...database.jobs.keys()]).toEqual(['one', 'two']);
    expect(await heir.said('Took over')).toBe(
      'Took over 2 events of the job history from a process that has ended; 4 lines could not be read',
    );
  });

  test('stays while the database is away, over a clean stop and a kill, until that is there', async () => {
    const victim = new HistoryNode('a');
    const run = runOf(jobOf('j'), 'a/1');
    victim.isCut = true;
    void victim.writer.began(run);
    victim.writer.ended(endOf(run, 'done'));
    await kill(victim);
    database.isAway = true;
    const second = new HistoryNode('b');
    second.writer.start();
    await second.said("can't be written");
    expect(await second.writer.flush(1)).toBe(false);
    second.writer.close();
    const third = new HistoryNode('c');
    third.writer.start();
    await third.said("can't be written");
    await kill(third);
    expect(database.runs.size).toBe(0);
    database.isAway = false;
    await new HistoryNode('d').takeOver();
    expect(database.runs.get('a/1')?.result).toBe('done');
    expect(database.counts).toMatchObject({ done: 1 });
  });
});

test('a release that a killed process had not written is written by another', async () => {
  const victim = new HistoryNode('a');
  victim.isCut = true;
  victim.writer.released({ partition: 'p', jobId: 'j', isNow: true }, 1_500);
  victim.writer.released({ partition: 'p', why: 'lunch' }, 1_600);
  await kill(victim);
  await new HistoryNode('b').takeOver();
  expect(database.releases).toEqual(['j 1500', 'lunch 1600']);
});

describe('a purge', () => {
  test('that a killed process had not written is written by another', async () => {
    const victim = new HistoryNode('a');
    victim.isCut = true;
    victim.writer.enqueued(jobOf('j'));
    victim.writer.purged({ partition: 'p', queue: 'q' }, 1_500);
    await kill(victim);
    await new HistoryNode('b').takeOver();
    expect(database.jobs.get('j')?.state).toBe('queued');
    expect(database.purges).toEqual(['q 1500']);
  });

  test('is written once more by another where its process ended within seconds', async () => {
    const first = new HistoryNode('a');
    first.writer.purged({ partition: 'p', queue: 'q' }, 1_500);
    expect(await first.writer.flush(PATIENCE_MS)).toBe(true);
    first.writer.close();
    await new HistoryNode('b').takeOver();
    expect(database.purges).toEqual(['q 1500', 'q 1500']);
  });
});
