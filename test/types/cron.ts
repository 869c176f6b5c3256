// What recurring jobs take by their types. Nothing here runs: `npm run types` compiles it, and a line
// under @ts-expect-error that would compile after all fails it.
import type { CronService } from 'nestjs-roger';
import { RogerCron, RogerJob } from 'nestjs-roger';

declare const crons: CronService;

@RogerJob()
@RogerCron('@hourly', { args: { kind: 'short' } })
class Report {
  perform(args: { kind: string }): string {
    return args.kind;
  }
}

export async function schedules(): Promise<void> {
  await crons.schedule('acme', 'report', Report, '@hourly', { args: { kind: 'short' } });
  // @ts-expect-error no such args
  await crons.schedule('acme', 'report', Report, '@hourly', { args: { kind: 7 } });
  // @ts-expect-error no such way to catch up
  await crons.schedule('acme', 'report', Report, '@hourly', { catchUp: 'all' });
  // @ts-expect-error no job class
  await crons.schedule('acme', 'report', 'Report', '@hourly');
}

// @ts-expect-error no such option
RogerCron('@hourly', { timezone: 'UTC' });
