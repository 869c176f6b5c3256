// The demo from begin to end: carrier, API app, worker app, work, summary.
import { InfoService, NodeInfoService } from 'nestjs-roger';
import { startApi, startWorker } from './apps';
import { buriedByQueue, buriedSince } from './buried';
import { openCarrier } from './carrier';
import { Closers } from './closers';
import { displayOn } from './display';
import { introductionOf } from './introduction';
import { LiveReport } from './live-report';
import { QuietLogger } from './quiet-logger';
import { settingsOf, type DemoSettings } from './settings';
import { STOPPED_EXIT_CODE, StopRequest, stopRequested, unlessStopped } from './stop-request';
import { summaryOf } from './summary';
import { Tally } from './tally';
import { workOff } from './work';
import { loadsAt, Workload } from './workload';

/** Bounds of what should take a moment; beyond them the process ends all the same. */
const START_LIMIT_SECONDS = 30;
const CLOSE_LIMIT_SECONDS = 15;

const say = (line: string): void => console.log(line);

/** Resolves to the exit code. @throws PlainError when the demo can't run, or a job is missing */
export async function runDemo(): Promise<number> {
  const settings = settingsOf(process.env);
  const stop = stopRequested();
  const closers = new Closers();
  try {
    await demonstrate(settings, stop, closers);
    return 0;
  } catch (error) {
    if (error instanceof StopRequest) return STOPPED_EXIT_CODE;
    throw error;
  } finally {
    endAfter(CLOSE_LIMIT_SECONDS);
    await closers.closeAll();
    // What was still starting when the stop came has nobody who would close it.
    if (stop.aborted) process.exit(STOPPED_EXIT_CODE);
  }
}

async function demonstrate(settings: DemoSettings, stop: AbortSignal, closers: Closers): Promise<void> {
  const logger = new QuietLogger();
  const loads = loadsAt(settings.scale);
  say('Roger for NestJS: the quickstart');

  const opened = await unlessStopped(stop, openCarrier(settings, say));
  closers.add(opened.close);
  endAfter(START_LIMIT_SECONDS + settings.limitSeconds + CLOSE_LIMIT_SECONDS);
  const api = await unlessStopped(stop, startApi(opened.carrier, logger, closers));
  const info = api.app.get(InfoService);
  const buriedBefore = await buriedByQueue(info);
  const worker = await unlessStopped(stop, startWorker(opened.carrier, logger, closers));
  const transport = `${info.transportInfo().transport} (${opened.description})`;
  for (const line of await introductionOf(transport, api.url, loads)) say(line);

  const tally = worker.app.get(Tally);
  const nodeInfo = worker.app.get(NodeInfoService);
  const report = new LiveReport({ tally, info, nodeInfo }, logger, displayOn(process.stdout));
  const seconds = await workOff({
    loads,
    limitSeconds: settings.limitSeconds,
    stop,
    apiUrl: api.url,
    workload: api.app.get(Workload),
    tally,
    nodeInfo,
    report,
    unfinished: opened.unfinished,
  });

  // What the worker has settled is with the broker for sure once it has closed.
  await worker.close();
  const accounts = tally.accounts();
  const buried = buriedSince(buriedBefore, await buriedByQueue(info), accounts);
  const summary = summaryOf({
    accounts,
    seconds,
    transport,
    graves: buried.map(({ partition, queue, count }) => ({
      name: opened.buriedName(partition, queue),
      count,
    })),
    reason: tally.firstReason,
    afterwards: opened.afterwards,
    strangers: tally.strangers,
    logCounts: logger.counts,
  });
  for (const line of ['', ...summary]) say(line);
}

/** Whatever hangs then, the demo doesn't. */
function endAfter(limitSeconds: number): void {
  setTimeout(() => {
    console.error(`The demo did not come to its end within ${limitSeconds} s, so it was cut short.`);
    process.exit(1);
  }, limitSeconds * 1_000).unref();
}
