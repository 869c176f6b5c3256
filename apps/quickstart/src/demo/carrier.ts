// Decides what carries the demo's jobs, and starts it where need be.
import { MemoryBroker } from 'nestjs-roger';
import { ensureRabbitmq, startPrivateRabbitmq } from 'private-rabbitmq';
import { NAMESPACE, type Carrier } from '../tenants';
import type { DemoSettings } from './settings';

export interface OpenCarrier {
  readonly carrier: Carrier;
  /** Which one it is and why, for people. */
  readonly description: string;
  /** Where the buried jobs of a queue are. */
  readonly buriedName: (partition: string, queue: string) => string;
  /** What becomes of buried jobs after the demo, in lines. */
  readonly afterwards: readonly string[];
  /** What becomes of the jobs that a stop leaves undone. */
  readonly unfinished: string;
  readonly close: () => Promise<void>;
}

/** The RabbitMQ of ROGER_AMQP_URL, else a private one, else memory. */
export async function openCarrier(settings: DemoSettings, say: (line: string) => void): Promise<OpenCarrier> {
  if (settings.isMemoryForced) return inMemory('as ROGER_DEMO_TRANSPORT says');
  if (settings.amqpUrl !== undefined) return onOwnRabbitmq(settings.amqpUrl);
  if (!(await ensureRabbitmq(say))) return inMemory('because RabbitMQ is not installed');
  say('Starting a private RabbitMQ …');
  try {
    return await onPrivateRabbitmq();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return inMemory('because RabbitMQ did not start');
  }
}

function onOwnRabbitmq(uri: string): OpenCarrier {
  return {
    carrier: { connection: { uri } },
    description: 'yours, as ROGER_AMQP_URL says',
    buriedName: buriedQueueOf,
    afterwards: [
      'They stay there with their reasons in their headers, as the management UI shows.',
      `All that the demo has made on your broker is named ${NAMESPACE}.…`,
    ],
    unfinished: 'The others wait on the broker; the next demo works them off, too.',
    close: () => Promise.resolve(),
  };
}

async function onPrivateRabbitmq(): Promise<OpenCarrier> {
  const rabbitmq = await startPrivateRabbitmq();
  return {
    carrier: { connection: { uri: rabbitmq.uri } },
    description: `a private one at 127.0.0.1:${rabbitmq.port}, stopped at the end`,
    buriedName: buriedQueueOf,
    afterwards: [
      'They end with this private RabbitMQ. On your own they stay, with their reasons in their headers:',
      'ROGER_AMQP_URL=amqp://localhost npm run demo',
    ],
    unfinished: 'The others end with this private RabbitMQ.',
    close: () => rabbitmq.stop(),
  };
}

function inMemory(why: string): OpenCarrier {
  return {
    carrier: { memory: new MemoryBroker() },
    description: why,
    buriedName: (partition, queue) => `${partition}/${queue}`,
    afterwards: ['In memory they end with the process; until then MemoryBroker.buried() shows them.'],
    unfinished: 'The others end with this process.',
    close: () => Promise.resolve(),
  };
}

function buriedQueueOf(partition: string, queue: string): string {
  return `${NAMESPACE}.${partition}-${queue}.buried`;
}
