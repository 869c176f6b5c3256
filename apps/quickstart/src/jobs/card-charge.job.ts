// The kind that always fails: after its only retry it is buried, where an operator can see it.
import { RogerJob, type JobHandler } from 'nestjs-roger';

interface CardCharge {
  readonly invoiceId: number;
}

@RogerJob({ name: 'card-charge', retryable: { levels: [1] } })
export class CardChargeJob implements JobHandler<CardCharge> {
  perform({ invoiceId }: CardCharge): void {
    throw new Error(`the card for invoice ${invoiceId} has expired`);
  }
}
