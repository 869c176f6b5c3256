// What RogerModule takes by its types. Nothing here runs; see enqueue.ts.
import type { RogerModuleOptions } from 'nestjs-roger';
import { MemoryBroker, RogerModule } from 'nestjs-roger';

class Settings {
  createRogerOptions(): RogerModuleOptions {
    return { partitions: { acme: { default: 1 } } };
  }
}

class NoSettings {
  readonly uri = 'amqp://localhost';
}

export function complete(): void {
  RogerModule.forRoot({});
  RogerModule.forRoot({
    connection: { uri: ['amqp://a', 'amqps://b'], heartbeatSeconds: 5, name: 'x', tls: { ca: 'x' } },
    partitions: { acme: { default: 10, mail: { maxWorkers: 5, retryLevels: [1, 5] } } },
    retryJitter: 0.2,
    mode: 'producer',
    namespace: 'stage',
    retryLevels: [1, 2],
    maxBuriedQueueSize: 1,
    deliveryLimit: 1,
    shutdownTimeoutMs: 1,
    enqueueTimeoutMs: 1,
    maxBufferedBytes: 1_024,
    maxJobBytes: 256,
    name: 'billing',
    isGlobal: false,
  });
  RogerModule.forRoot({ memory: new MemoryBroker({ maxJobs: 5 }) });
  RogerModule.forRootAsync({ useClass: Settings, name: 'billing', isGlobal: false });
  RogerModule.forRootAsync({ useExisting: Settings });
  RogerModule.forRootAsync({
    inject: [Settings],
    useFactory: (settings: Settings) => Promise.resolve(settings.createRogerOptions()),
  });
}

export function wrong(): void {
  // @ts-expect-error there is no such option
  RogerModule.forRoot({ conection: { uri: 'amqp://a' } });
  // @ts-expect-error a connection needs a URI
  RogerModule.forRoot({ connection: {} });
  // @ts-expect-error a URI is a text
  RogerModule.forRoot({ connection: { uri: new URL('amqp://a') } });
  // @ts-expect-error there is no such option
  RogerModule.forRoot({ partitions: { acme: { default: { maxWorker: 5 } } } });
  // @ts-expect-error levels of a queue stand beside its workers
  RogerModule.forRoot({ partitions: { acme: { default: { retryLevels: [1] } } } });
  // @ts-expect-error a number of workers is no text
  RogerModule.forRoot({ partitions: { acme: { default: '5' } } });
  // @ts-expect-error there is no such mode
  RogerModule.forRoot({ mode: 'consumer' });
  // @ts-expect-error a class that makes no options
  RogerModule.forRootAsync({ useClass: NoSettings });
  // @ts-expect-error a factory of something else
  RogerModule.forRootAsync({ useFactory: () => ({ partitions: 5 }) });
  // @ts-expect-error there is no such option
  new MemoryBroker({ maxJob: 5 }).buried({ partition: 'acme', queue: 'mail' });
}
