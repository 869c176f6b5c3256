// The example app runs as its README says: as a demo, as two processes, and as the first job.
import { testsAtOnce } from './support/at-once';
import { sharedBrokerUri } from './support/broker';
import { buildQuickstart, Program } from './support/quickstart-program';

beforeAll(buildQuickstart);

// Processes, each with work for a few seconds.
const together = testsAtOnce(3);

together(
  'the demo does the jobs of both tenants, retries what is flaky and buries what always fails',
  async () => {
    const demo = Program.start('main.js', [], { ROGER_DEMO_TRANSPORT: 'memory', ROGER_DEMO_SCALE: '0.1' });
    expect(await demo.exitCode()).toBe(0);
    const rows = summaryRows(demo.output);
    expect(rows).toEqual([
      { tenant: 'acme', job: 'welcome-mail', enqueued: 200, done: 200, retries: 0, buried: 0 },
      { tenant: 'acme', job: 'report', enqueued: 2, done: 2, retries: 0, buried: 0 },
      { tenant: 'acme', job: 'contact-sync', enqueued: 2, done: 2, retries: 3, buried: 0 },
      { tenant: 'acme', job: 'card-charge', enqueued: 1, done: 0, retries: 1, buried: 1 },
      { tenant: 'globex', job: 'welcome-mail', enqueued: 200, done: 200, retries: 0, buried: 0 },
      { tenant: 'globex', job: 'report', enqueued: 2, done: 2, retries: 0, buried: 0 },
      { tenant: 'globex', job: 'contact-sync', enqueued: 1, done: 1, retries: 2, buried: 0 },
      { tenant: 'globex', job: 'card-charge', enqueued: 1, done: 0, retries: 1, buried: 1 },
      { tenant: 'total', job: '', enqueued: 409, done: 407, retries: 7, buried: 2 },
    ]);
    expect(demo.output).toContain('All 409 jobs are accounted for: 407 done, 2 buried.');
  },
);

together('a demo whose time is over says which jobs are missing and fails', async () => {
  const demo = Program.start('main.js', ['demo'], {
    ROGER_DEMO_TRANSPORT: 'memory',
    ROGER_DEMO_LIMIT_SECONDS: '1',
  });
  expect(await demo.exitCode()).toBe(1);
  expect(demo.output).toMatch(/^\d+ of \d+ jobs are unaccounted for after 1 s: .*\d+ contact-sync of acme/m);
});

together(
  'what a stopped demo leaves on the broker, the next one works off beside its own, which it accounts for',
  async () => {
    const onBroker = { ROGER_AMQP_URL: sharedBrokerUri(), ROGER_DEMO_SCALE: '0.1' };
    const stopped = Program.start('main.js', [], { ...onBroker, ROGER_DEMO_SCALE: '0.4' });
    await stopped.says(/ acme +\d+ +[1-9]/);
    expect(await stopped.end('SIGINT')).toBe(130);
    expect(stopped.output).toMatch(/^Stopped: \d+ of \d+ jobs were done/m);

    const next = Program.start('main.js', [], onBroker);
    expect(await next.exitCode()).toBe(0);
    expect(summaryRows(next.output).at(-1)).toMatchObject({ enqueued: 409, done: 407, buried: 2 });
    expect(next.output).toMatch(/[1-9]\d* jobs that an earlier run had left/);
  },
);

test('API and worker run as processes of their own, and a demo does not mix with them', async () => {
  const onBroker = { ROGER_AMQP_URL: sharedBrokerUri(), PORT: '0', NO_COLOR: '1' };
  const worker = Program.start('main.js', ['worker'], onBroker);
  const api = Program.start('main.js', ['api'], onBroker);
  await worker.says(/\(consuming\)/);
  const [url = ''] = await api.says(/http:\/\/\S+welcome-mails/);
  const post = (body: object): Promise<Response> =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  expect((await post({ userId: 1, address: 'nobody' })).status).toBe(400);
  expect((await post({ userId: 1, address: 'ada@example.com' })).status).toBe(202);
  await worker.says(/sent to ada@example\.com/);

  const demo = Program.start('main.js', ['demo'], onBroker);
  expect(await demo.exitCode()).toBe(1);
  expect(demo.output).toContain('Another worker already takes the jobs of quickstart.acme-mail');

  await Promise.all([worker.end('SIGTERM'), api.end('SIGTERM')]);
});

test('the first job of the README runs', async () => {
  const firstJob = Program.start('first-job.js', [], {});
  expect(await firstJob.exitCode()).toBe(0);
  expect(firstJob.output).toMatch(/^Welcome, ada@example\.com!$/m);
});

interface SummaryRow {
  readonly tenant: string;
  readonly job: string;
  readonly enqueued: number;
  readonly done: number;
  readonly retries: number;
  readonly buried: number;
}

function summaryRows(output: string): SummaryRow[] {
  const row = /^ {2}(\w+) +([a-z-]*) +(\d+) +(\d+) +(\d+) +(\d+)$/gm;
  return [...output.matchAll(row)].map(([, tenant = '', job = '', ...counts]) => {
    const [enqueued = NaN, done = NaN, retries = NaN, buried = NaN] = counts.map(Number);
    return { tenant, job, enqueued, done, retries, buried };
  });
}
