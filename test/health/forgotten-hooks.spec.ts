// Who has forgotten enableShutdownHooks is told so once; nobody else is.
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { Sightings } from '../support/sightings';
import { eventually } from '../support/app';
import { FORGOTTEN_HOOKS } from '../../libs/roger/src/nest/shutdown-hooks';

const connection = { uri: sharedBrokerUri() };
const env = { NODE_ENV: 'production' };

function startChild(more: { hooks: boolean; mode?: 'producer' }): Promise<ChildApp> {
  const partitions = { [uniquePartition()]: { default: 1 } };
  const roger = { connection, partitions, mode: more.mode };
  return ChildApp.start({
    node: 'child',
    roger,
    sightings: new Sightings(),
    forgetsShutdownHooks: !more.hooks,
    env,
  });
}

const warned = ({ lines }: ChildApp): number =>
  lines.filter((line) => line === `warn ${FORGOTTEN_HOOKS}`).length;

test('a worker without shutdown hooks is warned once, ten seconds after its start; one with them, or a producer, is not', async () => {
  const [careless, careful, producer] = await Promise.all([
    startChild({ hooks: false }),
    startChild({ hooks: true }),
    startChild({ hooks: false, mode: 'producer' }),
  ]);
  expect(warned(careless)).toBe(0);
  await eventually('the warning', () => warned(careless) > 0, 20_000);
  // The others began at the same time, give or take their start.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect([careless, careful, producer].map(warned)).toEqual([1, 0, 0]);
});
