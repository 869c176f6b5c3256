// Starts the API app and the worker app, and waits until each has what it needs.
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InfoService, NodeInfoService } from 'nestjs-roger';
import { PlainError } from '../plain-error';
import { allQueues, NAMESPACE, type Carrier } from '../tenants';
import type { Closers } from './closers';
import { DemoApiModule, DemoWorkerModule } from './demo.modules';
import { eventually } from './eventually';
import type { QuietLogger } from './quiet-logger';

const START_LIMIT_MS = 10_000;

export interface Api {
  readonly url: string;
  readonly app: INestApplicationContext;
}

/** @throws PlainError when there is no broker, or somebody else takes the jobs */
export async function startApi(carrier: Carrier, logger: QuietLogger, closers: Closers): Promise<Api> {
  const app = await NestFactory.create(DemoApiModule.on(carrier), {
    logger,
    abortOnError: false,
    forceCloseConnections: true,
  });
  closers.add(() => app.close());
  await app.listen(0, '127.0.0.1');
  const info = app.get(InfoService);
  if (!(await eventually(() => info.transportInfo().state === 'connected', START_LIMIT_MS))) {
    throw new PlainError(
      `No connection to RabbitMQ within ${START_LIMIT_MS / 1_000} s. The log ends with: ${logger.lastLines.at(-1) ?? 'nothing'}`,
    );
  }
  await refuseOtherWorkers(info);
  return { url: await app.getUrl(), app };
}

/** @throws PlainError when a queue can't be served */
export async function startWorker(
  carrier: Carrier,
  logger: QuietLogger,
  closers: Closers,
): Promise<{ readonly app: INestApplicationContext; readonly close: () => Promise<void> }> {
  const app = await NestFactory.createApplicationContext(DemoWorkerModule.on(carrier), {
    logger,
    abortOnError: false,
  });
  const close = closers.add(() => app.close());
  const nodeInfo = app.get(NodeInfoService);
  if (!(await eventually(() => nodeInfo.waitingPartitions().length === 0, START_LIMIT_MS))) {
    const reasons = nodeInfo
      .waitingPartitions()
      .flatMap(({ queues }) => queues)
      .map(({ waitingFor }) => waitingFor?.message);
    throw new PlainError(`The worker gets no jobs: ${[...new Set(reasons)].filter(Boolean).join('; ')}`);
  }
  return { app, close };
}

/** The demo accounts for what its own worker does; what another one took would be missing. */
async function refuseOtherWorkers(info: InfoService): Promise<void> {
  for (const { partition, queue } of allQueues()) {
    const depth = await info.queueDepth(partition, queue);
    if (depth !== undefined && depth.consumers > 0) {
      throw new PlainError(
        `Another worker already takes the jobs of ${NAMESPACE}.${partition}-${queue} on this broker: a demo that still ` +
          'runs, or the quickstart worker on its own. Stop it first; this demo has to see each of its jobs.',
      );
    }
  }
}
