// Names for a test of its own on the broker that the run shares.
import { randomBytes } from 'node:crypto';

/** The broker of this run. Tests share it and must not harm it; who kills a broker starts one of its own. */
export function sharedBrokerUri(): string {
  const uri = process.env['ROGER_TEST_AMQP_URL'];
  if (uri === undefined) throw new Error('Run broker tests by `npm test`: it starts their broker');
  return uri;
}

/** Nobody listens there: a port that a closed proxy had may be given to another. */
export const NO_BROKER_URI = 'amqp://guest:guest@127.0.0.1:1';

/** A partition id that no other test has. */
export function uniquePartition(prefix = 'p'): string {
  return `${prefix}-${randomBytes(6).toString('hex')}`;
}
