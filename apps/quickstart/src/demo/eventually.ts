// Waits for states that send no signal.
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 25;

/** Whether it comes true in time. */
export async function eventually(isSo: () => boolean, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}
