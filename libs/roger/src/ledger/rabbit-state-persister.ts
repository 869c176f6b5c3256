// The persister that there is with RabbitMQ anyway: the ledgers' logs on the broker.
import type { StatePersister } from './state-persister';

/**
 * The default with RabbitMQ: the state of a ledger is its log on the broker, in which every change is written down
 * before it is answered, so that nothing is ever lost between two stores. There is nothing to load or store beside it.
 * Give it to say so, or leave `persister` out.
 *
 * @example
 * ```ts
 * import { RabbitStatePersister, RogerModule } from 'nestjs-roger';
 *
 * export const roger = RogerModule.forRoot({
 *   connection: { uri: 'amqp://localhost' },
 *   persister: new RabbitStatePersister(),
 * });
 * ```
 */
export class RabbitStatePersister implements StatePersister {
  init(): Promise<void> {
    return Promise.resolve();
  }

  load(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  store(): Promise<void> {
    return Promise.resolve();
  }
}
