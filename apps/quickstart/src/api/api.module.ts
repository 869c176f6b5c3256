// The API app: enqueues, and runs no job.
import { Module, type DynamicModule } from '@nestjs/common';
import { RogerModule } from 'nestjs-roger';
import { rogerOptions, type Carrier } from '../tenants';
import { WelcomeMailsController } from './welcome-mails.controller';

@Module({ controllers: [WelcomeMailsController] })
export class ApiModule {
  static on(carrier: Carrier): DynamicModule {
    return { module: ApiModule, imports: [RogerModule.forRoot(rogerOptions('producer', carrier))] };
  }
}
