// How quickly jobs that have failed come back: from the first failure to the last second attempt, over the level of 1 s.
import { setTimeout as sleep } from 'node:timers/promises';
import { Arena } from './arena';
import type { Benchmark, Conditions, Result } from './benchmark';
import { FailingJob } from './jobs';
import { consumeRaw, RawPublisher, type RawMessage } from './raw';
import type { Contestant } from './rounds';
import { compete } from './rounds';
import { Tally } from './tally';

/** So many that the second which each waits is a small part of the time that all take. */
const JOBS = 30_000;
const ROUNDS = 3;
const QUICK_JOBS = 1_000;
const MAX_WORKERS = 100;
const PREFETCH = 250;
const SETTLED_MS = 500;

export const retries: Benchmark = (conditions) =>
  Arena.during(conditions, (arena) => measure(arena, conditions));

async function measure(arena: Arena, conditions: Conditions): Promise<Result> {
  const connection = await arena.connect();
  const jobs = conditions.isQuick ? QUICK_JOBS : JOBS;
  const first = await RawPublisher.open(connection, await arena.messageOf(FailingJob));
  const message = await arena.messageOf(FailingJob);

  const roger: Contestant = async () => {
    await first.fill(jobs);
    // Both attempts are counted: the clock runs from the first failure on.
    const tally = new Tally();
    const ended = tally.expect(2 * jobs);
    const app = await arena.startWorker({ default: MAX_WORKERS }, tally);
    const span = await ended;
    await app.close();
    await arena.clear(0);
    return { ...span, jobs };
  };
  /** What a retry is at least: a confirmed publish to the level, an ack, and a delivery with an ack a second later. */
  const raw: Contestant = async () => {
    await first.fill(jobs);
    const again = await RawPublisher.open(connection, levelOf(arena, message));
    const tally = new Tally();
    const ended = tally.expect(2 * jobs);
    const published: Promise<void>[] = [];
    const channel = await consumeRaw(connection, tally, {
      queue: arena.nameOf(),
      prefetch: PREFETCH,
      acks: 'each',
      before: () => {
        const publish = again.publish();
        published.push(publish);
        return publish;
      },
    });
    const span = await ended;
    // A retry can be back before its publish is confirmed, and what it follows is acknowledged only then.
    await Promise.all(published);
    // The broker's side of a channel forgets acknowledgements that it has not yet handed to the queue.
    await sleep(SETTLED_MS);
    await channel.close();
    await arena.clear(0);
    return { ...span, jobs };
  };
  // Roger declares the level.
  await roger();
  const scores = await compete({ roger, raw }, { rounds: ROUNDS, isQuick: conditions.isQuick });
  await arena.removeLevel(1);

  const ratio = scores.roger.ratioTo(scores.raw);
  const figures = { raw: scores.raw.jobsPerSecond, roger: scores.roger.jobsPerSecond };
  const cpuUs = { raw: scores.raw.cpuUsPerJob, roger: scores.roger.cpuUsPerJob };
  return {
    rows: [{ name: 'fail once, again after 1 s', unit: 'jobs/s', ...figures, cpuUs, ratio }],
    fields: { retries_per_s: figures.roger, retries_vs_raw: ratio },
  };
}

/** The same job on its way through the level of 1 s. */
function levelOf(arena: Arena, message: RawMessage): RawMessage {
  return { ...message, exchange: arena.levelName(1) };
}
