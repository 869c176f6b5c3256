// Tells whoever awaits a job how it has ended. A reply that gets lost harms nobody: the other's time is over some day.
import type { Job, ReplyTo } from '../job/job';
import { problemsOfJson } from '../job/json-args';
import type { FinalOutcome } from './report-mail';
import { isReplyTo } from './report-mail';
import type { ReportPost } from './report-post';

const MAX_RESULT_BYTES = 256 * 1024;
const MAX_TEXT = 2_000;
/** The other may be connecting anew; when it has not come back by then, it never will. */
const AGAIN_MS = [500, 2_000, 6_000];
/** More are given up at once: what waits here holds results. */
const MAX_WAITING = 500;

/** How a job ended, as its worker knows it. */
export type EndedJob =
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed' | 'buried'; readonly type: string; readonly message: string }
  | { readonly kind: 'cancelled'; readonly reason: string };

export class OutcomeReplies {
  private readonly waiting = new Set<NodeJS.Timeout>();

  constructor(private readonly post: Pick<ReportPost, 'add' | 'send'>) {
    post.add(this);
  }

  /** Tells it if somebody asked for it. Never throws. */
  reply(job: Job, ended: EndedJob): void {
    // It came with the job, and whoever can enqueue can write anything there.
    if (!isReplyTo(job.replyTo)) return;
    if (ended.kind === 'done') this.replyDone(job.replyTo, ended.result);
    else if (ended.kind === 'cancelled') this.send(job.replyTo, ended, []);
    else {
      const type = shorten(ended.type);
      const message = shorten(ended.message);
      this.send(job.replyTo, { kind: ended.kind, type, message, attempts: job.attempt }, []);
    }
  }

  onBuriedByBroker(job: Job): void {
    const message = 'it was delivered too often without an end, so the broker has buried it';
    this.reply(job, { kind: 'buried', type: 'DeliveredTooOften', message });
  }

  close(): void {
    for (const timer of this.waiting) clearTimeout(timer);
    this.waiting.clear();
  }

  private replyDone(to: ReplyTo, result: unknown): void {
    if (result === undefined) {
      this.send(to, { kind: 'done' }, []);
      return;
    }
    const [problem] = problemsOfJson(result, 'result');
    const bytes = problem === undefined ? Buffer.from(JSON.stringify(result)) : undefined;
    if (bytes !== undefined && bytes.length <= MAX_RESULT_BYTES) {
      this.send(to, { kind: 'done' }, [bytes]);
      return;
    }
    const text =
      bytes === undefined
        ? `what it returned is no plain JSON (${problem?.path}: ${problem?.message})`
        : `what it returned takes ${bytes.length} bytes, more than ${MAX_RESULT_BYTES}`;
    this.send(to, { kind: 'done without result', problem: `it is done, but ${text}` }, []);
  }

  private send(to: ReplyTo, outcome: FinalOutcome, parts: readonly Buffer[], tries = 0): void {
    const mail = { mail: 'outcome', token: to.token, outcome } as const;
    void this.post.send(to.node, mail, parts).then((isThere) => {
      const afterMs = AGAIN_MS[tries];
      if (isThere || afterMs === undefined || this.waiting.size >= MAX_WAITING) return;
      const timer = setTimeout(() => {
        this.waiting.delete(timer);
        this.send(to, outcome, parts, tries + 1);
      }, afterMs).unref();
      this.waiting.add(timer);
    });
  }
}

function shorten(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}
