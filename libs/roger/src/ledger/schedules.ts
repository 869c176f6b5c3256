// Asks the ledgers about recurring jobs, and tells this node which ones there are.
import { LedgerFullError } from '../job/errors';
import type { Answer, MakeOperation } from './ledger-client';
import type {
  Operation,
  ScheduleRow,
  ScheduleRule,
  SchedulesReply,
  ScheduleSource,
  TickReply,
} from './operation';

/** After the schedules of a ledger could not be had. */
const FETCH_AGAIN_MS = 500;

/** A recurring job as it is handed to its ledger. */
export interface DeclaredSchedule extends ScheduleRule {
  readonly partition: string;
  readonly name: string;
  readonly source: ScheduleSource;
  /** The name of its job. */
  readonly job: string;
  readonly queue: string;
  readonly queueKey?: string | undefined;
  readonly executionKey?: string | undefined;
  /** What is enqueued at each tick, but for its id and time. */
  readonly body: Buffer;
}

/** Told of all schedules of a ledger: at first, after each change, and when there is a new keeper. */
export interface SchedulesListener {
  onSchedules(ledger: number, schedules: SchedulesReply): void;
}

/** What a run out of turn came to. */
export type RunReply =
  { readonly found: false } | { readonly found: true; readonly duplicate?: string | undefined };

export interface SchedulesParts {
  readonly ask: (partition: string, make: MakeOperation, bytes?: number) => Promise<Answer>;
  readonly askLedger: (ledger: number, make: MakeOperation) => Promise<Answer>;
  readonly ledgerOf: (partition: string) => number;
  /** A ledger that nobody has ever used is not made by asking. */
  readonly isInUse: (ledger: number) => Promise<boolean>;
}

const NO_SCHEDULES: SchedulesReply = { state: '', schedules: [] };

export class Schedules {
  private listener: SchedulesListener | undefined;
  /** Ledgers that are being asked, and whether once more after that. */
  private readonly fetching = new Map<number, { isStale: boolean }>();
  private isClosed = false;

  constructor(private readonly parts: SchedulesParts) {}

  /** To be called once. */
  follow(listener: SchedulesListener): void {
    this.listener = listener;
  }

  close(): void {
    this.isClosed = true;
  }

  ledgerOf(partition: string): number {
    return this.parts.ledgerOf(partition);
  }

  /** Learns of the schedules of a ledger, and tells the listener. */
  refresh(ledger: number): void {
    if (this.listener === undefined || this.isClosed) return;
    const fetching = this.fetching.get(ledger);
    if (fetching !== undefined) {
      fetching.isStale = true;
      return;
    }
    const state = { isStale: false };
    this.fetching.set(ledger, state);
    void this.fetch(ledger).then((isTold) => {
      this.fetching.delete(ledger);
      if (isTold && !state.isStale) return;
      setTimeout(
        () => {
          this.refresh(ledger);
        },
        isTold ? 0 : FETCH_AGAIN_MS,
      ).unref();
    });
  }

  /** @returns false when code declares one of the name. @throws what asking throws */
  async declare({ body, ...schedule }: DeclaredSchedule): Promise<boolean> {
    const text = body.toString('latin1');
    const { reply } = await this.parts.ask(
      schedule.partition,
      (add) => ({ op: 'schedule', ...schedule, body: add(text) }),
      body.length,
    );
    return reply['refused'] !== true;
  }

  /** @returns whether there was one. */
  async change(
    op: 'unschedule' | 'pause schedule' | 'resume schedule',
    partition: string,
    name: string,
  ): Promise<boolean> {
    if (!(await this.isInUse(partition))) return false;
    return (await this.question({ op, partition, name }))['found'] === true;
  }

  /** @throws LedgerFullError */
  async run(partition: string, name: string, id: string): Promise<RunReply> {
    if (!(await this.isInUse(partition))) return { found: false };
    const reply = await this.question({ op: 'run schedule', partition, name, id });
    const { full } = reply as { full?: number };
    if (full !== undefined) throw new LedgerFullError(partition, full);
    return reply as unknown as RunReply;
  }

  async list(partition: string): Promise<readonly ScheduleRow[]> {
    if (!(await this.isInUse(partition))) return [];
    return ((await this.question({ op: 'schedules', partition })) as unknown as SchedulesReply).schedules;
  }

  async tick({ partition, name, revision }: ScheduleRow, at: number): Promise<TickReply> {
    return (await this.question({ op: 'cron tick', partition, name, at, revision })) as unknown as TickReply;
  }

  private isInUse(partition: string): Promise<boolean> {
    return this.parts.isInUse(this.ledgerOf(partition));
  }

  private async question(operation: Operation & { readonly partition: string }) {
    return (await this.parts.ask(operation.partition, () => operation)).reply;
  }

  /** @returns false when it could not be learned. */
  private async fetch(ledger: number): Promise<boolean> {
    try {
      let reply = NO_SCHEDULES;
      if (await this.parts.isInUse(ledger)) {
        const answer = await this.parts.askLedger(ledger, () => ({ op: 'schedules' }));
        // An older keeper knows of none.
        if (answer.reply['malformed'] !== true) reply = answer.reply as unknown as SchedulesReply;
      }
      if (!this.isClosed) this.listener?.onSchedules(ledger, reply);
      return true;
    } catch {
      return this.isClosed;
    }
  }
}
