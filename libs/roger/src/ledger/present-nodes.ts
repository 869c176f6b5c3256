// Knows which nodes are there, by what they say of themselves.
import { performance } from 'node:perf_hooks';

/** How often a node says that it is there. */
export const HERE_MS = 5_000;
/** Who has not been heard of for so long is asked whether it is there at all. */
const OVERDUE_MS = HERE_MS + 300;
const ASK_AGAIN_MS = 1_000;
/** Who has not been heard of for so long is gone, whatever the broker says. */
const GONE_MS = 2.5 * HERE_MS;
/** How long after asking who is there all answers are there. */
const ROLL_CALL_MS = 300;
/** Who has not looked for so long was busy with something else, and knows nothing of the others' silence. */
const ABSENT_MS = 1_000;
/** Anybody who may write to the exchange can say that a node is there. */
const MAX_NODES = 10_000;

/** What a node says of itself. */
export interface NodeCard {
  readonly node: string;
  /** For people. */
  readonly name: string;
  readonly role: 'worker' | 'producer';
  /** Whether it takes jobs, as far as it has partitions. */
  readonly isActive: boolean;
  /** It serves partitions and has to hear of changes. */
  readonly serves: boolean;
  /** Since when it is there, in ms since the epoch, by its clock. */
  readonly since: number;
}

export interface NodeChange {
  readonly kind: 'joined' | 'changed' | 'left';
  readonly card: NodeCard;
}

interface Known {
  card: NodeCard;
  heardAt: number;
  askedAt: number;
}

export class PresentNodes {
  private readonly known = new Map<string, Known>();
  private askedAt: number | undefined;
  /** Silence counts from then on. */
  private attentiveSince = 0;
  private lookedAt: number | undefined;

  constructor(private readonly onChange: (change: NodeChange) => void = () => undefined) {}

  /** The roll is called: everybody answers. */
  calledRoll(): void {
    this.askedAt = performance.now();
    this.attentiveSince = this.askedAt;
  }

  /** Nothing has been heard for a while. */
  wasDeaf(): void {
    this.askedAt = undefined;
  }

  heardOf(card: NodeCard): void {
    const known = this.known.get(card.node);
    const heardAt = performance.now();
    if (known !== undefined) {
      const isChanged = isDifferent(known.card, card);
      known.card = card;
      known.heardAt = heardAt;
      if (isChanged) this.onChange({ kind: 'changed', card });
    } else if (this.known.size < MAX_NODES) {
      this.known.set(card.node, { card, heardAt, askedAt: 0 });
      this.onChange({ kind: 'joined', card });
    }
  }

  /** It has said something else. */
  heardFrom(node: string): void {
    const known = this.known.get(node);
    if (known !== undefined) known.heardAt = performance.now();
  }

  left(node: string): void {
    const known = this.known.get(node);
    if (known === undefined) return;
    this.known.delete(node);
    this.onChange({ kind: 'left', card: known.card });
  }

  all(): NodeCard[] {
    this.expire();
    return [...this.known.values()].map(({ card }) => card);
  }

  /** The ids of those that serve partitions. */
  serving(): string[] {
    return this.all()
      .filter(({ serves }) => serves)
      .map(({ node }) => node);
  }

  /** A node of which nothing is known yet, for the roll was not called, counts as serving. */
  mayServe(node: string): boolean {
    return this.incompleteForMs > 0 || this.serving().includes(node);
  }

  /** How long until {@link all} is complete; 0: it is. */
  get incompleteForMs(): number {
    if (this.askedAt === undefined) return ROLL_CALL_MS;
    return Math.max(0, this.askedAt + ROLL_CALL_MS - performance.now());
  }

  /** Those that are to be asked now whether they are there at all. To be called several times a second. */
  overdue(): string[] {
    const now = performance.now();
    if (now - (this.lookedAt ?? now) > ABSENT_MS) this.attentiveSince = now;
    this.lookedAt = now;
    this.expire();
    const { askedAt } = this;
    if (askedAt === undefined) return [];
    const silent = [...this.known.values()].filter((one) => {
      const missedRoll = one.heardAt < askedAt && this.incompleteForMs === 0;
      const isLate = Math.max(one.heardAt, this.attentiveSince) < now - OVERDUE_MS;
      return (missedRoll || isLate) && one.askedAt <= now - ASK_AGAIN_MS;
    });
    for (const one of silent) one.askedAt = now;
    return silent.map(({ card }) => card.node);
  }

  private expire(): void {
    // Who hears nothing can't tell who is gone.
    if (this.askedAt === undefined) return;
    const limit = performance.now() - GONE_MS;
    for (const [node, { heardAt }] of this.known) {
      if (Math.max(heardAt, this.attentiveSince) < limit) this.left(node);
    }
  }
}

function isDifferent(one: NodeCard, other: NodeCard): boolean {
  return (
    one.name !== other.name ||
    one.role !== other.role ||
    one.isActive !== other.isActive ||
    one.serves !== other.serves ||
    one.since !== other.since
  );
}
