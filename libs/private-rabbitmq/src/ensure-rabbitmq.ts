// Installs RabbitMQ where that can be done without asking anybody.
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { findRabbitmq } from './find-rabbitmq';

const LOCK_TIMEOUT_SECONDS = 300;
const RETRY_INTERVAL_MS = 2_000;
const OUTPUT_LINES_IN_LOG = 15;

/** What apt-get says when another one is at work; it waits for some of its locks by itself, but not for all. */
const LOCKED = /could not get lock|unable to (lock|acquire)/i;

/**
 * One of us at a time, by a lock on a folder that is there in any case. Exit code 101 of the policy forbids packages to
 * start services: nobody asked for a broker on the default port.
 */
const INSTALL = `
export DEBIAN_FRONTEND=noninteractive
exec 9< /var/lib/dpkg && flock 9
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\nexit 101\\n' > "$policy" && chmod 755 "$policy"
fi
wait='-o DPkg::Lock::Timeout=${LOCK_TIMEOUT_SECONDS}'
apt-get $wait -q update && apt-get $wait -q install -y --no-install-recommends rabbitmq-server
`;

/**
 * Whether RabbitMQ is installed, after installing it if need be and possible: on Debian and its like, as root or with a
 * `sudo` that asks for no password. Elsewhere, or when that fails, the log tells why, and the answer is false. Several
 * processes may call it at once.
 */
export async function ensureRabbitmq(log: (line: string) => void = () => undefined): Promise<boolean> {
  if (await isInstalled()) return true;
  if (!(await succeeds('apt-get', ['--version']))) {
    log('RabbitMQ is not installed, and there is no apt-get to install it with. Please install it by hand.');
    return false;
  }
  const shell = await rootShell();
  if (shell === undefined) {
    log('RabbitMQ is not installed, and only root may: run `apt-get install rabbitmq-server`.');
    return false;
  }
  log('Installing RabbitMQ with apt-get; this takes a minute or two.');
  const { ok, output } = await install(shell);
  if (ok && (await isInstalled())) return true;
  log(`RabbitMQ could not be installed. The end of what apt-get says:\n${lastLines(output)}`);
  return false;
}

async function isInstalled(): Promise<boolean> {
  if (findRabbitmq() === undefined) return false;
  // While another process installs it, the scripts are there before what they need.
  const { ok, output } = await run('dpkg-query', [
    '--show',
    '--showformat=${db:Status-Status}',
    'rabbitmq-server',
  ]);
  return !ok || !['half-installed', 'unpacked', 'half-configured'].includes(output.trim());
}

async function install(shell: Command): Promise<Outcome> {
  const deadline = Date.now() + LOCK_TIMEOUT_SECONDS * 1_000;
  for (;;) {
    const outcome = await run(shell.command, [...shell.args, '-c', INSTALL]);
    if (outcome.ok || !LOCKED.test(outcome.output) || Date.now() > deadline) return outcome;
    await sleep(RETRY_INTERVAL_MS);
  }
}

interface Command {
  readonly command: string;
  readonly args: readonly string[];
}

/** A shell that runs as root, or undefined when we can't have one. */
async function rootShell(): Promise<Command | undefined> {
  if (process.getuid?.() === 0) return { command: '/bin/sh', args: [] };
  return (await succeeds('sudo', ['-n', 'true'])) ? { command: 'sudo', args: ['-n', '/bin/sh'] } : undefined;
}

async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return (await run(command, args)).ok;
}

interface Outcome {
  readonly ok: boolean;
  readonly output: string;
}

function run(command: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    // The messages that we look for would otherwise be in the user's language.
    const options = { env: { ...process.env, LC_ALL: 'C' }, maxBuffer: Number.POSITIVE_INFINITY };
    const child = execFile(command, args, options, (error, stdout, stderr) =>
      resolve({ ok: error === null, output: stdout + stderr }),
    );
    child.stdin?.end();
  });
}

function lastLines(output: string): string {
  return output.trimEnd().split('\n').slice(-OUTPUT_LINES_IN_LOG).join('\n');
}
