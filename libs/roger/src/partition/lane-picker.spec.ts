// The order of lanes holds, and nothing waits for ever: as arithmetic, over all mixes of lanes.
import fc from 'fast-check';
import { LANES } from '../job/lanes';
import type { QueueLane } from '../job/lanes';
import { LanePicker, MAX_PASSES } from './lane-picker';

/** Lets one worker after another be free, each while these lanes have a job; tells whom it went to. */
function begin(picker: LanePicker, waiting: readonly QueueLane[]): QueueLane | undefined {
  const picked = picker.pick(waiting);
  if (picked !== undefined) picker.began(picked, waiting);
  return picked;
}

const someLanes = fc.subarray([...LANES], { minLength: 1 });

test('the first in the order is offered a worker first: now, 9 to 1, express, normal', () => {
  expect(LANES).toEqual(['now', 'p9', 'p8', 'p7', 'p6', 'p5', 'p4', 'p3', 'p2', 'p1', 'express', 'normal']);
  fc.assert(fc.property(someLanes, (waiting) => new LanePicker().pick(waiting) === waiting[0]));
});

test('no lane that has a job is passed over more often than the bound, whatever comes and goes on the others', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...LANES),
      fc.array(fc.subarray([...LANES]), { minLength: 1, maxLength: 8 }),
      (lane, others) => {
        const picker = new LanePicker();
        let passed = 0;
        let most = 0;
        for (let turn = 0; turn < 5 * MAX_PASSES; turn++) {
          const set = new Set([lane, ...(others[turn % others.length] ?? [])]);
          const waiting = LANES.filter((one) => set.has(one));
          passed = begin(picker, waiting) === lane ? 0 : passed + 1;
          most = Math.max(most, passed);
        }
        return most <= MAX_PASSES + LANES.length - 1;
      },
    ),
  );
});

test('a lane goes out of turn only when it was passed over so often, and then once', () => {
  fc.assert(
    fc.property(fc.subarray([...LANES], { minLength: 2 }), (waiting) => {
      const picker = new LanePicker();
      for (let turn = 0; turn < MAX_PASSES; turn++) if (begin(picker, waiting) !== waiting[0]) return false;
      const late = waiting.slice(1).map(() => begin(picker, waiting));
      return new Set(late).size === late.length && begin(picker, waiting) === waiting[0];
    }),
  );
});

test('a lane that has had no job in between begins to count anew', () => {
  const picker = new LanePicker();
  for (let turn = 0; turn < MAX_PASSES; turn++) begin(picker, ['p9', 'normal']);
  begin(picker, ['p9']);
  expect(picker.pick(['p9', 'normal'])).toBe('p9');
});
