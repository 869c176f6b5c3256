import fc from 'fast-check';
import type { JournalRecord } from './journal-records';
import { StandingJobs } from './standing-jobs';

const NOW = 1_000_000;

/** What a queue goes through, one step after the other. */
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ what: fc.constant('enqueue' as const), express: fc.boolean() }) },
    {
      weight: 2,
      arbitrary: fc.record({
        what: fc.constant('delay' as const),
        seconds: fc.integer({ min: 1, max: 200 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ what: fc.constant('run' as const), nth: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant('empty' as const) }) },
  ),
  { maxLength: 120 },
);

type Step = typeof steps extends fc.Arbitrary<readonly (infer S)[]> ? S : never;

/** A queue and the journal that it keeps, a second per step, the last step now. */
function play(history: readonly Step[]) {
  const journal: JournalRecord[] = [];
  let standing: { token: string; lane: 'normal' | 'express'; cameAt: number }[] = [];
  let delayed: typeof standing = [];
  const arrive = (at: number): void => {
    standing.push(...delayed.filter(({ cameAt }) => cameAt <= at));
    delayed = delayed.filter(({ cameAt }) => cameAt > at);
    standing.sort((a, b) => a.cameAt - b.cameAt);
  };
  history.forEach((step, index) => {
    const at = NOW - (history.length - 1 - index) * 1000;
    arrive(at);
    const token = String(index);
    const body = Buffer.from(token);
    switch (step.what) {
      case 'enqueue': {
        const lane = step.express ? 'express' : 'normal';
        journal.push({ kind: 'entered', token, lane, sentAt: at, dueAt: undefined, body });
        standing.push({ token, lane, cameAt: at });
        return;
      }
      case 'delay': {
        const dueAt = at + step.seconds * 1000;
        journal.push({ kind: 'entered', token, lane: 'normal', sentAt: at, dueAt, body });
        delayed.push({ token, lane: 'normal', cameAt: dueAt });
        return;
      }
      case 'run': {
        const run = standing[step.nth];
        if (run === undefined) return;
        standing = standing.filter((one) => one !== run);
        journal.push({ kind: 'left', tokens: [run.token] });
        return;
      }
      case 'empty':
        standing = standing.filter(({ lane }) => lane === 'express');
        journal.push({ kind: 'emptied', lane: 'normal', at });
    }
  });
  const inOrder = (lane: string): string[] =>
    standing.filter((one) => one.lane === lane).map(({ token }) => token);
  return { journal, standing: [...inOrder('express'), ...inOrder('normal')], delayed: delayed.length };
}

/** Reads the journal backwards in stretches of a length. */
function readBack(jobs: StandingJobs, journal: readonly JournalRecord[], stretch: number): void {
  for (let end = journal.length; end > 0; end -= stretch) {
    jobs.readBack(journal.slice(Math.max(0, end - stretch), end));
  }
}

test('a journal tells what stands in its queue, in its order, whatever happened', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 50 }), (history, stretch) => {
      const { journal, standing, delayed } = play(history);
      const jobs = new StandingJobs(NOW, 1_000);
      readBack(jobs, journal, stretch);
      expect(jobs.first(standing.length).map(String)).toEqual(standing);
      expect({ count: jobs.count, delayed: jobs.delayed }).toEqual({ count: standing.length, delayed });
    }),
  );
});

test('jobs that left without a note, as with a node that was killed, are taken to be the oldest', () => {
  const { journal } = play([
    { what: 'enqueue', express: false },
    { what: 'enqueue', express: false },
    { what: 'enqueue', express: false },
  ]);
  const jobs = new StandingJobs(NOW, 10);
  readBack(jobs, journal, 10);
  expect(jobs.first(2).map(String)).toEqual(['1', '2']);
});

test('no more is shown than was asked for', () => {
  const { journal } = play(Array.from({ length: 30 }, () => ({ what: 'enqueue', express: false })));
  const jobs = new StandingJobs(NOW, 4);
  readBack(jobs, journal, 7);
  expect(jobs.first(30).map(String)).toEqual(['0', '1', '2', '3']);
});
