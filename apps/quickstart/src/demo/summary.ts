// The end of the demo in words: what went in, what became of it, and where the rest is.
import { TENANTS } from '../tenants';
import { sum } from './sum';
import { tableOf } from './table';
import type { Account } from './tally';

export interface Summary {
  readonly accounts: readonly Account[];
  readonly seconds: number;
  /** What carried the jobs, e.g. `RabbitMQ 3.10.8 (a private one)`. */
  readonly transport: string;
  /** Where buried jobs stand, and how many of them. */
  readonly graves: readonly { readonly name: string; readonly count: number }[];
  /** Why the first of them was buried. */
  readonly reason: string | undefined;
  /** What becomes of them after the demo, in lines. */
  readonly afterwards: readonly string[];
  /** How many jobs of an earlier run were worked off besides. */
  readonly strangers: number;
  readonly logCounts: string;
}

export function summaryOf(summary: Summary): string[] {
  const { accounts, seconds, transport, graves, reason, afterwards, strangers, logCounts } = summary;
  const all = totalOf(accounts);
  const rows = [
    ['tenant', 'job', 'enqueued', 'done', 'retries', 'buried'],
    ...inOrder(accounts).map(rowOf),
    rowOf(all),
  ];
  return [
    `All ${all.enqueued} jobs are accounted for: ${all.done} done, ${all.buried} buried.`,
    '',
    ...tableOf(rows).map((line) => `  ${line}`),
    '',
    `  Time        ${seconds.toFixed(1)} s: ${Math.round(all.enqueued / seconds)} jobs/s, as fast as maxWorkers lets the jobs wait side by side`,
    `  Transport   ${transport}`,
    `  Buried      ${graves.map(({ name, count }) => `${count} in ${name}`).join(', ')}`,
    ...(reason === undefined ? [] : [`              The first because ${reason}.`]),
    ...afterwards.map((line) => `              ${line}`),
    `  Log         ${logCounts}; each retry warns, each buried job is an error`,
    ...(strangers === 0
      ? []
      : [`  Besides     ${strangers} jobs that an earlier run had left on the broker`]),
  ];
}

/** Says how far a run got that was stopped. */
export function progressOf(accounts: readonly Account[], unfinished: string): string {
  const { enqueued, done, buried } = totalOf(accounts);
  return `Stopped: ${done} of ${enqueued} jobs were done and ${buried} buried. ${unfinished}`;
}

/** Says which jobs have not ended. */
export function missingOf(accounts: readonly Account[], limitSeconds: number): string {
  const missing = accounts
    .map((account) => ({ ...account, count: account.enqueued - account.done - account.buried }))
    .filter(({ count }) => count > 0);
  const list = missing.map(({ count, name, partition }) => `${count} ${name} of ${partition}`).join(', ');
  return (
    `${sum(missing.map(({ count }) => count))} of ${totalOf(accounts).enqueued} jobs are unaccounted for ` +
    `after ${limitSeconds} s: ${list}.`
  );
}

function totalOf(accounts: readonly Account[]): Account {
  return {
    partition: 'total',
    name: '',
    enqueued: sum(accounts.map(({ enqueued }) => enqueued)),
    done: sum(accounts.map(({ done }) => done)),
    retries: sum(accounts.map(({ retries }) => retries)),
    buried: sum(accounts.map(({ buried }) => buried)),
  };
}

function rowOf({ partition, name, enqueued, done, retries, buried }: Account): (string | number)[] {
  return [partition, name, enqueued, done, retries, buried];
}

/** By tenant, and of each the quick kinds first, which are enqueued last. */
function inOrder(accounts: readonly Account[]): Account[] {
  const tenants = Object.keys(TENANTS);
  return [...accounts].reverse().sort((a, b) => tenants.indexOf(a.partition) - tenants.indexOf(b.partition));
}
