// Says that this node is there, and finds out who else is and who is no more.
import type { Mail } from './mail';
import type { NodeCard, NodeChange } from './present-nodes';
import { HERE_MS, PresentNodes } from './present-nodes';

const LOOK_MS = 250;

export interface PresenceParts {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly role: NodeCard['role'];
  /** Whether mail comes and goes. */
  readonly isReceiving: () => boolean;
  readonly announce: (mail: Mail) => void;
  /** Resolves to false when the broker knows that the node is gone. */
  readonly send: (node: string, mail: Mail) => Promise<boolean>;
}

/** A node that has not joined knows the others but is known to none of them, and learns of the dead later. */
export class Presence {
  readonly nodes = new PresentNodes((change) => {
    for (const listener of this.listeners) listener(change);
  });
  private readonly listeners = new Set<(change: NodeChange) => void>();
  private since: number | undefined;
  private serves = false;
  private isActive = true;
  private isOver = false;
  private hereTimer: NodeJS.Timeout | undefined;
  private lookTimer: NodeJS.Timeout | undefined;

  constructor(private readonly parts: PresenceParts) {}

  get isJoined(): boolean {
    return this.since !== undefined && !this.isOver;
  }

  /** Is there for the others from now on. Safe to repeat. */
  join(): void {
    if (this.since !== undefined || this.isOver) return;
    this.since = Date.now();
    this.hereTimer = setInterval(() => {
      this.sayHere();
    }, HERE_MS).unref();
    this.lookTimer = setInterval(() => {
      this.probeOverdue();
    }, LOOK_MS).unref();
    this.sayHere();
  }

  /** It serves partitions, and joins for that. */
  serve(): void {
    this.serves = true;
    if (this.since === undefined) this.join();
    else this.sayHere();
  }

  setActive(isActive: boolean): void {
    if (this.isActive === isActive) return;
    this.isActive = isActive;
    this.sayHere();
  }

  /** The listener must not throw. @returns what ends it */
  onChange(listener: (change: NodeChange) => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** Mail comes (again). */
  up(): void {
    this.parts.announce({ mail: 'who', node: this.parts.nodeId });
    this.nodes.calledRoll();
    this.sayHere();
  }

  down(): void {
    this.nodes.wasDeaf();
  }

  onWho(asker: string): void {
    if (this.isJoined) void this.parts.send(asker, { mail: 'here', ...this.card });
  }

  /** @param card undefined: what was said is none */
  onHere(card: NodeCard | undefined): void {
    if (card !== undefined) this.nodes.heardOf(card);
  }

  onGone(node: string): void {
    if (node !== this.parts.nodeId) this.nodes.left(node);
  }

  /** Asks the broker whether the node is there; who is not has left. */
  async probe(node: string): Promise<boolean> {
    // Who can't be asked may be there.
    const isThere = await this.parts.send(node, { mail: 'ping' }).catch(() => true);
    if (!isThere) this.nodes.left(node);
    return isThere;
  }

  /** Says goodbye. */
  leave(): void {
    const wasJoined = this.isJoined;
    this.isOver = true;
    clearInterval(this.hereTimer);
    clearInterval(this.lookTimer);
    if (wasJoined && this.parts.isReceiving()) {
      this.parts.announce({ mail: 'gone', node: this.parts.nodeId });
    }
  }

  private get card(): NodeCard {
    const { nodeId, nodeName, role } = this.parts;
    const { isActive, serves, since = 0 } = this;
    return { node: nodeId, name: nodeName, role, isActive, serves, since };
  }

  private sayHere(): void {
    if (!this.isJoined || !this.parts.isReceiving()) return;
    this.parts.announce({ mail: 'here', ...this.card });
    this.nodes.heardOf(this.card);
  }

  private probeOverdue(): void {
    if (!this.parts.isReceiving()) return;
    for (const node of this.nodes.overdue()) if (node !== this.parts.nodeId) void this.probe(node);
  }
}
