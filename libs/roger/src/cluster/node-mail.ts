// What commands need of the mail between nodes.
import { setTimeout as pause } from 'node:timers/promises';
import { NotConnectedError, RogerClosedError } from '../job/errors';
import type { Ledgers } from '../ledger/ledgers';

export type NodeMail = Pick<
  Ledgers,
  'nodeId' | 'carry' | 'sendTo' | 'presence' | 'join' | 'hearsMail' | 'wantsMail' | 'isOver' | 'trouble'
>;

const LOOK_MS = 5;

/**
 * Joins the nodes and resolves when it is known who is there, at the latest after the time.
 * @throws RogerClosedError, NotConnectedError
 */
export async function untilKnown(mail: NodeMail, timeoutMs: number): Promise<void> {
  mail.join();
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (mail.isOver) throw new RogerClosedError();
    const missingMs = mail.hearsMail ? mail.presence.nodes.incompleteForMs : Infinity;
    if (missingMs === 0) return;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0 && mail.hearsMail) return;
    if (leftMs <= 0) throw mail.trouble ?? new NotConnectedError();
    await pause(Math.max(1, Math.min(missingMs, leftMs, LOOK_MS)));
  }
}
