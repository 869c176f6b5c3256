// Whatever the order in which jobs end, each is acked once, and the broker is never told of a tag that it has closed.
import fc from 'fast-check';
import type { Ack } from './acknowledgements';
import { Acknowledgements } from './acknowledgements';

/** A channel as the broker sees it: it closes itself (here: throws) over a tag that isn't open. */
class BrokerChannel {
  /** Every ack of a tag, in the order in which they came. */
  readonly acked: number[] = [];
  private readonly open = new Set<number>();
  private lastTag = 0;

  deliver(): number {
    this.open.add(++this.lastTag);
    return this.lastTag;
  }

  ack({ tag, multiple }: Ack): void {
    if (!this.open.has(tag)) throw new Error(`PRECONDITION_FAILED - unknown delivery tag ${tag}`);
    const tags = multiple ? [...this.open].filter((it) => it <= tag) : [tag];
    for (const it of tags) this.open.delete(it);
    this.acked.push(...tags);
  }

  nack(tag: number): void {
    if (!this.open.delete(tag)) throw new Error(`PRECONDITION_FAILED - unknown delivery tag ${tag}`);
  }
}

/** A lane's use of it: jobs come, end well, are given back, and now and then the acks are sent. */
class Lane {
  readonly channel = new BrokerChannel();
  readonly ended: number[] = [];
  private readonly acks = new Acknowledgements();
  private readonly running: number[] = [];

  deliver(): void {
    this.running.push(this.channel.deliver());
  }

  /** The n-th of the running ones ends well. */
  end(n: number): void {
    const [tag] = this.running.splice(n % Math.max(this.running.length, 1), 1);
    if (tag === undefined) return;
    this.ended.push(tag);
    this.acks.add(tag);
  }

  /** The n-th of the running ones is given back. */
  giveBack(n: number): void {
    const [tag] = this.running.splice(n % Math.max(this.running.length, 1), 1);
    if (tag === undefined) return;
    this.channel.nack(tag);
    this.acks.close(tag);
  }

  /** @returns how many acks it took. */
  send(): number {
    const acks = this.acks.take();
    for (const ack of acks) this.channel.ack(ack);
    return acks.length;
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('deliver' as const), n: fc.nat({ max: 5 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('end' as const), n: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('giveBack' as const), n: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('send' as const), n: fc.constant(0) }) },
);

function play(
  lane: Lane,
  steps: Iterable<{ readonly kind: 'deliver' | 'end' | 'giveBack' | 'send'; readonly n: number }>,
): void {
  for (const { kind, n } of steps) {
    if (kind === 'deliver') for (let count = 0; count <= n; count++) lane.deliver();
    else if (kind === 'end') lane.end(n);
    else if (kind === 'giveBack') lane.giveBack(n);
    else lane.send();
  }
}

test('in any order of endings, each job is acked exactly once and no other is', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const lane = new Lane();
      play(lane, steps);
      lane.send();
      expect([...lane.channel.acked].sort((a, b) => a - b)).toEqual([...lane.ended].sort((a, b) => a - b));
      expect(lane.send()).toBe(0);
    }),
    { numRuns: 500 },
  );
});

test('jobs that end in the order of their coming take one ack, however many', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 500 }), (first, second) => {
      const lane = new Lane();
      for (const count of [first, second]) {
        for (let n = 0; n < count; n++) lane.deliver();
        for (let n = 0; n < count; n++) lane.end(0);
        expect(lane.send()).toBe(1);
      }
      expect(lane.channel.acked).toHaveLength(first + second);
    }),
  );
});

test('jobs that end in the opposite order take one ack when they are sent together', () => {
  const lane = new Lane();
  for (let n = 0; n < 100; n++) lane.deliver();
  for (let n = 99; n >= 0; n--) lane.end(n);
  expect(lane.send()).toBe(1);
});

test('one long job makes the others go singly, and is grouped with what comes after it', () => {
  const lane = new Lane();
  for (let n = 0; n < 4; n++) lane.deliver();
  for (let n = 0; n < 3; n++) lane.end(1);
  expect(lane.send()).toBe(3);
  for (let n = 0; n < 5; n++) lane.deliver();
  for (let n = 0; n < 6; n++) lane.end(0);
  expect(lane.send()).toBe(1);
  expect(lane.channel.acked).toEqual([2, 3, 4, 1, 5, 6, 7, 8, 9]);
});

test('a single ack for a single job is not a grouped one', () => {
  const acks = new Acknowledgements();
  acks.add(1);
  expect(acks.take()).toEqual([{ tag: 1, multiple: false }]);
});

test('a job given back leaves no hole that later jobs would have to go around singly', () => {
  const lane = new Lane();
  for (let n = 0; n < 10; n++) lane.deliver();
  lane.giveBack(4);
  for (let n = 0; n < 9; n++) lane.end(0);
  expect(lane.send()).toBe(1);
});

describe('the test itself notices', () => {
  test('an ack for a tag that is closed already', () => {
    const channel = new BrokerChannel();
    channel.nack(channel.deliver());
    expect(() => channel.ack({ tag: 1, multiple: true })).toThrow('unknown delivery tag 1');
  });

  test('a group that takes in a job which still runs', () => {
    const channel = new BrokerChannel();
    channel.deliver();
    channel.ack({ tag: channel.deliver(), multiple: true });
    expect(channel.acked).toEqual([1, 2]);
  });
});
