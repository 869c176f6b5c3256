// The slow kind: renders page after page, and stops between two when it is told to.
import { setTimeout as sleep } from 'node:timers/promises';
import { RogerJob, type JobContext, type JobHandler } from 'nestjs-roger';

interface Report {
  readonly month: string;
  readonly pages: number;
}

@RogerJob({ name: 'report', queue: 'reports' })
export class ReportJob implements JobHandler<Report> {
  async perform({ month, pages }: Report, { signal, logger }: JobContext): Promise<void> {
    for (let page = 1; page <= pages; page++) {
      signal.throwIfAborted();
      await renderPage();
    }
    logger.log(`${pages} pages for ${month}`);
  }
}

async function renderPage(): Promise<void> {
  await sleep(100);
}
