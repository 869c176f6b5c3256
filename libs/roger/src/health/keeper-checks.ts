// Asks the keepers of ledgers whether they are there, each at most about once a second, whoever wants to know.
import { performance } from 'node:perf_hooks';
import type { Ledgers } from '../ledger/ledgers';

/** An answer is good for so long. */
const FRESH_MS = 1_000;

interface Question {
  readonly answer: Promise<Error | undefined>;
  /** When the answer came; undefined: not yet. */
  answeredAt: number | undefined;
}

/** A ledger whose keeper does not answer. */
export interface SilentLedger {
  readonly ledger: number;
  readonly reason: string;
}

export class KeeperChecks {
  private readonly questions = new Map<number, Question>();

  constructor(private readonly ledgers: Pick<Ledgers, 'askWhetherThere'>) {}

  /** Never rejects. */
  async silent(ledgers: readonly number[], timeoutMs: number): Promise<SilentLedger[]> {
    const answers = await Promise.all(
      ledgers.map(async (ledger) => ({ ledger, error: await this.ask(ledger, timeoutMs) })),
    );
    return answers.flatMap(({ ledger, error }) =>
      error === undefined ? [] : [{ ledger, reason: error.message }],
    );
  }

  private async ask(ledger: number, timeoutMs: number): Promise<Error | undefined> {
    const { answer } = this.question(ledger, timeoutMs);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Error>((resolve) => {
      timer = setTimeout(() => {
        resolve(new Error(`its keeper has not answered within ${timeoutMs} ms`));
      }, timeoutMs);
    });
    const error = await Promise.race([answer, late]);
    clearTimeout(timer);
    return error;
  }

  private question(ledger: number, timeoutMs: number): Question {
    const open = this.questions.get(ledger);
    const isFresh = open?.answeredAt === undefined || performance.now() - open.answeredAt < FRESH_MS;
    if (open !== undefined && isFresh) return open;
    const answer = this.ledgers.askWhetherThere(ledger, timeoutMs).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
    const question: Question = { answer, answeredAt: undefined };
    void answer.then(() => (question.answeredAt = performance.now()));
    this.questions.set(ledger, question);
    return question;
  }
}
