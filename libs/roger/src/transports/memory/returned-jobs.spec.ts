import fc from 'fast-check';
import { ReturnedJobs } from './returned-jobs';

function jobAt(place: number) {
  return { id: `job-${place}`, body: Buffer.alloc(0), place, deliveries: 1, deaths: 0 };
}

test('jobs returned in any order leave by their places, also when some leave in between', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(), { maxLength: 100, size: 'max' }),
      fc.array(fc.boolean(), { minLength: 100, maxLength: 100 }),
      (places, leaves) => {
        const returned = new ReturnedJobs();
        const model: number[] = [];
        const came: (number | undefined)[] = [];
        const expected: (number | undefined)[] = [];
        const take = (): void => {
          came.push(returned.take()?.place, returned.length);
          expected.push(model.shift(), model.length);
        };
        for (const [index, place] of places.entries()) {
          returned.add(jobAt(place));
          model.push(place);
          model.sort((a, b) => a - b);
          if (leaves[index] === true) take();
        }
        while (model.length > 0) take();
        take();
        expect(came).toEqual(expected);
      },
    ),
  );
});

test('clear forgets them', () => {
  const returned = new ReturnedJobs();
  returned.add(jobAt(1));
  returned.clear();
  expect(returned.take()).toBeUndefined();
});
