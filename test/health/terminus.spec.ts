// The indicator is one that the real @nestjs/terminus takes.
import { Controller, Get } from '@nestjs/common';
import type { INestApplication } from '@nestjs/common';
import type { HealthCheckResult } from '@nestjs/terminus';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import type { AddressInfo } from 'node:net';
import { ClusterService, RogerHealthIndicator, RogerModule } from 'nestjs-roger';
import { eventually } from '../support/app';
import { RecordedLog } from '../support/recorded-log';

@Controller()
class Probes {
  constructor(
    private readonly terminus: HealthCheckService,
    private readonly roger: RogerHealthIndicator,
  ) {}

  @Get('ready')
  @HealthCheck()
  ready(): Promise<HealthCheckResult> {
    return this.terminus.check([() => this.roger.isReady('roger')]);
  }

  @Get('live')
  @HealthCheck()
  live(): Promise<HealthCheckResult> {
    return this.terminus.check([() => this.roger.isLive('worker', { timeoutMs: 500 })]);
  }
}

let app: INestApplication;

beforeEach(async () => {
  const testing = await Test.createTestingModule({
    imports: [
      TerminusModule.forRoot({ logger: false }),
      RogerModule.forRoot({ partitions: { acme: { default: 1 } } }),
    ],
    controllers: [Probes],
  })
    .setLogger(new RecordedLog())
    .compile();
  app = testing.createNestApplication();
  await app.listen(0, '127.0.0.1');
});

afterEach(() => app.close());

async function probe(path: string): Promise<{ status: number; body: HealthCheckResult }> {
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  const response = await fetch(`http://127.0.0.1:${port}/${path}`);
  const body = (await response.json()) as HealthCheckResult & { message?: HealthCheckResult };
  return { status: response.status, body };
}

test('both probes say yes while the node is well, with the details', async () => {
  await eventually('the node to be ready', async () => (await probe('ready')).status === 200);
  expect((await probe('ready')).body).toMatchObject({
    status: 'ok',
    info: { roger: { status: 'up', state: 'running', consumers: { status: 'up', partitions: 1 } } },
  });
  expect(await probe('live')).toMatchObject({ status: 200, body: { info: { worker: { status: 'up' } } } });
});

test('an inactive node is not ready, and live', async () => {
  app.get(ClusterService).setInactive();
  const ready = await probe('ready');
  expect(ready.status).toBe(503);
  expect(ready.body).toMatchObject({
    status: 'error',
    error: { roger: { status: 'down', state: 'inactive' } },
  });
  expect((await probe('live')).status).toBe(200);
});
