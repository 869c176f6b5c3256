// Knows which deliveries of jobs with keys this node has in hand, and asks other nodes for theirs: a node can be well and
// have lost a delivery all the same.

/** A node that is well answers within milliseconds. */
const ANSWER_MS = 2_000;
const MAX_OWNERS = 1_000;

export interface HeldDeliveriesParts {
  readonly nodeId: string;
  /** Whether the node has been heard of lately. */
  readonly isPresent: (node: string) => boolean;
  readonly send: (node: string, question: HeldQuestion) => void;
}

/** Which of these deliveries does the node have in hand? */
export interface HeldQuestion {
  readonly mail: 'held?';
  readonly node: string;
  readonly number: number;
  readonly owners: readonly string[];
}

export interface HeldAnswer {
  readonly mail: 'held';
  readonly number: number;
  readonly owners: readonly string[];
}

interface Question {
  readonly owners: readonly string[];
  readonly settle: (held: readonly string[]) => void;
}

export class HeldDeliveries {
  private readonly own = new Set<string>();
  private readonly questions = new Map<number, Question>();
  private lastOwner = 0;
  private lastNumber = 0;

  constructor(private readonly parts: HeldDeliveriesParts) {}

  /** A token that no other delivery has; this node has the delivery until {@link drop}. */
  take(): string {
    const owner = `${this.parts.nodeId}/${++this.lastOwner}`;
    this.own.add(owner);
    return owner;
  }

  drop(owner: string): void {
    this.own.delete(owner);
  }

  /** Those that are in hand, or may be: of a node that is there and does not answer, all. */
  async among(owners: readonly string[]): Promise<ReadonlySet<string>> {
    const byNode = new Map<string, string[]>();
    for (const owner of owners) {
      const node = owner.slice(0, owner.lastIndexOf('/'));
      byNode.set(node, [...(byNode.get(node) ?? []), owner]);
    }
    const held = await Promise.all([...byNode].map(([node, ofNode]) => this.of(node, ofNode)));
    return new Set(held.flat());
  }

  answerTo({ number, owners }: HeldQuestion): HeldAnswer {
    return { mail: 'held', number, owners: owners.filter((owner) => this.own.has(owner)) };
  }

  onAnswer({ number, owners }: HeldAnswer): void {
    const question = this.questions.get(number);
    question?.settle(question.owners.filter((owner) => owners.includes(owner)));
  }

  private async of(node: string, owners: readonly string[]): Promise<readonly string[]> {
    const { nodeId, isPresent, send } = this.parts;
    if (node === nodeId) return owners.filter((owner) => this.own.has(owner));
    if (!isPresent(node)) return [];
    const asked = owners.slice(0, MAX_OWNERS);
    const number = ++this.lastNumber;
    const held = await new Promise<readonly string[]>((resolve) => {
      const timer = setTimeout(() => {
        resolve(asked);
      }, ANSWER_MS);
      const settle = (answered: readonly string[]): void => {
        clearTimeout(timer);
        resolve(answered);
      };
      this.questions.set(number, { owners: asked, settle });
      send(node, { mail: 'held?', node: nodeId, number, owners: asked });
    });
    this.questions.delete(number);
    return [...held, ...owners.slice(MAX_OWNERS)];
  }
}

export function isHeldMail(head: HeldQuestion | HeldAnswer): boolean {
  const { number, owners } = head as { number: unknown; owners: unknown };
  const isList = Array.isArray(owners) && owners.length <= MAX_OWNERS;
  return typeof number === 'number' && isList && owners.every((owner) => typeof owner === 'string');
}
