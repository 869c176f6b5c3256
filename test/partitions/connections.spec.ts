// Subscriptions beyond what one connection carries get another one, which goes with the last of them.
import { ConsumingConnections } from '../../libs/roger/src/transports/rabbitmq/consuming-connections';
import { eventually } from '../support/app';
import { sharedBrokerUri } from '../support/broker';
import { RecordedLog } from '../support/recorded-log';

test('each so many subscriptions have a connection of their own, closed after the last of them', async () => {
  const connections = new ConsumingConnections({ uri: sharedBrokerUri() }, new RecordedLog(), 2);
  const taken = Array.from({ length: 5 }, () => connections.take());
  try {
    expect(taken.map((one) => [...new Set(taken)].indexOf(one))).toEqual([0, 0, 1, 1, 2]);
    await eventually('all to be connected', () => connections.areUp);

    const [, , second, secondAgain] = taken;
    if (second === undefined || secondAgain === undefined) throw new Error('nothing was taken');
    connections.release(second, 1_000);
    expect(connections.take()).toBe(second);
    connections.release(second, 1_000);
    connections.release(secondAgain, 1_000);
    await eventually('it to be closed', () => second.current === undefined);

    for (const one of taken.slice(0, 2)) connections.release(one, 1_000);
    expect(connections.first.current).toBeDefined();
    expect(connections.take()).toBe(connections.first);
  } finally {
    await connections.close(1_000);
  }
});
