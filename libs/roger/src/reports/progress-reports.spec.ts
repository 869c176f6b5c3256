// Progress goes to those that watch, at most ten times a second, the last one always, and to nobody else.
import type { Job } from '../job/job';
import type { ReportMail } from './report-mail';
import { ProgressReports } from './progress-reports';

const JOB: Job = {
  id: 'j1',
  name: 'x',
  partition: 'acme',
  queue: 'default',
  args: {},
  attempt: 2,
  queuedAt: 0,
};

let sent: [node: string, value: unknown][];
let reports: ProgressReports;
let running: { attempt: number; value: unknown } | undefined;

beforeEach(() => {
  jest.useFakeTimers();
  sent = [];
  running = undefined;
  reports = new ProgressReports({
    nodeId: 'here',
    add: () => undefined,
    send: (node: string, mail: ReportMail) => {
      sent.push([node, 'value' in mail ? mail.value : undefined]);
      return Promise.resolve(true);
    },
  });
  reports.lookInto({ serves: (partition) => partition === 'acme', progressOf: () => running });
});

afterEach(() => {
  jest.useRealTimers();
});

function watch(node = 'n1', partition = 'acme', id = 'j1'): void {
  reports.onWatch({ mail: 'watch', node, jobs: [[partition, id]] });
}

test('nothing is sent of a job that nobody watches', () => {
  watch('n1', 'acme', 'another');
  watch('n1', 'foreign');
  reports.told(JOB, 1);
  jest.advanceTimersByTime(60_000);
  expect(sent).toEqual([]);
});

test('the first is sent at once, then the last one of each tenth of a second', () => {
  watch();
  for (let value = 0; value < 100; value++) {
    reports.told(JOB, value);
    jest.advanceTimersByTime(10);
  }
  jest.advanceTimersByTime(1_000);
  expect(sent.length).toBeGreaterThan(5);
  expect(sent.length).toBeLessThanOrEqual(11);
  expect(sent[0]).toEqual(['n1', 0]);
  expect(sent.at(-1)).toEqual(['n1', 99]);
});

test('all that watch are told; who begins to is told what was said before', () => {
  watch('n1');
  watch('n2');
  reports.told(JOB, 1);
  expect(sent).toEqual([
    ['n1', 1],
    ['n2', 1],
  ]);
  running = { attempt: 2, value: 1 };
  watch('n3');
  expect(sent.at(-1)).toEqual(['n3', 1]);
});

test('who has not said for ten seconds that it watches is told nothing more', () => {
  watch();
  jest.advanceTimersByTime(9_000);
  reports.told(JOB, 1);
  jest.advanceTimersByTime(2_000);
  reports.told(JOB, 2);
  jest.advanceTimersByTime(60_000);
  expect(sent).toEqual([['n1', 1]]);
});

test('what is still to be sent at the end of the node is sent', () => {
  watch();
  reports.told(JOB, 1);
  reports.told(JOB, 2);
  reports.close();
  expect(sent).toEqual([
    ['n1', 1],
    ['n1', 2],
  ]);
});
