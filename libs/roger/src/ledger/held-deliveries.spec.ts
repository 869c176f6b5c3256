// Which deliveries nodes have in hand: each knows its own, and is asked for them.
import type { HeldQuestion } from './held-deliveries';
import { HeldDeliveries, isHeldMail } from './held-deliveries';

/** Nodes that ask each other; those that are mute hear and don't answer. */
class Cluster {
  private readonly nodes = new Map<string, HeldDeliveries>();
  readonly mute = new Set<string>();
  readonly gone = new Set<string>();
  readonly asked: HeldQuestion[] = [];

  node(nodeId: string): HeldDeliveries {
    const node = new HeldDeliveries({
      nodeId,
      isPresent: (other) => !this.gone.has(other),
      send: (to, question) => {
        this.asked.push(question);
        const answer = this.nodes.get(to)?.answerTo(question);
        if (answer !== undefined && !this.mute.has(to)) this.nodes.get(question.node)?.onAnswer(answer);
      },
    });
    this.nodes.set(nodeId, node);
    return node;
  }
}

test('a delivery is in hand from when it is taken until it is dropped, on whatever node', async () => {
  const cluster = new Cluster();
  const [here, there] = [cluster.node('here'), cluster.node('there')];
  const owners = [here.take(), here.take(), there.take(), there.take()];
  expect(new Set(owners).size).toBe(4);
  expect(await here.among(owners)).toEqual(new Set(owners));
  here.drop(owners[0] ?? '');
  there.drop(owners[2] ?? '');
  expect(await here.among(owners)).toEqual(new Set([owners[1], owners[3]]));
  expect(await there.among(owners)).toEqual(new Set([owners[1], owners[3]]));
});

test('a node that is gone has nothing in hand, and is not asked', async () => {
  const cluster = new Cluster();
  const here = cluster.node('here');
  cluster.gone.add('there');
  expect(await here.among(['there/1'])).toEqual(new Set());
  expect(cluster.asked).toEqual([]);
});

test('one that is there and silent may have all of them', async () => {
  jest.useFakeTimers();
  try {
    const cluster = new Cluster();
    const [here, there] = [cluster.node('here'), cluster.node('there')];
    cluster.mute.add('there');
    const owner = there.take();
    const held = here.among([owner, 'there/77']);
    await jest.advanceTimersByTimeAsync(2_000);
    expect(await held).toEqual(new Set([owner, 'there/77']));
  } finally {
    jest.useRealTimers();
  }
});

test('an answer adds nothing that was not asked for, and one to no question does nothing', async () => {
  const cluster = new Cluster();
  const here = cluster.node('here');
  here.onAnswer({ mail: 'held', number: 5, owners: ['there/1'] });
  cluster.mute.add('there');
  const held = here.among(['there/1']);
  here.onAnswer({ mail: 'held', number: 1, owners: ['there/2'] });
  expect(await held).toEqual(new Set());
});

test.each([
  [{ number: 'x', owners: [] }],
  [{ number: 1, owners: 'a' }],
  [{ number: 1, owners: [1] }],
  [{ number: 1 }],
])('what is no such mail is refused: %j', (fields) => {
  expect(isHeldMail({ mail: 'held', ...fields } as never)).toBe(false);
});
