// Starts one private RabbitMQ for the whole run of the broker tests.
import { ensureRabbitmq, startPrivateRabbitmq } from '../../libs/private-rabbitmq/src';
import type { PrivateRabbitmq } from '../../libs/private-rabbitmq/src';

declare global {
  var sharedBroker: PrivateRabbitmq | undefined;
}

/**
 * So long the broker waits for the confirm of a job on its way out of a level; by default it is three minutes. On a busy
 * machine one gets lost, if seldom, and then the README's advice holds for a test, too.
 */
const CONFIRM_TIMEOUT_MS = 5_000;

export default async function startBroker(): Promise<void> {
  if (!(await ensureRabbitmq((line) => process.stderr.write(`${line}\n`)))) {
    throw new Error('The broker tests need RabbitMQ: on Debian, apt-get install rabbitmq-server');
  }
  globalThis.sharedBroker = await startPrivateRabbitmq();
  const setting = `dead_letter_worker_publisher_confirm_timeout, ${CONFIRM_TIMEOUT_MS}`;
  await globalThis.sharedBroker.ctl('eval', `application:set_env(rabbit, ${setting}).`);
  process.env['ROGER_TEST_AMQP_URL'] = globalThis.sharedBroker.uri;
}
