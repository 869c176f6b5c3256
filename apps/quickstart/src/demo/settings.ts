// What the environment may say to the demo.
import { PlainError } from '../plain-error';

export interface DemoSettings {
  /** ROGER_AMQP_URL: a RabbitMQ to run on. @default none: a private one, or memory */
  readonly amqpUrl: string | undefined;
  /** ROGER_DEMO_TRANSPORT=memory: no RabbitMQ even where there is one. @default false */
  readonly isMemoryForced: boolean;
  /** ROGER_DEMO_SCALE: how many times the usual number of jobs, above 0 and up to 100. @default 1 */
  readonly scale: number;
  /** ROGER_DEMO_LIMIT_SECONDS: when jobs that have not ended count as missing, 1 to 3600. @default 60 */
  readonly limitSeconds: number;
}

/** @throws PlainError that names the variable */
export function settingsOf(env: NodeJS.ProcessEnv): DemoSettings {
  const transport = env['ROGER_DEMO_TRANSPORT'] ?? '';
  if (!['', 'memory'].includes(transport)) {
    throw new PlainError(
      `ROGER_DEMO_TRANSPORT may be memory, not ${transport}. ` +
        'Leave it out for RabbitMQ, and set ROGER_AMQP_URL to choose which.',
    );
  }
  return {
    amqpUrl: env['ROGER_AMQP_URL'] === '' ? undefined : env['ROGER_AMQP_URL'],
    isMemoryForced: transport === 'memory',
    scale: numberOf(env, 'ROGER_DEMO_SCALE', { least: 0.001, most: 100, usual: 1 }),
    limitSeconds: numberOf(env, 'ROGER_DEMO_LIMIT_SECONDS', { least: 1, most: 3600, usual: 60 }),
  };
}

interface Bounds {
  readonly least: number;
  readonly most: number;
  readonly usual: number;
}

function numberOf(env: NodeJS.ProcessEnv, name: string, { least, most, usual }: Bounds): number {
  const text = env[name] ?? '';
  if (text === '') return usual;
  const number = Number(text);
  if (number >= least && number <= most) return number;
  throw new PlainError(`${name} must be a number from ${least} to ${most}, not ${text}`);
}
