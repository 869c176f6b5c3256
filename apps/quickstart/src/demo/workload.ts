// What the demo enqueues.
import { Injectable } from '@nestjs/common';
import { JobQueue, type Job } from 'nestjs-roger';
import { CardChargeJob } from '../jobs/card-charge.job';
import { ContactSyncJob } from '../jobs/contact-sync.job';
import { ReportJob } from '../jobs/report.job';
import { WelcomeMailJob, type WelcomeMail } from '../jobs/welcome-mail.job';
import type { Tenant } from '../tenants';

/** How many jobs of which kind. */
export interface Load {
  readonly partition: Tenant;
  readonly mails: number;
  readonly mailsOverHttp: number;
  readonly reports: number;
  readonly contactSyncs: number;
  readonly cardCharges: number;
}

const LOADS: readonly Load[] = [
  { partition: 'acme', mails: 1980, mailsOverHttp: 20, reports: 24, contactSyncs: 18, cardCharges: 3 },
  { partition: 'globex', mails: 1980, mailsOverHttp: 20, reports: 16, contactSyncs: 12, cardCharges: 2 },
];

/** The loads at a scale, with at least one job of each kind. */
export function loadsAt(scale: number): Load[] {
  const scaled = (count: number): number => Math.max(1, Math.round(count * scale));
  return LOADS.map((load) => ({
    partition: load.partition,
    mails: scaled(load.mails),
    mailsOverHttp: scaled(load.mailsOverHttp),
    reports: scaled(load.reports),
    contactSyncs: scaled(load.contactSyncs),
    cardCharges: scaled(load.cardCharges),
  }));
}

export function mailTo(userId: number): WelcomeMail {
  return { userId, address: `user${userId}@example.com` };
}

@Injectable()
export class Workload {
  constructor(private readonly jobs: JobQueue) {}

  /** The jobs of a load, made and not yet enqueued; those that take longest to end come first. */
  create({ partition, mails, reports, contactSyncs, cardCharges }: Load): Job[] {
    return [
      ...upTo(cardCharges, (n) => this.jobs.create(CardChargeJob, { invoiceId: n }, { partition })),
      ...upTo(contactSyncs, (n) => this.jobs.create(ContactSyncJob, { contactId: n }, { partition })),
      ...upTo(reports, (n) =>
        this.jobs.create(ReportJob, { month: monthOf(n), pages: 3 + (n % 3) }, { partition }),
      ),
      ...upTo(mails, (n) => this.jobs.create(WelcomeMailJob, mailTo(n), { partition })),
    ];
  }

  /** @throws the first failure, when there is one */
  async enqueue(jobs: readonly Job[]): Promise<void> {
    const { failures } = await this.jobs.enqueueMany(jobs);
    const [first] = failures;
    if (first !== undefined) throw first.error;
  }
}

function upTo<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index + 1));
}

function monthOf(n: number): string {
  return `2025-${String(1 + (n % 12)).padStart(2, '0')}`;
}
