// Tells whoever awaits a job how it has ended. A reply that gets lost harms nobody: the other's time is over some day.
import type { Job, ReplyTo } from '../job/job';
import { problemsOfJson } from '../job/json-args';
import type { FinalOutcome, ReceivedMail } from './report-mail';
import { isReplyTo } from './report-mail';
import type { ReportPost } from './report-post';

const MAX_RESULT_BYTES = 256 * 1024;
const MAX_TEXT = 2_000;
/** A reply that nobody has answered goes again after so long: the other may be connecting anew. Then it is given up. */
const AGAIN_MS = [500, 2_000, 6_000];
/** What is not answered waits here with its result. Beyond this a reply goes once. */
const MAX_WAITING = 1_000;
const MAX_WAITING_BYTES = 16 * 1024 * 1024;

/** How a job ended, as its worker knows it. */
export type EndedJob =
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed' | 'buried'; readonly type: string; readonly message: string }
  | { readonly kind: 'cancelled'; readonly reason: string };

interface Waiting {
  readonly bytes: number;
  timer: NodeJS.Timeout | undefined;
}

export class OutcomeReplies {
  /** By token. */
  private readonly waiting = new Map<string, Waiting>();
  private waitingBytes = 0;

  constructor(private readonly post: Pick<ReportPost, 'add' | 'nodeId' | 'send'>) {
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

  onReceived({ token }: ReceivedMail): void {
    const waiting = this.waiting.get(token);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    this.waiting.delete(token);
    this.waitingBytes -= waiting.bytes;
  }

  close(): void {
    for (const { timer } of this.waiting.values()) clearTimeout(timer);
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

  private send(to: ReplyTo, outcome: FinalOutcome, parts: readonly Buffer[]): void {
    const { token } = to;
    const mail = { mail: 'outcome', node: this.post.nodeId, token, outcome } as const;
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    const hasRoom = this.waiting.size < MAX_WAITING && this.waitingBytes + bytes <= MAX_WAITING_BYTES;
    if (hasRoom && !this.waiting.has(token)) {
      const waiting: Waiting = { bytes, timer: undefined };
      this.waiting.set(token, waiting);
      this.waitingBytes += bytes;
      this.sendAgain(waiting, 0, token, () => void this.post.send(to.node, mail, parts));
    }
    void this.post.send(to.node, mail, parts);
  }

  private sendAgain(waiting: Waiting, tries: number, token: string, send: () => void): void {
    const afterMs = AGAIN_MS[tries];
    if (afterMs === undefined) {
      this.onReceived({ mail: 'received', token });
      return;
    }
    waiting.timer = setTimeout(() => {
      send();
      this.sendAgain(waiting, tries + 1, token, send);
    }, afterMs).unref();
  }
}

function shorten(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}
