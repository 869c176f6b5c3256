// A line is in the order of its places, whoever comes and goes.
import fc from 'fast-check';
import { KeyedJob, Line, PartitionState } from './partition-state';

const partition = new PartitionState('p');
const at = (place: number): KeyedJob => new KeyedJob(partition, `j${place}`, 'q', undefined, 'key', place);

describe('a line', () => {
  it('keeps everybody in the order of their places', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(30))), (steps) => {
        const line = new Line('key');
        const there = new Map<number, KeyedJob>();
        for (const [comes, place] of steps) {
          const job = there.get(place);
          if (comes && job === undefined) {
            const newcomer = at(place);
            there.set(place, newcomer);
            line.insert(newcomer);
          } else if (!comes && job !== undefined) {
            there.delete(place);
            line.remove(job);
          }
          const places = [...there.keys()].sort((a, b) => a - b);
          expect([...line.waiting()].map((one) => one.place)).toEqual(places);
          expect(line.next?.place).toBe(places[0]);
          expect(line.isEmpty).toBe(places.length === 0);
        }
      }),
    );
  });

  it('is not empty while somebody has the turn', () => {
    const line = new Line('key');
    line.holder = at(1);
    expect(line.isEmpty).toBe(false);
  });
});
