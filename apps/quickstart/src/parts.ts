// The two parts as processes of their own, as in a real deployment.
import { NestFactory } from '@nestjs/core';
import { ApiModule } from './api/api.module';
import { PlainError } from './plain-error';
import type { Carrier } from './tenants';
import { WorkerModule } from './worker/worker.module';

const DEFAULT_PORT = 3000;

/** Serves HTTP on loopback, at PORT or 3000, until a signal ends it. */
export async function runApi(): Promise<number> {
  const api = await NestFactory.create(ApiModule.on(brokerFor('api')), { forceCloseConnections: true });
  api.enableShutdownHooks();
  await api.listen(process.env['PORT'] ?? DEFAULT_PORT, '127.0.0.1');
  console.log(
    `POST ${await api.getUrl()}/tenants/acme/welcome-mails {"userId": 1, "address": "ada@example.com"}`,
  );
  return 0;
}

/** Runs jobs until a signal ends it. */
export async function runWorker(): Promise<number> {
  const worker = await NestFactory.createApplicationContext(WorkerModule.on(brokerFor('worker')));
  worker.enableShutdownHooks();
  return 0;
}

/** Memory would not do: it ends where the process ends. */
function brokerFor(part: string): Carrier {
  const uri = process.env['ROGER_AMQP_URL'];
  if (uri !== undefined && uri !== '') return { connection: { uri } };
  throw new PlainError(
    `The ${part} alone reaches the other part over a RabbitMQ: set ROGER_AMQP_URL, for example to amqp://localhost. ` +
      'Or run both in one process: npm run demo',
  );
}
