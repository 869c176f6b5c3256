// Sends welcome mails through the API, as a browser or another service would.
import { PlainError } from '../plain-error';
import type { Tenant } from '../tenants';

interface Answer {
  readonly status: number;
  readonly body: string;
}

export function postWelcomeMail(apiUrl: string, tenant: Tenant, mail: object): Promise<Answer> {
  return post(`${apiUrl}/tenants/${tenant}/welcome-mails`, mail);
}

/** The job's id. @throws PlainError when the API didn't take it */
export async function enqueueOverHttp(apiUrl: string, tenant: Tenant, mail: object): Promise<string> {
  const { status, body } = await postWelcomeMail(apiUrl, tenant, mail);
  if (status !== 202) throw new PlainError(`The API answered ${status} to a welcome mail: ${body}`);
  return (JSON.parse(body) as { jobId: string }).jobId;
}

async function post(url: string, content: object): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(content),
  });
  return { status: response.status, body: await response.text() };
}
