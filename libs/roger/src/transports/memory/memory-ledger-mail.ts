// The mail between the nodes that share a MemoryBroker: what is sent to one, and what is announced to all.
// Of node:timers, so that mail still comes in a test that fakes the global timers.
import { setImmediate } from 'node:timers';
import Denque from 'denque';
import type { Mailbox } from '../../ledger-transport';

/** A node's mailbox while it is connected; connected again it has another one. */
export interface MemoryBox {
  readonly nodeId: string;
  readonly mailbox: Mailbox;
}

/** How many letters are delivered before other work of the process gets its turn. */
const LETTERS_PER_ROUND = 1000;

/** Letters come in the order in which they were sent. Those on their way to a box that is removed are lost. */
export class MemoryLedgerMail {
  private readonly boxes = new Map<string, MemoryBox>();
  private readonly letters = new Denque<{ readonly to: MemoryBox; readonly bytes: Buffer }>();
  private roundIsDue = false;

  add(box: MemoryBox): void {
    this.boxes.set(box.nodeId, box);
  }

  remove(box: MemoryBox): void {
    if (this.has(box)) this.boxes.delete(box.nodeId);
  }

  /** False when the node has no box. */
  send(nodeId: string, bytes: Buffer): boolean {
    const to = this.boxes.get(nodeId);
    if (to === undefined) return false;
    this.post(to, bytes);
    return true;
  }

  announce(bytes: Buffer): void {
    for (const to of this.boxes.values()) this.post(to, bytes);
  }

  private has(box: MemoryBox): boolean {
    return this.boxes.get(box.nodeId) === box;
  }

  private post(to: MemoryBox, bytes: Buffer): void {
    this.letters.push({ to, bytes });
    this.callRound();
  }

  /** Delivered in rounds, so that nobody gets mail inside a call of their own. */
  private callRound(): void {
    if (this.roundIsDue || this.letters.isEmpty()) return;
    this.roundIsDue = true;
    setImmediate(() => {
      this.round();
    });
  }

  private round(): void {
    try {
      for (let n = 0; n < LETTERS_PER_ROUND; n++) {
        const letter = this.letters.shift();
        if (letter === undefined) return;
        if (this.has(letter.to)) letter.to.mailbox.take(letter.bytes);
      }
    } finally {
      this.roundIsDue = false;
      this.callRound();
    }
  }
}
