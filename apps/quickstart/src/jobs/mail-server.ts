// Plays a mail server: an ordinary provider that jobs get injected.
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';

@Injectable()
export class MailServer {
  /** Takes 15 to 30 ms, as a mail server in the next room does. */
  async send(address: string, signal: AbortSignal): Promise<void> {
    await sleep(15 + (address.length % 16), undefined, { signal });
  }
}
