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
let isThere: boolean;
let replies: OutcomeReplies;

beforeEach(() => {
  jest.useFakeTimers();
  sent = [];
  isThere = true;
  replies = new OutcomeReplies({
    add: () => undefined,
    send: (node, mail, parts) => {
      sent.push([node, mail, parts?.map(String)]);
      return Promise.resolve(isThere);
    },
  });
});

afterEach(() => {
  jest.useRealTimers();
});

test('it goes once to a node that is there', async () => {
  replies.reply(JOB, { kind: 'done', result: { n: 1 } });
  await jest.advanceTimersByTimeAsync(60_000);
  expect(sent).toEqual([
    ['n1', { mail: 'outcome', token: replyTo.token, outcome: { kind: 'done' } }, ['{"n":1}']],
  ]);
});

test('it is tried again for some seconds when the node is not there, and then no more', async () => {
  isThere = false;
  replies.reply(JOB, { kind: 'failed', type: 'Error', message: 'x' });
  await jest.advanceTimersByTimeAsync(60_000);
  expect(sent).toHaveLength(4);
});

test('so many that wait for their node take no more room', async () => {
  isThere = false;
  for (let n = 0; n < 2_000; n++) replies.reply(JOB, { kind: 'done', result: n });
  await jest.advanceTimersByTimeAsync(0);
  expect(jest.getTimerCount()).toBe(500);
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
