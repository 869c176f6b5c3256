// What it costs to enqueue a job that is not due yet.
import type { Channel } from 'amqplib';
import { Arena } from './arena';
import type { Benchmark, Conditions, Result } from './benchmark';
import { ARGS, PlainJob } from './jobs';
import type { RawMessage } from './raw';
import { inFlight, RawPublisher } from './raw';
import type { Contestant } from './rounds';
import { compete, startSpan } from './rounds';

const JOBS = 10_000;
const QUICK_JOBS = 1_000;
const ROUNDS = 9;
const IN_FLIGHT = 100;
/** An hour: the longest of its levels is the eleventh. None of these jobs is due while the benchmark runs. */
const DELAY_MS = 60 * 60 * 1_000;
const LEVEL = 11;

export const delays: Benchmark = (conditions) =>
  Arena.during(conditions, (arena) => enqueueing(arena, conditions));

async function enqueueing(arena: Arena, { isQuick }: Conditions): Promise<Result> {
  const app = await arena.startProducer();
  const enqueue = (): Promise<unknown> => app.jobs.enqueue(PlainJob, ARGS, { delayMs: DELAY_MS });
  await enqueue();
  const connection = await arena.connect();
  const channel = await connection.createChannel();
  const level = `${arena.namespace}.roger.delay.${LEVEL}`;
  const raw = await RawPublisher.open(connection, await takeMessage(channel, level));
  const total = isQuick ? QUICK_JOBS : JOBS;
  const timed =
    (task: () => Promise<unknown>): Contestant =>
    async () => {
      const endSpan = startSpan();
      await inFlight(IN_FLIGHT, total, task);
      const span = endSpan(total);
      const { messageCount } = await channel.purgeQueue(level);
      if (messageCount !== total) throw new Error(`${messageCount} jobs are in the level, not ${total}`);
      return span;
    };
  const scores = await compete(
    { raw: timed(() => raw.publish()), roger: timed(enqueue) },
    { rounds: ROUNDS, isQuick },
  );
  await app.close();
  const ratio = scores.roger.ratioTo(scores.raw);
  return {
    rows: [
      {
        name: `enqueue with a delay, ${IN_FLIGHT} in flight`,
        unit: 'jobs/s',
        raw: scores.raw.jobsPerSecond,
        roger: scores.roger.jobsPerSecond,
        cpuUs: { raw: scores.raw.cpuUsPerJob, roger: scores.roger.cpuUsPerJob },
        ratio,
        goal: { atLeast: 0.8 },
      },
    ],
    fields: { delayed_enqueue_per_s: scores.roger.jobsPerSecond, delayed_enqueue_vs_raw: ratio },
  };
}

async function takeMessage(channel: Channel, queue: string): Promise<RawMessage> {
  const message = await channel.get(queue, { noAck: true });
  if (message === false) throw new Error('the job that was enqueued is not in its level');
  const { contentType, messageId, appId, deliveryMode, headers } =
    message.properties as RawMessage['properties'];
  const { exchange, routingKey } = message.fields;
  const properties = {
    contentType,
    messageId,
    appId,
    deliveryMode,
    ...(headers === undefined ? {} : { headers }),
  };
  return { exchange, routingKey, body: message.content, properties };
}
