// Carries mail about single jobs by the mailbox that the ledgers have, and gives each to whom it concerns.
import type { Job } from '../job/job';
import type { Frame, Part } from '../ledger/frame';
import type { Ledgers } from '../ledger/ledgers';
import type { OutcomeMail, ProgressMail, ReceivedMail, ReportMail, WatchMail } from './report-mail';
import { isReportMail } from './report-mail';

/** What the post needs of the ledgers. */
export type NodeMail = Pick<
  Ledgers,
  'nodeId' | 'hearsMail' | 'trouble' | 'carry' | 'openMailbox' | 'sendTo' | 'tellAll'
>;

/** Who is given what comes. None of its methods may throw. */
export interface ReportReader {
  onWatch?(mail: WatchMail): void;
  onProgress?(mail: ProgressMail): void;
  onOutcome?(mail: OutcomeMail, result: Buffer | undefined): void;
  onReceived?(mail: ReceivedMail): void;
  /** The broker has buried the job by itself, and this node is the one that was told. */
  onBuriedByBroker?(job: Job): void;
}

export class ReportPost {
  private readonly readers: ReportReader[] = [];
  private onUp: (() => void)[] = [];

  constructor(private readonly mail: NodeMail) {
    mail.carry({
      take: (frame) => {
        this.take(frame);
      },
      up: () => {
        const waiting = this.onUp;
        this.onUp = [];
        for (const goOn of waiting) goOn();
      },
      buried: (job) => {
        for (const reader of this.readers) reader.onBuriedByBroker?.(job);
      },
    });
  }

  get nodeId(): string {
    return this.mail.nodeId;
  }

  /** Why no mail comes, if that is known. */
  get trouble(): Error | undefined {
    return this.mail.trouble;
  }

  add(reader: ReportReader): void {
    this.readers.push(reader);
  }

  /** Takes mail from now on. Safe to repeat. */
  open(): void {
    this.mail.openMailbox();
  }

  /** Takes mail from now on. @returns whether it comes, at the latest after the time. */
  async opened(timeoutMs: number): Promise<boolean> {
    this.mail.openMailbox();
    if (this.mail.hearsMail) return true;
    let timer: NodeJS.Timeout | undefined;
    const isUp = await new Promise<boolean>((resolve) => {
      const goOn = (): void => {
        resolve(true);
      };
      this.onUp.push(goOn);
      timer = setTimeout(() => {
        this.onUp = this.onUp.filter((other) => other !== goOn);
        resolve(false);
      }, timeoutMs);
    });
    clearTimeout(timer);
    return isUp;
  }

  /** @returns false when the node is not there, or nothing leaves at the moment. */
  send(node: string, mail: ReportMail, parts?: readonly Part[]): Promise<boolean> {
    return this.mail.sendTo(node, mail, parts);
  }

  /** A lost one is not told. */
  announce(mail: ReportMail): void {
    this.mail.tellAll(mail);
  }

  private take(frame: Frame): void {
    const { head } = frame;
    if (!isReportMail(head)) return;
    for (const reader of this.readers) {
      switch (head.mail) {
        case 'watch':
          reader.onWatch?.(head);
          break;
        case 'progress':
          reader.onProgress?.(head);
          break;
        case 'outcome':
          reader.onOutcome?.(head, frame.count === 0 ? undefined : frame.part(0));
          break;
        case 'received':
          reader.onReceived?.(head);
      }
    }
  }
}
