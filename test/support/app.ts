// A Nest app with Roger for one test, closed when the test ends.
import type { INestApplicationContext, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { RogerModuleOptions } from 'nestjs-roger';
import {
  GlobalStateService,
  InfoService,
  JobQueue,
  NodeInfoService,
  PartitionService,
  RogerModule,
} from 'nestjs-roger';
import { afterTest, runningTest } from './after-test';
import { RecordedLog } from './recorded-log';
import { within } from './within';

export interface TestApp {
  readonly app: INestApplicationContext;
  readonly jobs: JobQueue;
  readonly info: InfoService;
  readonly nodeInfo: NodeInfoService;
  readonly partitions: PartitionService;
  readonly globalState: GlobalStateService;
  /** The lines of all apps of this test. */
  readonly log: RecordedLog;
  /** Safe to repeat; called by itself when the test ends. */
  close(): Promise<void>;
}

const logs = new WeakMap<object, RecordedLog>();

function logOfRunningTest(): RecordedLog {
  const test = runningTest();
  const log = logs.get(test) ?? new RecordedLog();
  logs.set(test, log);
  return log;
}

/** Nest has one logger per process, and several tests may run at the same time. */
const logger = new RecordedLog(logOfRunningTest);

/** Starts an app with `RogerModule.forRoot(options)` and these providers (and, if need be, more of a module). */
export async function startApp(
  options: RogerModuleOptions,
  providers: NonNullable<ModuleMetadata['providers']> = [],
  more: ModuleMetadata = {},
): Promise<TestApp> {
  const testing = await Test.createTestingModule({
    ...more,
    imports: [RogerModule.forRoot(options), ...(more.imports ?? [])],
    providers: [...providers, ...(more.providers ?? [])],
  })
    .setLogger(logger)
    .compile();
  await testing.init();
  let closing: Promise<void> | undefined;
  const testApp: TestApp = {
    app: testing,
    jobs: testing.get(JobQueue),
    info: testing.get(InfoService),
    nodeInfo: testing.get(NodeInfoService),
    partitions: testing.get(PartitionService),
    globalState: testing.get(GlobalStateService),
    log: logOfRunningTest(),
    close: () => (closing ??= testing.close()),
  };
  afterTest('app', () => testApp.close());
  return testApp;
}

/** Resolves when every queue of the partition gets its jobs on this node. */
export function served({ partitions }: TestApp, partition: string): Promise<void> {
  return eventually(`partition ${partition} to be served`, () => partitions.isRunning(partition));
}

/**
 * Asks again and again, every few milliseconds, until the answer is yes. For states that send no signal.
 * @param standing how things stand, for the error
 */
export async function eventually(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  limitMs?: number,
  standing?: () => string,
): Promise<void> {
  let isOver = false;
  const asking = async (): Promise<void> => {
    while (!isOver && !(await isSo())) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  try {
    await within(what, asking(), standing, limitMs);
  } finally {
    isOver = true;
  }
}
