// Starts one private RabbitMQ for the whole run of the broker tests.
import { ensureRabbitmq, startPrivateRabbitmq } from '../../libs/private-rabbitmq/src';
import type { PrivateRabbitmq } from '../../libs/private-rabbitmq/src';

declare global {
  var sharedBroker: PrivateRabbitmq | undefined;
}

export default async function startBroker(): Promise<void> {
  if (!(await ensureRabbitmq((line) => process.stderr.write(`${line}\n`)))) {
    throw new Error('The broker tests need RabbitMQ: on Debian, apt-get install rabbitmq-server');
  }
  globalThis.sharedBroker = await startPrivateRabbitmq();
  process.env['ROGER_TEST_AMQP_URL'] = globalThis.sharedBroker.uri;
}
