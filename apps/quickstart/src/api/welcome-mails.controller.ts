// Takes welcome mails over HTTP and enqueues them.
import { Body, Controller, HttpCode, Param, Post, UseFilters, ValidationPipe } from '@nestjs/common';
import { JobQueue } from 'nestjs-roger';
import { WelcomeMail, WelcomeMailJob } from '../jobs/welcome-mail.job';
import type { Tenant } from '../tenants';
import { BrokerAwayFilter } from './broker-away.filter';
import { TenantPipe } from './tenant.pipe';

@Controller('tenants/:tenant/welcome-mails')
@UseFilters(BrokerAwayFilter)
export class WelcomeMailsController {
  constructor(private readonly jobs: JobQueue) {}

  /** 202: the job is safe with the broker, not yet done. */
  @Post()
  @HttpCode(202)
  async send(
    @Param('tenant', TenantPipe) tenant: Tenant,
    @Body(new ValidationPipe({ forbidNonWhitelisted: true, whitelist: true })) mail: WelcomeMail,
  ): Promise<{ readonly jobId: string }> {
    const { job } = await this.jobs.enqueue(WelcomeMailJob, mail, { partition: tenant });
    return { jobId: job.id };
  }
}
