// The worker app: runs the jobs, and serves no HTTP.
import { Module, type DynamicModule } from '@nestjs/common';
import { RogerModule } from 'nestjs-roger';
import { CardChargeJob } from '../jobs/card-charge.job';
import { ContactSyncJob } from '../jobs/contact-sync.job';
import { MailServer } from '../jobs/mail-server';
import { ReportJob } from '../jobs/report.job';
import { WelcomeMailJob } from '../jobs/welcome-mail.job';
import { rogerOptions, type Carrier } from '../tenants';

@Module({ providers: [MailServer, WelcomeMailJob, ReportJob, ContactSyncJob, CardChargeJob] })
export class WorkerModule {
  static on(carrier: Carrier): DynamicModule {
    return { module: WorkerModule, imports: [RogerModule.forRoot(rogerOptions('worker', carrier))] };
  }
}
