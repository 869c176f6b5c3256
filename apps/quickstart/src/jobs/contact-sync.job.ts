// The flaky kind: its remote side answers at the second or third attempt.
import { RogerJob, type JobContext, type JobHandler } from 'nestjs-roger';

interface Contact {
  readonly contactId: number;
}

@RogerJob({ name: 'contact-sync', retryable: { levels: [1, 2] } })
export class ContactSyncJob implements JobHandler<Contact> {
  perform({ contactId }: Contact, { attempt, logger }: JobContext): void {
    if (attempt <= failuresOf(contactId)) throw new Error('the CRM answered 503');
    logger.log(`contact ${contactId} is in sync`);
  }
}

function failuresOf(contactId: number): number {
  return 1 + (contactId % 2);
}
