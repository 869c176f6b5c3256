// What the reader should know before the numbers run.
import { TENANTS } from '../tenants';
import { postWelcomeMail } from './over-http';
import type { Load } from './workload';

export async function introductionOf(
  transport: string,
  apiUrl: string,
  loads: readonly Load[],
): Promise<string[]> {
  const wrong = { userId: 1, address: 'nobody' };
  const { status, body } = await postWelcomeMail(apiUrl, 'acme', wrong);
  const overHttp = loads.map(({ partition, mailsOverHttp }) => `${mailsOverHttp} of ${partition}`);
  return [
    `  Transport   ${transport}`,
    `  API app     enqueues; takes mails over HTTP, ${overHttp.join(' and ')}, and refuses wrong ones:`,
    `              POST ${apiUrl}/tenants/acme/welcome-mails ${JSON.stringify(wrong)}`,
    `              → ${status} ${body}`,
    `  Worker app  runs at once: ${describeTenants()}`,
    '  Jobs        welcome-mail: quick; report: slow; contact-sync: fails once or twice and is retried;',
    '              card-charge: always fails, and is buried after its only retry',
    '',
  ];
}

/** `acme 10 mail, 4 reports, 5 default; globex …` */
function describeTenants(): string {
  const entries = Object.entries(TENANTS).map(([tenant, queues]) => {
    const counts = Object.entries(queues).map(
      ([queue, options]) => `${typeof options === 'number' ? options : options.maxWorkers} ${queue}`,
    );
    return `${tenant} ${counts.join(', ')}`;
  });
  return entries.join('; ');
}
