// In whatever order the events of a job arrive, from whatever nodes, its row comes out the same.
import fc from 'fast-check';
import type { Job, JobEnd, RunRecord } from 'nestjs-roger';
import { begunJob, begunRun, endedJob, enqueuedJob } from './event-rows';
import { markOfJob } from './event-marks';
import { FactsReader } from './job-facts';
import type { JobRow } from './rows';
import { decreePhaseOf, holdsOver, isFinal } from './rows';

const facts = new FactsReader('full', 1_000);
const BASE: Job = { id: 'j', name: 'n', partition: 'p', queue: 'q', args: {}, attempt: 1, queuedAt: 0 };

const job = fc.record({ attempt: fc.integer({ min: 1, max: 3 }), queuedAt: fc.constantFrom(1_000, 2_000) });
const run = fc.record({
  id: fc.constantFrom('a/1', 'a/2', 'b/1'),
  at: fc.integer({ min: 1_000, max: 1_005 }),
});
const outcome = fc.constantFrom<JobEnd['outcome']>(
  'done',
  'retried',
  'snoozed',
  'buried',
  'cancelled',
  'handedBack',
  'held',
  'lost',
);

const event: fc.Arbitrary<JobRow> = fc.oneof(
  job.map((of) => {
    const one = { ...BASE, ...of, attempt: 1 };
    return enqueuedJob(facts.read(one), one);
  }),
  fc.tuple(job, run).map(([of, { id, at }]) => {
    const one = { ...BASE, ...of };
    return begunJob(begunRun(facts.read(one), recordOf(one, id, at), false), null, at * 1_000);
  }),
  fc.tuple(job, run, outcome, fc.integer({ min: 0, max: 3 })).map(([of, { id, at }, how, later]) => {
    const one = { ...BASE, ...of };
    const end: JobEnd = {
      job: one,
      address: one,
      run: recordOf(one, id, at),
      at: at + later,
      outcome: how,
      ...(how === 'retried' ? { again: { attempt: one.attempt + 1, at: at + 10 } } : {}),
      ...(how === 'snoozed' ? { again: { attempt: one.attempt, at: at + 10 } } : {}),
    };
    return endedJob(facts.read(one), one, end, 'a', (at + later) * 1_000 + 1);
  }),
);

function recordOf(one: Job, id: string, startedAt: number): RunRecord {
  return {
    id,
    node: 'a',
    job: one,
    startedAt,
    timeLimitAt: undefined,
    fence: undefined,
    isolation: 'process',
  };
}

function settled(rows: readonly JobRow[]): JobRow | undefined {
  return rows.reduce<JobRow | undefined>(
    (held, row) => (held === undefined || holdsOver(markOfJob(row), markOfJob(held)) ? row : held),
    undefined,
  );
}

/** What two events have in common that stand at one place in the order: no two of one run, of two kinds, do. */
function orderOf({ facts: { queued_at }, seq_phase, seq_at, seq_run }: JobRow): string {
  return JSON.stringify([queued_at, seq_phase, seq_at, seq_run]);
}

const history = fc.uniqueArray(event, { selector: orderOf, minLength: 1, maxLength: 12 });

test('any order of arrival, and any repetition, gives the same row', () => {
  fc.assert(
    fc.property(
      history.chain((rows) =>
        fc.tuple(
          fc.constant(rows),
          fc.shuffledSubarray([...rows, ...rows], { minLength: rows.length * 2, maxLength: rows.length * 2 }),
        ),
      ),
      ([rows, shuffled]) => {
        expect(settled(shuffled)).toEqual(settled(rows));
      },
    ),
    { numRuns: 2_000 },
  );
});

test('what is over stays over within one life, and a later life counts more', () => {
  fc.assert(
    fc.property(history, (rows) => {
      const held = settled(rows);
      const lastLife = Math.max(...rows.map((row) => row.facts.queued_at));
      expect(held?.facts.queued_at).toBe(lastLife);
      const hasEnded = rows.some((row) => row.facts.queued_at === lastLife && isFinal(row.state));
      expect(held !== undefined && isFinal(held.state)).toBe(hasEnded);
    }),
  );
});

test('before the end the highest attempt counts', () => {
  fc.assert(
    fc.property(history, (rows) => {
      const held = settled(rows);
      if (held?.ended_at !== null) return;
      const attempts = rows
        .filter((row) => row.facts.queued_at === held.facts.queued_at)
        .map(({ attempt }) => attempt);
      expect(held.attempt).toBe(Math.max(...attempts));
    }),
  );
});

test('the news that a job was enqueued never hides its run, however late it is', () => {
  const queued = enqueuedJob(facts.read(BASE), BASE);
  const begun = begunJob(begunRun(facts.read(BASE), recordOf(BASE, 'a/1', 1), false), null, 1_000);
  expect(settled([begun, queued])?.state).toBe('running');
  expect(settled([queued, begun])?.state).toBe('running');
});

test('what an operator has decided of one life outweighs all that its nodes tell, and nothing of a later life', () => {
  fc.assert(
    fc.property(fc.array(event), event, (rows, decided) => {
      const { queued_at } = decided.facts;
      const decree: JobRow = { ...decided, state: 'removed', seq_phase: decreePhaseOf(decided.attempt) };
      const isLater = rows.some(({ facts: { queued_at: other } }) => other > queued_at);
      expect(settled([...rows, decree]) === decree).toBe(!isLater);
      expect(settled([decree, ...rows]) === decree).toBe(!isLater);
    }),
  );
});
