// Which lane a free worker is offered a job of: a higher one that has more on its way goes first, for a moment.
import type { Delivery, DeliveryConsumer, QueueLane, Subscription, Transport } from '../transport';
import type { Intake } from './intake';
import type { IntakesOwner } from './intakes';
import { Intakes } from './intakes';
import { MAX_PASSES } from './lane-picker';

const PREFETCH = 8;
/** Longer than a lane is waited for. */
const WAITED_MS = 60;

class Bench {
  readonly consumers = new Map<QueueLane, DeliveryConsumer>();
  readonly intakes: Intakes;
  wentOn = 0;
  prefetch = PREFETCH;

  constructor() {
    const subscription: Subscription = {
      consumerCount: 1,
      setPrefetch: () => undefined,
      applied: () => Promise.resolve(),
      stop: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
    const transport = {
      consume: (_address: unknown, _prefetch: number, consumer: DeliveryConsumer, lane: QueueLane) => {
        this.consumers.set(lane, consumer);
        consumer.waiting(undefined);
        return subscription;
      },
    } as unknown as Transport;
    const prefetch = (): number => this.prefetch;
    const owner: IntakesOwner = {
      address: { partition: 'acme', queue: 'default' },
      freeWorkers: 1,
      takesNothing: false,
      get prefetch() {
        return prefetch();
      },
      begunOf: () => 0,
      lostOf: () => 0,
      mayGoOn: () => {
        this.wentOn++;
      },
      deliver: (delivery: Delivery, intake: Intake) => {
        this.intakes.arrived(intake);
        intake.keep(delivery);
      },
      lost: (intake) => {
        this.intakes.lost(intake);
      },
      standing: () => undefined,
    };
    this.intakes = new Intakes(transport, owner);
  }

  /** All lanes of the queue, with what they have at the beginning. */
  static async serving(jobs: Partial<Record<QueueLane, number>>): Promise<Bench> {
    const bench = new Bench();
    for (const lane of Object.keys(jobs) as QueueLane[]) bench.intakes.add(lane, false);
    for (const [lane, count] of Object.entries(jobs)) bench.bring(lane as QueueLane, count);
    await waited();
    bench.wentOn = 0;
    return bench;
  }

  bring(lane: QueueLane, count: number): void {
    const delivery = { settle: () => undefined } as unknown as Delivery;
    for (let n = 0; n < count; n++) this.consumers.get(lane)?.deliver(delivery);
  }

  /** The lanes of the next jobs, as far as there are any now. */
  begin(count: number): (QueueLane | undefined)[] {
    return Array.from({ length: count }, () => this.intakes.next()?.intake.lane);
  }
}

function waited(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, WAITED_MS));
}

test('while a higher lane that was full gets its next jobs, no lower one gets a worker', async () => {
  const bench = await Bench.serving({ normal: 3, p9: PREFETCH });
  expect(bench.begin(PREFETCH + 1)).toEqual([...Array<QueueLane>(PREFETCH).fill('p9'), undefined]);
  bench.bring('p9', 2);
  expect(bench.begin(3)).toEqual(['p9', 'p9', 'normal']);
  bench.intakes.end();
});

test('that has an end where nothing comes, and the worker is told', async () => {
  const bench = await Bench.serving({ normal: 1, p9: PREFETCH });
  bench.begin(PREFETCH);
  expect(bench.begin(1)).toEqual([undefined]);
  await waited();
  expect(bench.wentOn).toBe(1);
  expect(bench.begin(1)).toEqual(['normal']);
});

test('nothing is waited for where the higher lane had few', async () => {
  const bench = await Bench.serving({ normal: 1, p9: 2 });
  expect(bench.begin(3)).toEqual(['p9', 'p9', 'normal']);
});

test('a higher lane whose consumer is renewed for more jobs is waited for, too', async () => {
  const bench = await Bench.serving({ normal: 1, p9: 2 });
  bench.prefetch = 10 * PREFETCH;
  bench.intakes.adjust(false);
  expect(bench.begin(3)).toEqual(['p9', 'p9', undefined]);
  bench.intakes.end();
});

test('a lane that was passed over too often waits for no other that gets its next jobs', async () => {
  const bench = await Bench.serving({ normal: 2, p8: 0, p9: 3 * MAX_PASSES });
  bench.prefetch = 2;
  bench.bring('p8', 2);
  const begun = bench.begin(2 * MAX_PASSES + 3);
  expect(begun.slice(MAX_PASSES, MAX_PASSES + 3)).toEqual(['p8', 'normal', 'p9']);
  // The last of p8, which was full: more are awaited.
  expect(begun.slice(2 * MAX_PASSES)).toEqual(['p9', 'p8', 'normal']);
  bench.intakes.end();
});
