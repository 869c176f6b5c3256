// The two apps of the demo: each is the real part with the demo's own provider beside it.
import { Module, type DynamicModule } from '@nestjs/common';
import { ApiModule } from '../api/api.module';
import type { Carrier } from '../tenants';
import { WorkerModule } from '../worker/worker.module';
import { Tally } from './tally';
import { Workload } from './workload';

@Module({ providers: [Workload] })
export class DemoApiModule {
  static on(carrier: Carrier): DynamicModule {
    return { module: DemoApiModule, imports: [ApiModule.on(carrier)] };
  }
}

@Module({ providers: [Tally] })
export class DemoWorkerModule {
  static on(carrier: Carrier): DynamicModule {
    return { module: DemoWorkerModule, imports: [WorkerModule.on(carrier)] };
  }
}
