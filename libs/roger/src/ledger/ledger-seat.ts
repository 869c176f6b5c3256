// This node's seat at one ledger: asks it, and keeps it when the broker says so.
import type { RogerLog } from '../job/log';
import type { LedgerTransport } from '../ledger-transport';
import type { Announcements } from './announcements';
import { encodeFrame } from './frame';
import type { KeeperParts } from './keeper';
import { Keeper } from './keeper';
import { LedgerClient } from './ledger-client';
import type { AppliedOperation } from './log-reader';
import type { LostJobsParts } from './lost-jobs';
import type { Mail } from './mail';
import type { Reply } from './operation';

export interface LedgerSeatParts {
  readonly ledger: number;
  readonly transport: LedgerTransport;
  readonly announcements: Announcements;
  readonly log: RogerLog;
  readonly ledgerTimeoutMs: number;
  readonly maxBufferedBytes: number;
  readonly maxWaitingJobs: number;
  readonly persister: KeeperParts['persister'];
  readonly trouble: () => Error | undefined;
  readonly lostJobs: LostJobsParts;
}

const SILENCE = 'the ledger does not answer';

/** Answers for one asker that go out together. */
interface Letter {
  readonly node: string;
  readonly session: string;
  readonly replies: [number: number, reply: Reply, firstPart: number][];
  readonly texts: string[];
}

export class LedgerSeat {
  readonly client: LedgerClient;
  readonly keeper: Keeper;

  constructor(private readonly parts: LedgerSeatParts) {
    const { ledger, transport, log, maxWaitingJobs, persister } = parts;
    this.client = new LedgerClient({
      nodeId: transport.nodeId,
      ledger,
      send: (request) => {
        this.send(request);
      },
      timeoutMs: parts.ledgerTimeoutMs,
      maxBufferedBytes: parts.maxBufferedBytes,
      trouble: parts.trouble,
      onSilence: (times) => {
        this.keeper.rejoin(SILENCE);
        // To be chosen anew was not enough: the answers themselves may not find the way. More and more seldom, for it
        // may be nobody's fault here.
        if (times > 1 && Number.isInteger(Math.log2(times))) transport.reconnect(SILENCE);
      },
    });
    this.keeper = new Keeper({
      ledger,
      transport,
      log,
      maxWaitingJobs,
      persister,
      lostJobs: parts.lostJobs,
      reply: (applied) => {
        this.reply(applied);
      },
      onKeeping: () => {
        log.debug(`Ledger ${ledger} is kept here`);
        this.announce({ mail: 'keeper', ledger, node: transport.nodeId });
      },
    });
  }

  async close(timeoutMs: number): Promise<void> {
    await this.client.close(timeoutMs);
    await this.keeper.close();
  }

  private announce(mail: Mail): void {
    this.parts.transport.announce(encodeFrame(mail));
  }

  /** Who keeps the ledger hears itself without the broker. */
  private send(request: Buffer): void {
    if (this.keeper.isKeeping) this.keeper.onRequest({ body: request, ack: () => undefined });
    else this.parts.transport.request(this.parts.ledger, request);
  }

  private reply(applied: readonly AppliedOperation[]): void {
    const letters = new Map<string, Letter>();
    if (applied.some(isScheduleChange)) this.announce({ mail: 'schedules', ledger: this.parts.ledger });
    for (const one of applied) {
      const change = this.keeper.state?.changeOf(one.operation, one.reply);
      if (change === undefined) {
        write(letters, one, one.reply);
        continue;
      }
      const heard = this.tellAll(change);
      if (change.kind === 'met' || change.kind === 'unmoved') {
        write(letters, one, one.reply);
        continue;
      }
      void heard.then(({ missing, isRunning }) => {
        const late = new Map<string, Letter>();
        write(late, one, { ...one.reply, missing, isRunning });
        this.post(late);
      });
    }
    this.post(letters);
  }

  private tellAll(change: NonNullable<ReturnType<NonNullable<Keeper['state']>['changeOf']>>) {
    const { ledger, transport, announcements } = this.parts;
    const { id: state = '', standingVersion: version = 0 } = this.keeper.state ?? {};
    return announcements.tell((number) => {
      this.announce({ mail: 'standing', ledger, node: transport.nodeId, number, state, version, change });
    });
  }

  private post(letters: ReadonlyMap<string, Letter>): void {
    const { transport } = this.parts;
    for (const { node, session, replies, texts } of letters.values()) {
      if (session === this.client.session) {
        this.client.take(replies, (part) => texts[part] ?? '');
      } else {
        // Who is gone doesn't need the answer any more; who has missed it asks again.
        void transport.send(node, encodeFrame({ mail: 'reply', session, replies } satisfies Mail, texts));
      }
    }
  }
}

/** What is declared at each start is the same as a rule. */
function isScheduleChange({ operation, reply }: AppliedOperation): boolean {
  if (reply['malformed'] === true) return false;
  if (operation.op === 'schedule') return reply['isSame'] === false;
  return (
    (operation.op === 'unschedule' ||
      operation.op === 'pause schedule' ||
      operation.op === 'resume schedule') &&
    reply['found'] === true
  );
}

function write(
  letters: Map<string, Letter>,
  { request, number, parts }: AppliedOperation,
  reply: Reply,
): void {
  const { node, session } = request;
  const letter = letters.get(session) ?? { node, session, replies: [], texts: [] };
  letters.set(session, letter);
  letter.replies.push([number, reply, letter.texts.length]);
  letter.texts.push(...parts);
}
