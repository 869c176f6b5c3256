// Whatever happens in whatever order, keys are held by one, lines keep their order, no job is lost, none is sent before it
// is due, each tick of a schedule enqueues one job at most, and nothing is left over.
// What a node asks is done in the order in which it was asked.
import fc from 'fast-check';
import { encodeFrame } from './frame';
import type { RecordHead, RequestHead } from './ledger-record';
import { decodeState, encodeState, partsOf } from './ledger-snapshot';
import type { LedgerEffects } from './ledger-state';
import { LedgerState } from './ledger-state';
import type { AppliedOperation } from './log-reader';
import { LogReader } from './log-reader';
import type { ClaimReply, HoldReply, LedgerOutcome, Operation, Reply, TickReply } from './operation';
import type { KeyedJob } from './state/partition-state';
import { tickId } from './state/schedule';
import { Sessions } from './state/sessions';
import type { Schedule } from './state/schedule';
import { Timetable } from './state/timetable';

class Violation extends Error {}

function mustBe(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Violation(promise);
}

/** How much too early a delayed job may be. */
const EARLY_MS = 1_000;
const DAY_MS = 24 * 60 * 60 * 1_000;
/** Nothing is lost on the way, and the job is done. */
const FINE = 31;
/** The same for two requests. */
const ALL_FINE = 255;

// --- what is expected, kept by simple rules of its own

type Accepted = Pick<
  Operation & { op: 'enqueue' },
  'partition' | 'id' | 'queue' | 'queueKey' | 'executionKey' | 'runAt'
>;

interface ExpectedJob {
  readonly id: string;
  readonly partition: string;
  readonly queue: string;
  readonly queueKey: string | undefined;
  readonly executionKey: string | undefined;
  order: number;
  /** When it is due; those that come meanwhile may be before it. */
  runAt: number | undefined;
  hasBegun: boolean;
  /** Its place among the others says nothing any more: the broker lost it once, or an operator took its turn. */
  isLoose: boolean;
  isCancelled: boolean;
  isHeld: boolean;
  /** It was told to run before others. */
  isFirst: boolean;
  /** Which copies without a token it has. */
  copies: string | undefined;
  endedAs: string | undefined;
}

interface ExpectedSchedule {
  isPaused: boolean;
  /** The latest tick that was taken. */
  last: number;
}

interface ExpectedRun {
  readonly fence: number;
  readonly jobs: ExpectedJob[];
}

class Expectation {
  readonly jobs = new Map<string, ExpectedJob>();
  /** Who holds a queue key. */
  readonly queueKeys = new Map<string, ExpectedJob>();
  /** The valid runs, by the number of the message that they are bound to. */
  readonly runs = new Map<number, ExpectedRun>();
  /** The highest number under which a job was sent out. */
  readonly latest = new Map<string, number>();
  /** By partition and name. */
  readonly schedules = new Map<string, ExpectedSchedule>();
  /** Cancelled before they were known. */
  readonly cancelledUnseen = new Set<string>();
  /** The copies that are void. */
  readonly moved = new Map<string, { readonly id: string; isMet: boolean }>();
  private lastOrder = 0;

  get live(): ExpectedJob[] {
    return [...this.jobs.values()].filter(({ endedAs }) => endedAs === undefined);
  }

  accept({ partition, id, queue, queueKey, executionKey, runAt }: Accepted): void {
    mustBe(!this.jobs.has(id), `${id} is accepted once`);
    const order = ++this.lastOrder;
    const isCancelled = this.cancelledUnseen.has(id);
    const job: ExpectedJob = {
      ...{ id, partition, queue, queueKey, executionKey, order, runAt, isCancelled },
      ...{
        hasBegun: false,
        isLoose: false,
        isHeld: false,
        isFirst: false,
        copies: undefined,
        endedAs: undefined,
      },
    };
    this.jobs.set(id, job);
    if (!isCancelled) this.takeQueueKey(job);
  }

  holderOf(partition: string, queueKey: string | undefined): string | undefined {
    return queueKey === undefined ? undefined : this.queueKeys.get(`${partition} ${queueKey}`)?.id;
  }

  takeQueueKey(job: ExpectedJob): void {
    const key = `${job.partition} ${job.queueKey ?? ''}`;
    if (job.queueKey !== undefined && !this.queueKeys.has(key)) this.queueKeys.set(key, job);
  }

  freeQueueKey(job: ExpectedJob): void {
    const key = `${job.partition} ${job.queueKey ?? ''}`;
    if (this.queueKeys.get(key) === job) this.queueKeys.delete(key);
  }

  end(job: ExpectedJob, as: string): void {
    mustBe(job.endedAs === undefined, `${job.id} ends once, not ${job.endedAs ?? ''} and ${as}`);
    job.endedAs = as;
    this.freeQueueKey(job);
  }

  runOf(job: ExpectedJob): ExpectedRun | undefined {
    return [...this.runs.values()].find(({ jobs }) => jobs.includes(job));
  }

  grant(dispatch: number, id: string, reply: ClaimReply & { claim: 'granted' }): void {
    const before = this.runs.get(dispatch);
    const granted = reply.jobs.map((one) => {
      const job = this.jobs.get(one.id);
      mustBe(job?.endedAs === undefined, `${one.id} ran to its end and is not granted again`);
      mustBe(job !== undefined, `${one.id} was accepted`);
      mustBe(
        job.isCancelled === (one.cancelled !== undefined),
        `a grant says whether ${one.id} is cancelled`,
      );
      mustBe(one.id === id || idOf(String(one.body)) === one.id, `${one.id} comes with its bytes`);
      return job;
    });
    if (before !== undefined) {
      mustBe(before.fence <= reply.fence, 'fences only grow');
      mustBe(
        granted.every((one) => before.jobs.includes(one)),
        'the same jobs are granted again',
      );
      mustBe(granted.length === before.jobs.length, 'all jobs are granted again');
    } else {
      mustBe(this.latest.get(id) === dispatch, `only the latest copy of ${id} counts`);
      for (const job of granted) {
        mustBe(!job.isCancelled, `${job.id} was cancelled and is not granted`);
        mustBe(!job.isHeld, `${job.id} is held and is not granted`);
        mustBe(this.runOf(job) === undefined, `${job.id} runs once at a time`);
        for (const run of job.executionKey === undefined || job.isLoose ? [] : this.runs.values()) {
          const other = run.jobs.find(
            (one) => !one.isLoose && one.partition === job.partition && one.executionKey === job.executionKey,
          );
          mustBe(other === undefined, `${job.id} runs while ${other?.id ?? ''} of its execution key does`);
        }
      }
      const [first] = granted;
      if (first !== undefined) this.takeQueueKey(first);
    }
    this.runs.set(dispatch, { fence: reply.fence, jobs: granted });
  }

  /** A worker with a valid fence begins the job. */
  begin(job: ExpectedJob): void {
    mustBe(job.endedAs === undefined, `${job.id} begins before it ends`);
    if (!job.hasBegun && !job.isLoose && !job.isFirst && job.executionKey !== undefined) {
      const earlier = this.live.find(
        (one) =>
          one.order < job.order &&
          !one.hasBegun &&
          !one.isLoose &&
          !one.isHeld &&
          !one.isFirst &&
          !one.isCancelled &&
          one.runAt === undefined &&
          one.partition === job.partition &&
          one.executionKey === job.executionKey,
      );
      mustBe(earlier === undefined, `${job.id} begins before ${earlier?.id ?? ''}, which came first`);
    }
    job.hasBegun = true;
  }

  hold(job: ExpectedJob): void {
    job.isHeld = true;
    this.latest.delete(job.id);
  }

  /** As if it were enqueued now; before those that wait, where it is said to be. */
  letGo(job: ExpectedJob, isNow: boolean): void {
    mustBe(job.isHeld, `${job.id} is held, and released once`);
    this.leaveHold(job);
    job.order = ++this.lastOrder;
    job.hasBegun = false;
    job.isFirst = isNow;
    if (isNow) job.runAt = undefined;
  }

  leaveHold(job: ExpectedJob): void {
    job.isHeld = false;
    if (job.copies !== undefined && this.moved.get(job.copies)?.isMet === true) this.moved.delete(job.copies);
  }

  leaveRun(job: ExpectedJob): void {
    for (const [dispatch, { jobs }] of this.runs) {
      const index = jobs.indexOf(job);
      if (index >= 0) jobs.splice(index, 1);
      if (jobs.length === 0) this.runs.delete(dispatch);
    }
  }
}

// --- the world around a ledger

interface Message {
  readonly partition: string;
  readonly id: string;
  readonly dispatch: number;
  /** The broker holds it back until then. */
  readonly notBefore: number;
  heldBy: Delivery | undefined;
  /** How often it was delivered and came back. */
  deliveries: number;
}

interface Sending extends Message {
  readonly isBurial: boolean;
}

interface Delivery {
  readonly owner: string;
  readonly message: Message;
  isOver: boolean;
  isAsking: boolean;
  next: 'park' | 'bid farewell' | 'run' | undefined;
  fence: number;
  jobs: { readonly id: string; readonly cancelled: boolean }[];
}

interface Question {
  readonly number: number;
  readonly operation: Operation;
  readonly parts: readonly string[];
  readonly then: (reply: Reply) => void;
  readonly onGivenUp: () => void;
}

const REASONS = ['operator', 'definition:j'];
const PARTITIONS = ['p', 'q'];
const QUEUES = ['a', 'b'];
const QUEUE_KEYS = [undefined, 'u', 'v', undefined];
const EXECUTION_KEYS = ['x', undefined, 'x', 'y'];
const RULES = ['* * * * *', '@hourly'];
const CATCH_UPS = ['skip', 'once'] as const;
/** As far apart as ticks are here. */
const TICK_MS = 1_000;

function pick<T>(from: readonly T[], n: number): T | undefined {
  return from.length === 0 ? undefined : from[n % from.length];
}

function takeOut<T>(from: T[], one: T): void {
  const index = from.indexOf(one);
  if (index >= 0) from.splice(index, 1);
}

class World {
  readonly expected = new Expectation();
  private log: Buffer[] = [];
  private keeper!: LogReader;
  private nonce = '';
  private keepers = 0;
  private at = 1_000_000;
  private latestBefore = new Map<string, number>();
  private isReading = false;
  private isSendingAgain = false;
  /** On their way to the broker, in any order. */
  private outbox: Sending[] = [];
  /** Arrived, and the ledger has not been told. */
  private unnoted: number[] = [];
  private messages: Message[] = [];
  /** Taken out of sight by a hand. */
  private hidden: Message[] = [];
  private deliveries: Delivery[] = [];
  private ghosts: Delivery[] = [];
  /** Not answered, in the order of their numbers. */
  private readonly questions: Question[] = [];
  /** They may be done yet, or not. */
  private readonly givenUp: Question[] = [];
  /** Requests that were sent, the lost ones too: each may come once more, and late. */
  private readonly sent: Buffer[] = [];
  private lastDone = 0;
  private readonly firstReplies = new Map<number, Reply>();
  private lastNumber = 0;
  private lastJob = 0;
  private lastOwner = 0;
  private lastSchedule = 0;
  private readonly formerNonces: string[] = [];

  constructor() {
    this.takeOver();
  }

  get state(): LedgerState {
    return this.keeper.state;
  }

  // --- what can happen

  act(what: Act, n: number, m: number): void {
    this.at += m % 50;
    this[what](n, m);
    this.check();
  }

  enqueue(n: number, m: number): void {
    const id = m % 16 === 15 ? `later${n % 3}` : `j${++this.lastJob}`;
    const isThis = ({ operation }: Question): boolean => operation.op === 'enqueue' && operation.id === id;
    if (this.expected.jobs.has(id) || this.questions.some(isThis) || this.givenUp.some(isThis)) return;
    this.ask(
      {
        op: 'enqueue',
        partition: n % 5 === 0 && id.startsWith('j') ? 'q' : 'p',
        id,
        queue: pick(QUEUES, n >> 3) ?? '',
        queueKey: pick(QUEUE_KEYS, n >> 5),
        executionKey: pick(EXECUTION_KEYS, n >> 7),
        ...(n % 6 === 0 ? { runAt: this.at + (m % 16) * 700 } : {}),
        body: 0,
      },
      [id],
      m,
    );
  }

  /** One that is held from the beginning. */
  enqueueHeld(n: number, m: number): void {
    const id = `h${++this.lastJob}`;
    this.ask(
      {
        ...{
          op: 'enqueue held',
          partition: pick(PARTITIONS, n) ?? '',
          id,
          queue: pick(QUEUES, n >> 3) ?? '',
        },
        queueKey: pick(QUEUE_KEYS, n >> 5),
        executionKey: pick(EXECUTION_KEYS, n >> 7),
        ...(n % 6 === 0 ? { runAt: this.at + (m % 16) * 700 } : {}),
        ...{ why: pick(REASONS, n >> 1) ?? '', body: 0 },
      },
      [id],
      m,
    );
  }

  /** An operator holds a job, be it keyed and known, over, or one without keys that the ledger has never seen. */
  hold(n: number, m: number): void {
    const known = pick([...this.expected.jobs.values()], n);
    const isForeign = n % 4 === 0 || known === undefined;
    const id = isForeign ? `plain${n % 5}` : known.id;
    const partition = isForeign ? 'p' : known.partition;
    const queue = isForeign ? 'a' : known.queue;
    this.ask(
      {
        ...{ op: 'hold', partition, id, queue, queuedAt: isForeign ? 1 + (m % 2) : 7 },
        ...{ hasKeys: !isForeign, isDelivered: isForeign && n % 8 === 0 },
        ...{ why: pick(REASONS, n >> 4) ?? '', body: 0 },
      },
      [id],
      m,
    );
  }

  /** A copy without a token runs after all, is met, or is asked for. */
  plainCopy(n: number, m: number): void {
    const op = pick(['undo hold', 'met moved', 'is moved'] as const, n) ?? 'is moved';
    this.ask({ op, partition: 'p', id: `plain${(n >> 2) % 5}`, queuedAt: 1 + (m % 2) }, [], m);
  }

  letGo(n: number, m: number): void {
    const job = pick(
      this.expected.live.filter(({ isHeld }) => isHeld || n % 8 === 0),
      n >> 3,
    );
    if (n % 5 === 0)
      this.ask(
        { op: 'release all', partition: 'p', why: pick(REASONS, n >> 3) ?? '', count: 1 + (n % 3) },
        [],
        m,
      );
    else if (job !== undefined)
      this.ask({ op: 'release', partition: job.partition, id: job.id, isNow: n % 3 === 0 }, [], m);
  }

  /** Makes a schedule, or another of one that is there. */
  schedule(n: number, m: number): void {
    const known = pick(this.schedules, n);
    const isNew = known === undefined || n % 3 === 0;
    this.ask(
      {
        ...{ op: 'schedule', job: 'j', source: 'run time', timeZone: 'UTC', body: 0 },
        partition: isNew ? (pick(PARTITIONS, n >> 1) ?? '') : known.partition,
        // One that was removed and made anew begins anew: its ticks would be others.
        name: isNew ? `s${++this.lastSchedule}` : known.name,
        queue: pick(QUEUES, n >> 3) ?? '',
        queueKey: pick(QUEUE_KEYS, n >> 5),
        executionKey: pick(EXECUTION_KEYS, n >> 7),
        expression: pick(RULES, n >> 9) ?? '',
        catchUp: pick(CATCH_UPS, n >> 10) ?? 'skip',
      },
      ['{"name":"j"}'],
      m,
    );
  }

  /** An operator holds a schedule, lets it go on, has it run now or removes it. */
  changeSchedule(n: number, m: number): void {
    const known = pick(this.schedules, n >> 3);
    if (known === undefined) return;
    const { partition, name } = known;
    const op = pick(
      [
        'pause schedule',
        'resume schedule',
        'run schedule',
        'pause schedule',
        'resume schedule',
        'unschedule',
      ],
      n,
    ) as 'unschedule';
    const id = `cron/${name}/now/${++this.lastJob}`;
    this.ask({ op, partition, name, ...((op as string) === 'run schedule' ? { id } : {}) }, [], m);
  }

  /** A node says that a tick's time has come: rightly, too late, too early, again, or by a former rule. */
  cronTick(n: number, m: number): void {
    const known = pick(this.schedules, n);
    if (known === undefined) return;
    const { partition, name, revision } = known;
    const at = (Math.floor(this.at / TICK_MS) + 1 - ((n >> 4) % 4)) * TICK_MS;
    this.ask(
      { op: 'cron tick', partition, name, at, revision: n % 16 === 15 ? revision - 1 : revision },
      [],
      m,
    );
  }

  private get schedules(): { partition: string; name: string; revision: number }[] {
    return [...this.state.partitions.values()].flatMap(({ id, schedules }) =>
      [...schedules.values()].map(({ name, revision }) => ({ partition: id, name, revision })),
    );
  }

  cancel(n: number, m: number): void {
    const known = pick(this.expected.live, n);
    const { partition, id } =
      n % 7 === 0 || known === undefined ? { partition: 'p', id: `later${n % 3}` } : known;
    this.ask({ op: 'cancel', partition, id, reason: 'enough' }, [], m);
  }

  deliver(n: number, m: number): void {
    const free = this.messages.filter(({ heldBy }) => heldBy === undefined);
    const message = pick(
      free.filter(({ notBefore }) => notBefore <= this.at),
      n,
    );
    if (message === undefined) {
      // Nothing happens until the next one is due.
      if (free.length > 0) this.at = Math.min(...free.map(({ notBefore }) => notBefore));
      return;
    }
    mustBe(this.isDue(message.id), `${message.id} comes when it is due`);
    const delivery: Delivery = {
      ...{ owner: `o${++this.lastOwner}`, message, isOver: false, isAsking: true },
      ...{ next: undefined, fence: 0, jobs: [] },
    };
    message.heldBy = delivery;
    this.deliveries.push(delivery);
    const { partition, id, dispatch, deliveries } = message;
    const { owner } = delivery;
    const operation: Operation = {
      ...{ op: 'claim', partition, id, state: this.state.id, dispatch, owner, deliveries },
      chain: 1 + (m % 4),
    };
    this.askFor(delivery, operation, [], m, (reply) =>
      this.onClaimed(delivery, reply as unknown as ClaimReply),
    );
  }

  private isDue(id: string): boolean {
    const job = this.expected.jobs.get(id);
    return job?.runAt === undefined || job.hasBegun || job.isCancelled || this.at > job.runAt - EARLY_MS;
  }

  /** A worker takes its next step. */
  advance(n: number, m: number): void {
    const delivery = pick(
      this.deliveries.filter(({ isAsking }) => !isAsking),
      n,
    );
    if (delivery === undefined) return;
    const { partition, id, dispatch } = delivery.message;
    if (delivery.next === 'park') {
      const operation: Operation = { op: 'park', partition, id, state: this.state.id, dispatch, body: 0 };
      this.askFor(delivery, operation, [id], m, (reply) =>
        reply['refused'] === true ? this.handBack(delivery) : this.acknowledge(delivery),
      );
    } else if (delivery.next === 'bid farewell') {
      const operation: Operation = { op: 'bid farewell', partition, id, state: this.state.id, dispatch };
      this.askFor(delivery, operation, [], m, () => this.acknowledge(delivery));
    } else {
      this.settleFirst(delivery, m);
    }
  }

  /** What was granted and has not begun is given back, the last one first; then the worker stops. */
  release(n: number, m: number): void {
    const delivery = pick(
      this.deliveries.filter(({ isAsking, next }) => !isAsking && next === 'run'),
      n,
    );
    const last = delivery?.jobs.at(-1);
    if (delivery === undefined || last === undefined || delivery.jobs.length < 2) return;
    const { partition } = delivery.message;
    const operation: Operation = {
      ...{ op: 'settle', partition, id: last.id, fence: delivery.fence },
      outcome: { kind: 'release' },
    };
    this.askFor(delivery, operation, [], m, (reply) => {
      if (reply['refused'] === true) this.handBack(delivery);
      else delivery.jobs.pop();
    });
  }

  /** A worker is cut off: the broker takes its message back, and it may go on for a while. */
  crash(n: number): void {
    const delivery = pick(this.deliveries, n);
    if (delivery === undefined) return;
    this.handBack(delivery);
    if (delivery.next === 'run' && !delivery.isAsking) this.ghosts.push(delivery);
  }

  /** The late word of one that was cut off. */
  ghost(n: number, m: number): void {
    const ghost = pick(this.ghosts, n);
    if (ghost === undefined) return;
    takeOut(this.ghosts, ghost);
    this.settleFirst(ghost, m);
  }

  arrive(n: number, m: number): void {
    const sending = pick(this.outbox, n);
    if (sending === undefined) return;
    takeOut(this.outbox, sending);
    const { isBurial, ...message } = sending;
    const fate = m % 8;
    if (fate !== 1 && !isBurial) this.messages.push(message);
    if (fate <= 1) this.own({ op: 'dispatch again', dispatch: sending.dispatch });
    else if (fate === 2) this.unnoted.push(sending.dispatch);
    else this.own({ op: 'dispatched', dispatch: sending.dispatch });
  }

  note(n: number): void {
    const dispatch = pick(this.unnoted, n);
    if (dispatch === undefined) return;
    takeOut(this.unnoted, dispatch);
    this.own({ op: 'dispatched', dispatch });
  }

  /** Whoever got no answer asks all that is unanswered again, in its order; each of the requests has its own fate. */
  askAgain(n: number, m: number): void {
    const questions = [...this.questions];
    const first = questions.splice(0, 1 + (n % 8));
    this.send(first, m);
    this.send(questions, m >> 3);
  }

  /** A request comes once more, or only now. */
  repeat(n: number): void {
    const request = pick(this.sent, n);
    if (request !== undefined) this.carryOut(request);
  }

  /** Whoever asked waits no longer, and doesn't know whether it was done. */
  giveUp(n: number): void {
    // That a message is gone, its remover says until it is heard.
    const question = pick(
      this.questions.filter(({ operation }) => operation.op !== 'discard'),
      n,
    );
    if (question === undefined) return;
    takeOut(this.questions, question);
    this.givenUp.push(question);
    question.onGivenUp();
  }

  inquire(n: number, m: number): void {
    const key = pick(QUEUE_KEYS, n) ?? 'u';
    this.ask({ op: 'is queued', partition: pick(PARTITIONS, n >> 2) ?? '', key }, [], m);
  }

  purge(n: number): void {
    const operation: Operation = {
      ...{ op: 'purge waiting', partition: pick(PARTITIONS, n) ?? '' },
      queue: pick(QUEUES, n >> 3) ?? '',
    };
    this.ask(operation, [], FINE);
  }

  pause(n: number, m: number): void {
    const address = { partition: pick(PARTITIONS, n) ?? '', queue: pick(QUEUES, n >> 3) ?? '' };
    this.ask({ op: m % 2 === 0 ? 'pause' : 'resume', ...address }, [], FINE);
  }

  removeKey(n: number, m: number): void {
    const job = pick(this.expected.live, n);
    if (job === undefined) return;
    const { partition, queueKey, executionKey } = job;
    if (m % 2 === 0 && queueKey !== undefined)
      this.ask({ op: 'remove queued', partition, key: queueKey }, [], FINE);
    if (m % 2 === 1 && executionKey !== undefined) {
      this.ask({ op: 'remove executed', partition, key: executionKey }, [], FINE);
    }
  }

  /** A message is removed behind the ledger's back, or the broker loses it. */
  lose(n: number, m: number): void {
    const message = pick(
      this.messages.filter(({ heldBy }) => heldBy === undefined),
      n,
    );
    if (message === undefined) return;
    const { partition, id, dispatch } = message;
    if (m % 2 === 0) {
      takeOut(this.messages, message);
      this.ask({ op: 'discard', partition, id, state: this.state.id, dispatch }, [], FINE);
    } else if (this.isQueued(message)) {
      takeOut(this.messages, message);
      this.hidden.push(message);
      this.own({ op: 'missing', partition, id, dispatch });
    }
  }

  private isQueued({ partition, id, dispatch }: Message): boolean {
    const job = this.state.partitions.get(partition)?.jobs.get(id);
    // A claim that comes after its message was lost holds what nobody will give back: a hand has to do it.
    const isClaimed = [...this.questions, ...this.givenUp].some(
      ({ operation }) => operation.op === 'claim' && operation.dispatch === dispatch,
    );
    return job?.phase === 'queued' && job.dispatch === dispatch && !isClaimed;
  }

  turnUp(n: number): void {
    const message = pick(this.hidden, n);
    if (message === undefined) return;
    takeOut(this.hidden, message);
    this.messages.push(message);
  }

  /** The broker chooses another keeper; the former one may be at it still. */
  takeOver(): void {
    const former = this.keepers === 0 ? undefined : canonical(this.state);
    // What the former had sent may arrive or not.
    for (const { isBurial, ...message } of this.outbox) {
      if (message.dispatch % 2 === 0 && !isBurial) this.messages.push(message);
    }
    this.outbox = [];
    this.unnoted = [];
    if (this.nonce !== '') this.formerNonces.push(this.nonce);
    this.nonce = `keeper${++this.keepers}`;
    const effects: LedgerEffects = {
      dispatch: (job) => {
        if (!this.isReading) this.dispatch(job);
      },
    };
    this.keeper = new LogReader(effects, (problem) => mustBe(false, problem), this.nonce);
    this.isReading = true;
    for (const record of this.log) this.keeper.read(record);
    this.write({ kind: 'claim', by: this.nonce, stateId: `state${this.keepers}`, at: 0 });
    this.isReading = false;
    if (former !== undefined) {
      mustBe(canonical(this.state) === former, 'the successor has the state of its predecessor');
    }
    if (this.state.sending.size > 0) this.own({ op: 'dispatch all again' });
  }

  /** A keeper that doesn't know yet that it is none any more. */
  writeLate(n: number, m: number): void {
    const by = pick(this.formerNonces, n);
    if (by === undefined) return;
    const enqueue: Operation = {
      op: 'enqueue',
      partition: 'p',
      id: `void${m}`,
      queue: 'a',
      queueKey: 'u',
      body: 0,
    };
    const number = 100_000 + this.log.length;
    const head: RequestHead = {
      node: 'n',
      session: `void ${m}`,
      low: number,
      operations: [[number, enqueue]],
    };
    const before = canonical(this.state);
    this.write({ kind: 'requests', by, at: this.at, maxWaitingJobs: 1_000, own: [] }, [
      encodeFrame(head, [`void${m}`]),
    ]);
    mustBe(canonical(this.state) === before, 'a former keeper changes nothing');
  }

  snapshot(): void {
    const parts = [...partsOf(this.state)];
    const begin = this.log.length;
    for (const [index, part] of parts.entries()) {
      this.write({ kind: 'snapshot', by: this.nonce, first: index === 0 }, [part]);
    }
    this.log.splice(0, begin);
  }

  pass(_n: number, m: number): void {
    // Who has no answer asks every second, and nothing is on its way for minutes.
    while (this.questions.length > 0) this.askAgain(0, ALL_FINE);
    this.sent.length = 0;
    this.givenUp.length = 0;
    this.at += m * 60_000;
    this.own({ op: 'tick' });
  }

  // --- to its end

  /** Everybody goes on until there is nothing to do. */
  drain(): void {
    for (let round = 0; round < 2_000; round++) {
      this.check();
      if (this.questions.length > 0) this.askAgain(0, ALL_FINE);
      else if (this.unnoted.length > 0) this.note(0);
      else if (this.outbox.length > 0) this.arrive(0, FINE);
      else if (this.deliveries.length > 0) this.advance(0, FINE);
      else if (this.messages.length > 0) this.deliver(0, FINE);
      else if (this.heldAt !== undefined) this.ask({ op: 'release all', ...this.heldAt, count: 2 }, [], FINE);
      else break;
    }
    for (const { partition, name } of this.schedules)
      this.ask({ op: 'unschedule', partition, name }, [], FINE);
    this.at += 2 * DAY_MS;
    this.own({ op: 'tick' });
    for (const partition of PARTITIONS) {
      for (const queue of QUEUES) this.ask({ op: 'resume', partition, queue }, [], FINE);
    }
    this.check();
    const left = this.expected.live.map(({ id }) => id);
    mustBe(left.length === 0, `all jobs end, but ${left.join()}`);
    const { partitions, leases, sending, missing, waitingCount } = this.state;
    mustBe(partitions.size === 0, `no partition is left, but ${[...partitions.keys()].join()}`);
    mustBe(leases.size + sending.size + missing.size + waitingCount === 0, 'nothing is left over');
  }

  private get heldAt(): { partition: string; why: string } | undefined {
    const held = this.expected.live.find(({ isHeld, isCancelled }) => isHeld && !isCancelled);
    if (held === undefined) return undefined;
    const { partition, id } = held;
    const why = this.state.partitions.get(partition)?.jobs.get(id)?.heldWhy;
    mustBe(why !== undefined, `${id} is held`);
    return { partition, why };
  }

  // --- inside

  private onClaimed(delivery: Delivery, reply: ClaimReply): void {
    switch (reply.claim) {
      case 'granted':
        delivery.next = 'run';
        delivery.fence = reply.fence;
        delivery.jobs = reply.jobs.map(({ id, cancelled }) => ({ id, cancelled: cancelled !== undefined }));
        this.begin(delivery);
        return;
      case 'wait':
        delivery.next = 'park';
        return;
      case 'cancelled':
        delivery.next = 'bid farewell';
        return;
      case 'stale':
        this.acknowledge(delivery);
        return;
      case 'foreign':
        mustBe(false, 'the state knows its own');
    }
  }

  private begin({ message, fence, jobs: [first] }: Delivery): void {
    if (first === undefined || first.cancelled) return;
    const run = this.expected.runs.get(message.dispatch);
    const job = this.expected.jobs.get(first.id);
    mustBe(job !== undefined, `${first.id} was enqueued`);
    if (run?.fence === fence) this.expected.begin(job);
  }

  private settleFirst(delivery: Delivery, m: number): void {
    const [job] = delivery.jobs;
    if (job === undefined) {
      this.acknowledge(delivery);
      return;
    }
    const outcome = job.cancelled ? ({ kind: 'cancelled' } as const) : outcomeOf(m >> 3);
    const { partition } = delivery.message;
    const operation: Operation = { op: 'settle', partition, id: job.id, fence: delivery.fence, outcome };
    this.askFor(delivery, operation, [job.id], m, (reply) => {
      if (reply['refused'] === true) {
        this.handBack(delivery);
        return;
      }
      // There is no room to hold it.
      if (reply['full'] !== undefined) return;
      delivery.jobs.shift();
      if (delivery.jobs.length === 0) this.acknowledge(delivery);
      else this.begin(delivery);
    });
  }

  private handBack(delivery: Delivery): void {
    const { message } = delivery;
    if (message.heldBy === delivery) {
      message.heldBy = undefined;
      message.deliveries++;
    }
    delivery.isOver = true;
    takeOut(this.deliveries, delivery);
  }

  private acknowledge(delivery: Delivery): void {
    if (delivery.message.heldBy === delivery) takeOut(this.messages, delivery.message);
    delivery.isOver = true;
    takeOut(this.deliveries, delivery);
  }

  private dispatch(job: KeyedJob): void {
    const { id, dispatch, route, body } = job;
    const isBurial = route?.kind === 'bury';
    mustBe(idOf(body ?? '') === id, `${id} is sent with its bytes`);
    const expected = this.expected.jobs.get(id);
    mustBe(isBurial || expected?.endedAs === undefined, `${id} has ended and is not sent`);
    // Who comes back while the next is on its way has missed its turn.
    const isNext = route?.kind === 'express' && !this.isSendingAgain;
    if (isNext && job.executionKey !== undefined && job.cancelReason === undefined) {
      const earlier = [...job.partition.jobs.values()].find(
        (one) => one.phase === 'waiting' && one.executionKey === job.executionKey && one.place < job.place,
      );
      mustBe(earlier === undefined, `${id} is sent before ${earlier?.id ?? ''}`);
    }
    if (!isBurial) this.expected.latest.set(id, dispatch);
    this.outbox.push({
      partition: job.partition.id,
      id,
      dispatch,
      notBefore: this.at + (route?.kind === 'delay' ? route.seconds * 1_000 : 0),
      heldBy: undefined,
      deliveries: 0,
      isBurial,
    });
  }

  private askFor(
    delivery: Delivery,
    operation: Operation,
    parts: readonly string[],
    m: number,
    then: (reply: Reply) => void,
  ): void {
    delivery.isAsking = true;
    this.ask(
      ...[operation, parts, m],
      (reply) => {
        delivery.isAsking = false;
        if (!delivery.isOver) then(reply);
      },
      () => {
        if (!delivery.isOver) this.handBack(delivery);
      },
    );
  }

  private ask(
    operation: Operation,
    parts: readonly string[],
    m: number,
    then: (reply: Reply) => void = () => undefined,
    onGivenUp: () => void = () => undefined,
  ): void {
    const question: Question = { number: ++this.lastNumber, operation, parts, then, onGivenUp };
    this.questions.push(question);
    this.send([question], m);
  }

  private send(questions: readonly Question[], m: number): void {
    if (questions.length === 0) return;
    const fate = m % 8;
    const parts: string[] = [];
    const { low } = this;
    const head: RequestHead = {
      ...{ node: 'n', session: 'session', low },
      operations: questions.map(({ number, operation, parts: own }) => {
        const made = withParts(operation, parts.length);
        parts.push(...own);
        return [number, made];
      }),
    };
    const request = encodeFrame(head, parts);
    this.sent.push(request);
    // The request is lost.
    if (fate === 0) return;
    const inTurn = this.inTurn(questions, low);
    const replies = new Map(this.carryOut(request).map(({ number, reply }) => [number, reply]));
    for (const { number } of questions) {
      if (inTurn.has(number)) mustBe(replies.has(number), 'who has no answer is answered');
      else mustBe(!replies.has(number), `${number} is not done before an earlier one`);
    }
    // The answer is lost.
    if (fate === 1) return;
    for (const question of questions) {
      const reply = replies.get(question.number);
      if (reply === undefined) continue;
      takeOut(this.questions, question);
      question.then(reply);
    }
  }

  /** Those before which nothing is left to be done. */
  private inTurn(questions: readonly Question[], low: number): ReadonlySet<number> {
    const done = new Set<number>();
    let next = low;
    for (const { number } of questions) {
      while (this.firstReplies.has(next) || done.has(next)) next++;
      if (number <= next) done.add(number);
    }
    return done;
  }

  private get low(): number {
    return this.questions[0]?.number ?? this.lastNumber + 1;
  }

  private carryOut(request: Buffer): AppliedOperation[] {
    return this.write({ kind: 'requests', by: this.nonce, at: this.at, maxWaitingJobs: 5, own: [] }, [
      request,
    ]);
  }

  private own(operation: Operation): void {
    const waiting = this.state.missing.size;
    if (operation.op === 'missing') this.observeMissing(operation);
    this.isSendingAgain = operation.op.startsWith('dispatch');
    this.write({ kind: 'requests', by: this.nonce, at: this.at, maxWaitingJobs: 5, own: [operation] });
    this.isSendingAgain = false;
    if (operation.op === 'tick') this.forgetMoved();
    if (operation.op !== 'tick' || waiting === 0) return;
    const known = new Set([...this.state.partitions.values()].flatMap(({ jobs }) => [...jobs.keys()]));
    const isGone = ({ id, isLoose }: ExpectedJob): boolean => isLoose && !known.has(id);
    for (const job of this.expected.live.filter(isGone)) this.expected.end(job, 'missing');
  }

  /** Those of whose copies nothing was heard for a day, and whose job is not held. */
  private forgetMoved(): void {
    for (const [key, { id }] of this.expected.moved) {
      if (this.state.partitions.get('p')?.moved.has(key) === true) continue;
      mustBe(this.expected.jobs.get(id)?.isHeld !== true, `copies of ${id} are void while it is held`);
      this.expected.moved.delete(key);
    }
  }

  private write(head: RecordHead, parts: readonly Buffer[] = []): AppliedOperation[] {
    const record = encodeFrame(head, parts);
    this.log.push(record);
    const applied: AppliedOperation[] = [];
    this.latestBefore = new Map(this.expected.latest);
    this.keeper.read(record, (one) => {
      applied.push(one);
      this.observe(one);
    });
    return applied;
  }

  private observe(applied: AppliedOperation): void {
    this.observeOne(applied);
    // The next of the same request comes after it.
    this.latestBefore = new Map(this.expected.latest);
  }

  private observeOne({ operation, reply, number, parts }: AppliedOperation): void {
    const first = this.firstReplies.get(number);
    if (first !== undefined) {
      if (ANSWERED_ALIKE.has(operation.op)) {
        mustBe(JSON.stringify(first) === JSON.stringify(reply), 'who asks twice is answered alike');
        return;
      }
      if (operation.op !== 'claim' && operation.op !== 'is queued') return;
    } else if (number < 100_000) {
      mustBe(number > this.lastDone, `${number} is done before ${this.lastDone}`);
      this.lastDone = number;
      this.firstReplies.set(number, reply);
    }
    this.observeFirst(operation, reply, parts);
  }

  private observeFirst(operation: Operation, reply: Reply, parts: readonly string[]): void {
    const { expected } = this;
    switch (operation.op) {
      case 'enqueue': {
        const holder = expected.holderOf(operation.partition, operation.queueKey);
        if (reply['full'] !== undefined) return;
        mustBe(reply['duplicate'] === holder, `a key is held by ${holder ?? 'nobody'}`);
        if (holder === undefined) expected.accept(operation);
        return;
      }
      case 'enqueue held': {
        if (reply['full'] !== undefined) return;
        const holder = expected.holderOf(operation.partition, operation.queueKey);
        mustBe(reply['duplicate'] === holder, `a key is held by ${holder ?? 'nobody'}`);
        if (holder !== undefined) return;
        expected.accept(operation);
        const job = expected.jobs.get(operation.id);
        if (job !== undefined) expected.hold(job);
        return;
      }
      case 'hold':
        this.observeHold(operation, reply as unknown as HoldReply);
        return;
      case 'undo hold': {
        const job = expected.jobs.get(operation.id);
        if (reply['undone'] !== true) return;
        mustBe(job?.isHeld === true, 'what is undone was held');
        job.isHeld = false;
        expected.end(job, 'undone');
        expected.moved.delete(`${operation.id} ${operation.queuedAt}`);
        return;
      }
      case 'is moved':
        mustBe(
          reply['yes'] === expected.moved.has(`${operation.id} ${operation.queuedAt}`),
          'a copy is void or not',
        );
        return;
      case 'met moved': {
        const key = `${operation.id} ${operation.queuedAt}`;
        const moved = expected.moved.get(key);
        const isHeld = expected.jobs.get(operation.id)?.isHeld === true;
        mustBe(
          reply['removed'] === (moved !== undefined && !isHeld),
          'a copy that is met is over, or stays void',
        );
        if (moved === undefined) return;
        if (isHeld) moved.isMet = true;
        else expected.moved.delete(key);
        return;
      }
      case 'release': {
        const job = expected.jobs.get(operation.id);
        mustBe((reply['met'] === 'held') === (job?.isHeld === true), 'a release says what was held');
        if (job?.isHeld === true) expected.letGo(job, operation.isNow === true);
        return;
      }
      case 'release all': {
        const { partition, why, count } = operation;
        const known = this.state.partitions.get(partition)?.jobs;
        const gone = expected.live
          .filter(({ isHeld, id }) => isHeld && known?.has(id) === true && known.get(id)?.phase !== 'held')
          .sort((a, b) => (known?.get(a.id)?.place ?? 0) - (known?.get(b.id)?.place ?? 0));
        mustBe(
          gone.length === reply['released'] && gone.length <= count,
          'a release says how many it let go',
        );
        const left = [...(known?.values() ?? [])].filter(({ heldWhy }) => heldWhy === why);
        mustBe(reply['left'] === left.length, 'a release says how many are left');
        mustBe(gone.length === count || left.length === 0, 'a release lets go as many as it may');
        for (const job of gone) expected.letGo(job, false);
        return;
      }
      case 'schedule': {
        const { partition, name } = operation;
        const schedule = expected.schedules.get(`${partition} ${name}`);
        if (schedule === undefined)
          expected.schedules.set(`${partition} ${name}`, { isPaused: false, last: 0 });
        return;
      }
      case 'unschedule':
        expected.schedules.delete(`${operation.partition} ${operation.name}`);
        return;
      case 'pause schedule':
      case 'resume schedule': {
        const schedule = expected.schedules.get(`${operation.partition} ${operation.name}`);
        mustBe(reply['found'] === (schedule !== undefined), 'a schedule is found where there is one');
        if (schedule !== undefined) schedule.isPaused = operation.op === 'pause schedule';
        return;
      }
      case 'run schedule':
        if (reply['found'] === true) this.observeScheduled(operation, operation.id, reply);
        return;
      case 'cron tick': {
        const { partition, name, at } = operation;
        const { tick } = reply as unknown as TickReply;
        const schedule = expected.schedules.get(`${partition} ${name}`);
        if (schedule === undefined) mustBe(tick === 'unknown', 'what is removed ticks no more');
        else if (at <= schedule.last)
          mustBe(tick !== 'taken', 'a tick is taken once, and none behind another');
        if (schedule === undefined || tick !== 'taken') return;
        mustBe(!schedule.isPaused, 'what is held ticks not');
        mustBe(at <= this.at + EARLY_MS, 'a tick is not taken before its time');
        schedule.last = at;
        this.observeScheduled(operation, tickId(name, at), reply);
        return;
      }
      case 'claim': {
        const claim = reply as unknown as ClaimReply;
        if (claim.claim !== 'granted') return;
        const jobs = claim.jobs.map((one) => ({
          ...one,
          ...(one.body === undefined ? {} : { body: parts[one.body] as unknown as number }),
        }));
        expected.grant(operation.dispatch, operation.id, { ...claim, jobs });
        return;
      }
      case 'park': {
        const job = expected.jobs.get(operation.id);
        if (job === undefined || job.isCancelled || job.isHeld || job.endedAs !== undefined) return;
        if (this.latestBefore.get(job.id) !== operation.dispatch || reply['refused'] === true) return;
        if (expected.runOf(job) === undefined) expected.takeQueueKey(job);
        return;
      }
      case 'settle':
        this.observeSettled(operation, reply);
        return;
      case 'bid farewell': {
        const job = expected.jobs.get(operation.id);
        if (job?.endedAs === undefined && job?.isCancelled === true) {
          if (expected.latest.get(job.id) === operation.dispatch) expected.end(job, 'cancelled');
        }
        return;
      }
      case 'cancel': {
        const job = expected.jobs.get(operation.id);
        mustBe(
          (reply['met'] === 'unseen') === (job?.endedAs !== undefined || job === undefined),
          'a cancel meets',
        );
        if (job === undefined) expected.cancelledUnseen.add(operation.id);
        if (job?.endedAs !== undefined || job === undefined) return;
        if (reply['met'] === 'delayed') {
          mustBe((job.runAt ?? 0) > this.at && !job.hasBegun, `${job.id} is delayed that is met as such`);
        }
        job.isCancelled = true;
        expected.leaveHold(job);
        if (expected.runOf(job) === undefined) expected.freeQueueKey(job);
        return;
      }
      case 'discard': {
        const job = expected.jobs.get(operation.id);
        const run = expected.runs.get(operation.dispatch);
        expected.runs.delete(operation.dispatch);
        for (const one of run?.jobs ?? []) if (one.isCancelled) expected.freeQueueKey(one);
        if (job?.endedAs !== undefined || job === undefined) return;
        if (this.latestBefore.get(job.id) === operation.dispatch && !this.isKnown(job)) {
          expected.end(job, 'discarded');
        }
        return;
      }
      case 'purge waiting': {
        const gone = expected.live.filter(
          ({ id, partition, queue, executionKey }) =>
            partition === operation.partition &&
            queue === operation.queue &&
            executionKey !== undefined &&
            this.state.partitions.get(partition)?.jobs.has(id) !== true,
        );
        mustBe(gone.length === reply['removed'], 'a purge says how many it removed');
        for (const job of gone) {
          mustBe(expected.runOf(job) === undefined, 'who runs is not purged');
          expected.end(job, 'purged');
        }
        return;
      }
      case 'is queued':
        mustBe(
          reply['job'] === expected.holderOf(operation.partition, operation.key),
          'a question is answered by what is so now',
        );
        return;
      case 'remove queued': {
        const id = expected.holderOf(operation.partition, operation.key);
        mustBe(reply['job'] === id, 'a removed key says who held it');
        const job = expected.jobs.get(id ?? '');
        if (job !== undefined) expected.freeQueueKey(job);
        return;
      }
      case 'remove executed': {
        const job = expected.jobs.get(String(reply['job']));
        if (job === undefined) return;
        for (const one of [job, ...(expected.runOf(job)?.jobs ?? [])]) one.isLoose = true;
        return;
      }
      default:
    }
  }

  private observeHold(operation: Operation & { op: 'hold' }, reply: HoldReply): void {
    const { expected } = this;
    const { partition, id, queue, queuedAt, hasKeys = false, isDelivered = false } = operation;
    const key = `${id} ${queuedAt}`;
    const job = expected.jobs.get(id);
    if (reply.full !== undefined || reply.cancelled === true) return;
    if (job === undefined || job.endedAs !== undefined) {
      mustBe((reply.refused === true) === hasKeys, 'what has keys is known, or over');
      if (hasKeys) return;
      expected.jobs.delete(id);
      expected.accept({ partition, id, queue });
      const taken = expected.jobs.get(id);
      mustBe(taken !== undefined, 'it is there');
      taken.copies = key;
      expected.hold(taken);
      if (!isDelivered) expected.moved.set(key, { id, isMet: false });
      return;
    }
    const isOther = job.copies === undefined ? isDelivered : job.copies !== key;
    mustBe((reply.refused === true) === isOther, 'another job of the id is told from it');
    if (isOther || isDelivered) return;
    mustBe((reply.met === 'held') === job.isHeld, 'a hold says what was held');
    mustBe((reply.met === 'running') === (expected.runOf(job) !== undefined), 'a hold says what runs');
    // Held again, it stays as it is: a key that an operator has freed, too.
    if (reply.met === 'running' || reply.met === 'held') return;
    expected.takeQueueKey(job);
    expected.hold(job);
  }

  /** A schedule has enqueued its job, or its queue key was taken. */
  private observeScheduled(
    { partition, name }: { readonly partition: string; readonly name: string },
    id: string,
    reply: Reply,
  ): void {
    if (reply['full'] !== undefined) return;
    const schedule = this.state.partitions.get(partition)?.schedules.get(name);
    mustBe(schedule !== undefined, `${name} is there`);
    const { queue, queueKey, executionKey } = schedule;
    const holder = this.expected.holderOf(partition, queueKey);
    mustBe(reply['duplicate'] === holder, `the key of ${id} is held by ${holder ?? 'nobody'}`);
    if (holder === undefined) {
      this.expected.accept({ partition, id, queue, queueKey, executionKey, runAt: undefined });
    }
  }

  private isKnown({ id, partition }: ExpectedJob): boolean {
    return this.state.partitions.get(partition)?.jobs.has(id) === true;
  }

  private observeSettled(
    { id, fence, outcome, partition }: Operation & { op: 'settle' },
    reply: Reply,
  ): void {
    const { expected } = this;
    const job = expected.jobs.get(id);
    mustBe(job !== undefined, `${id} was enqueued`);
    const run = expected.runOf(job);
    if (run?.fence !== fence) {
      mustBe(run === undefined || reply['refused'] === true, 'an old fence is refused');
      return;
    }
    mustBe(reply['refused'] === undefined, 'a valid fence is not refused');
    if (reply['full'] !== undefined) return;
    const isDelivered = expected.runs.get(expected.latest.get(id) ?? 0) === run;
    if (outcome.kind === 'release' && isDelivered) return;
    expected.leaveRun(job);
    if (outcome.kind === 'release' || outcome.kind === 'retry') {
      if (job.isCancelled) expected.freeQueueKey(job);
      mustBe(this.state.partitions.get(partition)?.jobs.has(id) === true, `${id} is still there`);
    } else if (outcome.kind === 'hold') {
      if (job.isCancelled) expected.freeQueueKey(job);
      else expected.hold(job);
    } else {
      expected.end(job, outcome.kind);
    }
  }

  private observeMissing({ id }: { id: string }): void {
    const job = this.expected.jobs.get(id);
    if (job === undefined) return;
    job.isLoose = true;
    this.expected.freeQueueKey(job);
  }

  // --- what always holds

  private check(): void {
    const { state, expected } = this;
    const copies = new Set([...this.messages, ...this.hidden].map(({ dispatch }) => dispatch));
    // It is gone, and its remover has not been heard yet.
    for (const { operation } of this.questions)
      if (operation.op === 'discard') copies.add(operation.dispatch);
    const sent = new Set(this.outbox.map(({ dispatch }) => dispatch));
    let waiting = 0;
    const known = new Set<string>();
    for (const partition of state.partitions.values()) {
      for (const job of partition.jobs.values()) {
        known.add(job.id);
        if (job.phase === 'waiting' || job.phase === 'held') waiting++;
        this.checkJob(job, copies, sent);
      }
      this.checkKeys(partition.id);
    }
    mustBe(state.waitingCount === waiting, `${waiting} wait, not ${state.waitingCount}`);
    for (const { id } of expected.live) mustBe(known.delete(id), `${id} is not lost`);
    mustBe(known.size === 0, `${[...known].join()} ended and is forgotten`);
    for (const run of expected.runs.values()) {
      mustBe(
        run.jobs.every(({ endedAs }) => endedAs === undefined),
        'who has ended runs no more',
      );
    }
    mustBe(state.leases.size === expected.runs.size, 'there is a lease for each run');
    const bytes = encodeState(this.state);
    const copy = new LedgerState({ dispatch: () => undefined });
    decodeState(bytes, copy);
    mustBe(encodeState(copy).equals(bytes), 'a state that is written down and read back is the same');
    mustBe(canonical(copy) === canonical(this.state), 'nothing is left out of what is written down');
  }

  private checkJob(job: KeyedJob, copies: ReadonlySet<number>, sent: ReadonlySet<number>): void {
    const { id, phase, dispatch, lease } = job;
    mustBe((phase === 'held') === (this.expected.jobs.get(id)?.isHeld === true), `${id} is held, or not`);
    switch (phase) {
      case 'held':
        mustBe(idOf(job.body ?? '') === id, `${id} is held with its bytes`);
        mustBe(job.partition.held.get(job.heldWhy ?? '')?.has(job) === true, `${id} is held for a reason`);
        mustBe(job.cancelReason === undefined, `${id} was cancelled and is held for nothing`);
        mustBe(job.partition.lines.get(job.executionKey ?? '')?.holder !== job, `${id} is held in no line`);
        return;
      case 'waiting': {
        const holder = job.partition.lines.get(job.executionKey ?? '')?.holder;
        mustBe(holder !== undefined, `${id} waits for somebody`);
        mustBe(job.cancelReason === undefined, `${id} was cancelled and waits for nothing`);
        mustBe(idOf(job.body ?? '') === id, `${id} waits with its bytes`);
        return;
      }
      case 'dispatching':
        mustBe(
          this.state.sending.get(dispatch) === job && idOf(job.body ?? '') === id,
          `${id} is being sent`,
        );
        mustBe(sent.has(dispatch) || this.unnoted.includes(dispatch), `somebody sends ${id}`);
        return;
      case 'queued':
        mustBe(copies.has(dispatch), `the broker has ${id}`);
        return;
      case 'running':
        mustBe(lease !== undefined && this.state.leases.get(lease.dispatch) === lease, `${id} has a lease`);
        mustBe(lease.jobs.includes(job), `${id} is in its lease`);
        mustBe(
          copies.has(lease.dispatch) || sent.has(lease.dispatch),
          `the message that ${id} runs under is there`,
        );
        return;
      case 'missing':
        mustBe(this.state.missing.has(job), `${id} is missed`);
    }
  }

  private checkKeys(id: string): void {
    const partition = this.state.partitions.get(id);
    if (partition === undefined) return;
    const held = [...partition.queueKeys].map(([key, job]) => `${key} ${job.id}`).sort();
    const wanted = [...this.expected.queueKeys.values()]
      .filter((job) => job.partition === id)
      .map((job) => `${job.queueKey ?? ''} ${job.id}`)
      .sort();
    mustBe(held.join() === wanted.join(), `queue keys are held by ${wanted.join()}, not ${held.join()}`);
    for (const [key, line] of partition.lines) {
      const { holder } = line;
      mustBe(holder !== undefined, `a line has a holder: ${key}`);
      mustBe(partition.jobs.get(holder.id) === holder, `${holder.id} is over and holds ${key} no more`);
      mustBe(!['waiting', 'missing', 'held'].includes(holder.phase), `${holder.id} waits and holds ${key}`);
      mustBe(holder.cancelReason === undefined || holder.phase === 'running', `${holder.id} won't run`);
      const places = [...line.waiting()].map(({ place }) => place);
      mustBe(places.join() === [...places].sort((a, b) => a - b).join(), 'a line is in order');
    }
  }
}

/** What has to be answered as before when it is asked once more. */
const ANSWERED_ALIKE: ReadonlySet<Operation['op']> = new Set([
  'enqueue',
  'cancel',
  'cron tick',
  'run schedule',
  'enqueue held',
  'hold',
  'release',
  'release all',
]);

/** The bytes of a job are its id here, or what a schedule has made of its template. */
function idOf(body: string): string {
  return body.startsWith('{') ? (JSON.parse(body) as { id: string }).id : body;
}

/** The operation with the numbers that its parts have in a request. */
function withParts(operation: Operation, body: number): Operation {
  if (
    operation.op === 'enqueue' ||
    operation.op === 'enqueue held' ||
    operation.op === 'hold' ||
    operation.op === 'park' ||
    operation.op === 'schedule'
  )
    return { ...operation, body };
  if (operation.op !== 'settle' || !('body' in operation.outcome)) return operation;
  return { ...operation, outcome: { ...operation.outcome, body } };
}

function outcomeOf(m: number): LedgerOutcome {
  switch (m % 6) {
    case 0:
    case 1:
      return { kind: 'retry', afterSeconds: 5, body: 0 };
    case 2:
      return { kind: 'bury', reason: { type: 'Error', message: 'failed' }, body: 0 };
    case 5:
      return { kind: 'hold', why: 'definition:j', body: 0 };
    default:
      return { kind: 'done' };
  }
}

/** Everything that matters of a state, whatever the order in which its maps were filled. */
function canonical(state: LedgerState): string {
  const { lastDispatch, lastFence, lastPlace, standingVersion, waitingCount } = state;
  const jobOf = (job: KeyedJob | undefined) =>
    job === undefined
      ? undefined
      : [
          job.id,
          job.phase,
          job.dispatch,
          job.place,
          job.body,
          job.cancelReason,
          job.holdsQueueKey,
          job.route,
          job.runAt,
          job.heldWhy,
          job.copiesQueuedAt,
        ];
  const sorted = <T>(from: Iterable<readonly [string | number, T]>) =>
    [...from].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  return JSON.stringify([
    [state.id, lastDispatch, lastFence, lastPlace, standingVersion, waitingCount],
    sorted(
      [...state.partitions].map(([id, partition]) => [
        id,
        [
          sorted([...partition.jobs].map(([key, job]) => [key, jobOf(job)])),
          sorted([...partition.queueKeys].map(([key, job]) => [key, job.id])),
          sorted(
            [...partition.lines].map(([key, line]) => [
              key,
              [line.holder?.id, ...[...line.waiting()].map((job) => job.id)],
            ]),
          ),
          sorted([...partition.cancelled].map(([key, { reason }]) => [key, reason])),
          [...partition.paused].sort(),
          sorted(partition.moved),
          sorted([...partition.held].map(([key, jobs]) => [key, [...jobs].map(({ id: job }) => job)])),
          sorted(
            [...partition.schedules].map(([key, schedule]) => [
              key,
              sorted(Object.entries(schedule).filter(([, value]) => value !== undefined)),
            ]),
          ),
        ],
      ]),
    ),
    sorted([...state.sending].map(([dispatch, job]) => [dispatch, jobOf(job)])),
    sorted(
      [...state.leases].map(([dispatch, { owner, fence, jobs }]) => [
        dispatch,
        [owner, fence, jobs.map(jobOf)],
      ]),
    ),
    [...state.missing].map(({ id }) => id).sort(),
    state.sessions.dump(),
  ]);
}

// --- the property

const WEIGHTS = {
  enqueue: 10,
  arrive: 8,
  deliver: 8,
  advance: 10,
  askAgain: 3,
  repeat: 3,
  giveUp: 1,
  inquire: 1,
  cancel: 2,
  release: 2,
  crash: 3,
  ghost: 3,
  note: 1,
  purge: 1,
  pause: 1,
  removeKey: 1,
  lose: 1,
  turnUp: 1,
  takeOver: 1,
  schedule: 1,
  changeSchedule: 1,
  cronTick: 3,
  enqueueHeld: 1,
  hold: 4,
  letGo: 4,
  plainCopy: 2,
  writeLate: 1,
  snapshot: 1,
  pass: 1,
} as const;

type Act = keyof typeof WEIGHTS;

const ACTS = Object.entries(WEIGHTS).flatMap(([act, weight]) => Array<Act>(weight).fill(act as Act));

const STEPS = fc.array(fc.tuple(fc.constantFrom(...ACTS), fc.nat(4_095), fc.nat(255)), {
  minLength: 1,
  maxLength: 90,
  size: 'max',
});

function live(steps: readonly (readonly [Act, number, number])[]): void {
  const world = new World();
  for (const [act, n, m] of steps) world.act(act, n, m);
  world.drain();
}

const EVER_HOLDS = fc.property(STEPS, live);

describe('a ledger', () => {
  it('keeps keys, order and jobs through whatever happens', () => {
    fc.assert(EVER_HOLDS, { numRuns: 1_200 });
  });

  describe('without', () => {
    interface Guarded {
      isPresentFence(): boolean;
      isPresentDispatch(): boolean;
      counts(): boolean;
      recall(): undefined;
      isInOrder(): boolean;
      routeUntilDue(): { kind: 'normal' };
      takeQueueKey: (this: Guarded, job: KeyedJob) => void;
    }

    interface GuardedTimetable {
      tick: (
        this: GuardedTimetable,
        operation: Operation & { op: 'cron tick' },
        context: unknown,
      ) => TickReply;
      find: (partition: string, name: string) => Schedule | undefined;
    }

    const guarded = LedgerState.prototype as unknown as Guarded;

    afterEach(() => {
      jest.restoreAllMocks();
    });

    function expectViolation(): void {
      const { errorInstance } = fc.check(EVER_HOLDS, { numRuns: 3_000, endOnFailure: true });
      expect(errorInstance).toBeInstanceOf(Violation);
    }

    it('a look at the fence, an old run ends a new one', () => {
      jest.spyOn(LedgerState.prototype as unknown as Guarded, 'isPresentFence').mockReturnValue(true);
      expectViolation();
    });

    it('a look at the dispatch number, an old copy runs', () => {
      jest.spyOn(LedgerState.prototype as unknown as Guarded, 'isPresentDispatch').mockReturnValue(true);
      expectViolation();
    });

    it('a look at who has claimed last, a former keeper changes the state', () => {
      jest.spyOn(LogReader.prototype as unknown as Guarded, 'counts').mockReturnValue(true);
      expectViolation();
    });

    it('a look at the number of what is asked, it is done before what was asked earlier', () => {
      jest.spyOn(Sessions.prototype as unknown as Guarded, 'isInOrder').mockReturnValue(true);
      expectViolation();
    });

    it('a memory of what was answered, what is asked twice is done twice', () => {
      jest.spyOn(LogReader.prototype as unknown as Guarded, 'recall').mockReturnValue(undefined);
      expectViolation();
    });

    it('a route by the time that is left, a delayed job comes too early', () => {
      jest.spyOn(guarded, 'routeUntilDue').mockReturnValue({ kind: 'normal' });
      expectViolation();
    });

    it('a queue key that a delayed job takes at once, there are two of a key', () => {
      const take = guarded.takeQueueKey;
      jest.spyOn(guarded, 'takeQueueKey').mockImplementation(function (this: Guarded, job) {
        if (job.runAt === undefined) take.call(this, job);
      });
      expectViolation();
    });

    it('a void number for what is held, its copy runs', () => {
      const state = LedgerState.prototype as unknown as { recall: (job: KeyedJob) => void };
      const { recall } = state;
      jest.spyOn(state, 'recall').mockImplementation(function (this: typeof state, job) {
        const { dispatch } = job;
        recall.call(this, job);
        job.dispatch = dispatch;
      });
      jest
        .spyOn(LedgerState.prototype as unknown as { canRun: () => boolean }, 'canRun')
        .mockReturnValue(true);
      expectViolation();
    });

    it('a turn that passes on, whoever is held keeps the others of its key from running', () => {
      const state = LedgerState.prototype as unknown as { passOn: (job: KeyedJob) => void };
      const { passOn } = state;
      jest.spyOn(state, 'passOn').mockImplementation(function (this: typeof state, job) {
        if (job.phase !== 'queued') passOn.call(this, job);
      });
      expectViolation();
    });

    it('a memory of the last tick, one is taken twice', () => {
      const timetable = Timetable.prototype as unknown as GuardedTimetable;
      const { tick } = timetable;
      jest.spyOn(timetable, 'tick').mockImplementation(function (this: GuardedTimetable, operation, context) {
        const reply = tick.call(this, operation, context);
        const schedule = this.find(operation.partition, operation.name);
        if (schedule !== undefined) schedule.after = 0;
        return reply;
      });
      expectViolation();
    });
  });
});
