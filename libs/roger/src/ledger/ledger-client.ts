// Asks a ledger, and asks again until it answers or the time is over. What is asked in one turn goes out as one request.
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import Denque from 'denque';
import { EnqueueBufferFullError, LedgerUnavailableError, RogerClosedError } from '../job/errors';
import { encodeFrame } from './frame';
import type { RequestHead } from './ledger-record';
import type { Replies } from './mail';
import type { Operation, Reply } from './operation';

/** More on their way gain nothing: the keeper carries them out one after the other. */
const MAX_UNDER_WAY = 4_000;
const REQUEST_OPERATIONS = 500;
const REQUEST_BYTES = 1024 * 1024;
/** An answer that is not there after this long may have been lost. */
const ASK_AGAIN_MS = 1_000;
/** A change that all nodes have to hear of is answered within 3 s. */
const ANSWER_LOST_MS = 4_000;
const WATCH_MS = 250;
/** A keeper that is taken from the ledger has a successor by then; nobody's answering means that nobody was made it. */
const SILENCE_MS = 8_000;
const OVERHEAD_BYTES = 512;

/** What a ledger answered. */
export interface Answer {
  readonly reply: Reply;
  /** A part of the answer. */
  readonly text: (part: number) => string;
}

/** Makes the operation when it is about to be sent; the bytes that belong to it are handed to `add`, which numbers them. */
export type MakeOperation = (add: (text: string) => number) => Operation;

interface Question {
  /** Given when it is sent: what is given up before leaves no gap that would hold up those behind it. */
  number: number;
  readonly make: MakeOperation;
  readonly partition: string;
  readonly bytes: number;
  readonly timeoutMs: number;
  readonly deadline: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  askedAt: number;
}

export interface LedgerClientParts {
  readonly nodeId: string;
  readonly ledger: number;
  readonly send: (request: Buffer) => void;
  readonly timeoutMs: number;
  readonly maxBufferedBytes: number;
  /** Why there may be no answer, if that is known. */
  readonly trouble: () => Error | undefined;
  /** Called from time to time while nothing is answered; `times` counts the calls since the last answer. */
  readonly onSilence: (times: number) => void;
}

export class LedgerClient {
  readonly session = randomBytes(9).toString('base64url');
  private readonly waiting = new Denque<Question>();
  /** Sent and not answered, by number, in the order of the numbers. */
  private readonly underWay = new Map<number, Question>();
  private lastNumber = 0;
  private highestAnswered = 0;
  private bytesHeld = 0;
  private isFlushDue = false;
  private watch: NodeJS.Timeout | undefined;
  private isClosed = false;
  /** Since when something is asked and nothing was answered. */
  private silentSince = 0;
  private silences = 0;

  constructor(private readonly parts: LedgerClientParts) {}

  /**
   * @param bytes about how many the operation brings along
   * @throws LedgerUnavailableError, EnqueueBufferFullError, RogerClosedError
   */
  ask(partition: string, make: MakeOperation, bytes = 0, timeoutMs = this.parts.timeoutMs): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) throw new RogerClosedError();
      const size = bytes + OVERHEAD_BYTES;
      if (this.bytesHeld + size > this.parts.maxBufferedBytes) {
        throw new EnqueueBufferFullError(this.parts.maxBufferedBytes);
      }
      this.bytesHeld += size;
      this.waiting.push({
        number: 0,
        make,
        partition,
        bytes: size,
        timeoutMs,
        deadline: performance.now() + timeoutMs,
        resolve,
        reject,
        askedAt: 0,
      });
      if (this.watch === undefined) {
        this.silentSince = performance.now();
        this.watch = setInterval(() => {
          this.look();
        }, WATCH_MS);
      }
      this.flushSoon();
    });
  }

  /** Untrusted. */
  take(replies: Replies, text: (part: number) => string): void {
    this.silentSince = performance.now();
    this.silences = 0;
    for (const [number, reply, firstPart] of isReplies(replies) ? replies : []) {
      const question = this.underWay.get(number);
      if (question === undefined) continue;
      this.underWay.delete(number);
      this.bytesHeld -= question.bytes;
      this.highestAnswered = Math.max(this.highestAnswered, number);
      question.resolve({ reply, text: (part) => text(firstPart + part) });
    }
    if (!this.waiting.isEmpty()) this.flushSoon();
    this.rest();
  }

  /** What is under way may have been lost, and somebody is there to answer. */
  askAllAgain(): void {
    this.sendAll([...this.underWay.values()]);
  }

  /** What is not answered within the time is rejected. */
  async close(timeoutMs: number): Promise<void> {
    this.isClosed = true;
    const until = performance.now() + timeoutMs;
    while (this.underWay.size + this.waiting.length > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const question of [...this.underWay.values(), ...this.waiting.toArray()])
      this.giveUp(question, timeoutMs);
    this.underWay.clear();
    this.waiting.clear();
    this.rest();
  }

  private flushSoon(): void {
    if (this.isFlushDue || this.underWay.size >= MAX_UNDER_WAY) return;
    this.isFlushDue = true;
    setImmediate(() => {
      this.isFlushDue = false;
      this.flush();
    });
  }

  private flush(): void {
    const questions: Question[] = [];
    while (this.underWay.size < MAX_UNDER_WAY) {
      const question = this.waiting.shift();
      if (question === undefined) break;
      question.number = ++this.lastNumber;
      questions.push(question);
      this.underWay.set(question.number, question);
    }
    this.sendAll(questions);
  }

  private sendAll(questions: readonly Question[]): void {
    let from = 0;
    while (from < questions.length) {
      let to = from;
      for (
        let bytes = 0;
        to < questions.length && to - from < REQUEST_OPERATIONS && bytes < REQUEST_BYTES;
        to++
      ) {
        bytes += questions[to]?.bytes ?? 0;
      }
      this.sendOne(questions.slice(from, to));
      from = to;
    }
  }

  private sendOne(questions: readonly Question[]): void {
    const texts: string[] = [];
    const add = (text: string): number => texts.push(text) - 1;
    const now = performance.now();
    for (const question of questions) question.askedAt = now;
    const head: RequestHead = {
      node: this.parts.nodeId,
      session: this.session,
      low: this.low,
      operations: questions.map(({ number, make }) => [number, make(add)]),
    };
    this.parts.send(encodeFrame(head, texts));
  }

  private get low(): number {
    const [lowest] = this.underWay.keys();
    return lowest ?? this.lastNumber + 1;
  }

  private look(): void {
    const now = performance.now();
    let isAnyLate = false;
    for (const question of this.underWay.values()) {
      if (question.deadline <= now) {
        this.underWay.delete(question.number);
        this.giveUp(question);
      } else if (now - question.askedAt >= this.patienceFor(question)) {
        isAnyLate = true;
      }
    }
    for (let left = this.waiting.length; left > 0; left--) {
      const question = this.waiting.shift();
      if (question === undefined) break;
      if (question.deadline <= now) this.giveUp(question);
      else this.waiting.push(question);
    }
    // Those behind a lost one were not taken, for they are taken in their order.
    if (isAnyLate) this.askAllAgain();
    if (now - this.silentSince > SILENCE_MS) {
      this.silentSince = now;
      this.parts.onSilence(++this.silences);
    }
    if (!this.waiting.isEmpty()) this.flushSoon();
    this.rest();
  }

  /** They are taken in their order: when a later one was answered, this one was taken, and its answer takes time. */
  private patienceFor({ number }: Question): number {
    return number < this.highestAnswered ? ANSWER_LOST_MS : ASK_AGAIN_MS;
  }

  private giveUp(question: Question, timeoutMs = question.timeoutMs): void {
    this.bytesHeld -= question.bytes;
    question.reject(
      new LedgerUnavailableError(question.partition, Math.round(timeoutMs), {
        maybeEnqueued: question.askedAt > 0,
        cause: this.parts.trouble(),
      }),
    );
  }

  private rest(): void {
    if (this.underWay.size + this.waiting.length > 0) return;
    clearInterval(this.watch);
    this.watch = undefined;
  }
}

function isReplies(value: unknown): value is Replies {
  return (
    Array.isArray(value) &&
    value.every((one: unknown) => Array.isArray(one) && typeof one[1] === 'object' && one[1] !== null)
  );
}
