// The quick kind: a mail, checked at enqueue, sent in some milliseconds.
import { IsEmail, IsInt } from 'class-validator';
import { RogerJob, type JobContext, type JobHandler } from 'nestjs-roger';
import { MailServer } from './mail-server';

export class WelcomeMail {
  @IsInt() userId!: number;
  @IsEmail() address!: string;
}

@RogerJob({ name: 'welcome-mail', queue: 'mail', args: WelcomeMail })
export class WelcomeMailJob implements JobHandler<WelcomeMail> {
  constructor(private readonly mailServer: MailServer) {}

  async perform({ address }: WelcomeMail, { signal, logger }: JobContext): Promise<void> {
    await this.mailServer.send(address, signal);
    logger.log(`sent to ${address}`);
  }
}
