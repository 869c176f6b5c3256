// Finds loopback ports that a node may keep over its restarts.
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the range that systems hand out to outgoing connections (32768 and up on Linux). From within it, a client that
 * keeps dialling while the node is down may be given the node's own port, and be connected to itself.
 */
const LOWEST = 10_240;
const BELOW = 32_768;
const ATTEMPTS = 100;

/** A loopback port on which nobody listens, other than those taken already. */
export async function freePort(taken: readonly number[]): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(LOWEST, BELOW);
    if (!taken.includes(port) && (await isFree(port))) return port;
  }
  throw new Error(`No free loopback port found between ${LOWEST} and ${BELOW - 1} in ${ATTEMPTS} attempts.`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
