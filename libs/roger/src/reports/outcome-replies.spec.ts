// A reply is tried again while the other is connecting anew, and given up then; a forged address is no address.
import type { Job } from '../job/job';
import { OutcomeReplies } from './outcome-replies';

const replyTo = { node: 'n1', token: 'a'.repeat(22) };
const JOB: Job = {
  id: 'j1',
  name: 'x',
  partition: 'acme',
  queue: 'q',
  args: {},
  attempt: 2,
  queuedAt: 0,
  replyTo,
};

let sent: unknown[];
let replies: OutcomeReplies;

beforeEach(() => {
  jest.useFakeTimers();
  sent = [];
  replies = new OutcomeReplies({
    nodeId: 'here',
    add: () => undefined,
    send: (node, mail, parts) => {
      sent.push([node, mail, parts?.map(String)]);
      return Promise.resolve(true);
    },
  });
});

afterEach(() => {
  jest.useRealTimers();
});

const { token } = replyTo;

test('it goes once when it is answered', () => {
  replies.reply(JOB, { kind: 'done', result: { n: 1 } });
  replies.onReceived({ mail: 'received', token });
  jest.advanceTimersByTime(60_000);
  expect(sent).toEqual([
    ['n1', { mail: 'outcome', node: 'here', token, outcome: { kind: 'done' } }, ['{"n":1}']],
  ]);
});

test('it goes again for some seconds when it is not answered, and then no more', () => {
  replies.reply(JOB, { kind: 'failed', type: 'Error', message: 'x' });
  jest.advanceTimersByTime(2_600);
  expect(sent).toHaveLength(3);
  jest.advanceTimersByTime(60_000);
  expect(sent).toHaveLength(4);
  expect(jest.getTimerCount()).toBe(0);
});

const replyMany = (count: number, result: unknown): void => {
  for (let n = 0; n < count; n++) {
    const other = { ...replyTo, token: `token-number-${String(n).padStart(6, '0')}` };
    replies.reply({ ...JOB, replyTo: other }, { kind: 'done', result });
  }
};

test.each([
  ['in number', 2_000, 1, 1_000],
  ['in bytes', 100, 'x'.repeat(250_000), 67],
])('those that wait for an answer are bounded %s', (_what, count, result, kept) => {
  replyMany(count, result);
  expect(sent).toHaveLength(count);
  expect(jest.getTimerCount()).toBe(kept);
  jest.advanceTimersByTime(60_000);
  replyMany(1, result);
  expect(jest.getTimerCount()).toBe(1);
  replies.close();
  expect(jest.getTimerCount()).toBe(0);
});

test.each<[what: string, replyTo: unknown]>([
  ['none', undefined],
  ['a node with a dot', { ...replyTo, node: 'ledger.3' }],
  ['a node with a slash', { ...replyTo, node: '../x' }],
  ['a node that is no text', { ...replyTo, node: ['n1'] }],
  ['no node', { token: replyTo.token }],
  ['a long node', { ...replyTo, node: 'n'.repeat(129) }],
  ['a short token', { ...replyTo, token: 'x' }],
  ['a text', 'n1'],
  ['null', null],
])('%s as its address: nothing is sent', (_what, forged) => {
  replies.reply({ ...JOB, replyTo: forged as typeof replyTo }, { kind: 'done', result: 1 });
  expect(sent).toEqual([]);
});
