// Installs PostgreSQL where that can be done without asking anybody.
import { execFile } from 'node:child_process';
import { findPostgres } from './find-postgres';

const LOCK_TIMEOUT_SECONDS = 300;
const OUTPUT_LINES_IN_LOG = 15;

/**
 * One of us at a time, by a lock on a folder that is there in any case. Exit code 101 of the policy forbids packages to
 * start services, and createcluster.conf to make a cluster: nobody asked for a server on the default port.
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
apt-get $wait -q update && apt-get $wait -q install -y --no-install-recommends postgresql-common
settings=/etc/postgresql-common/createcluster.conf
[ ! -f "$settings" ] || sed -i 's/^#\\? *create_main_cluster.*/create_main_cluster = false/' "$settings"
apt-get $wait -q install -y --no-install-recommends postgresql
`;

/**
 * Whether PostgreSQL is installed, after installing it if need be and possible: on Debian and its like, as root or with a
 * `sudo` that asks for no password. Elsewhere, or when that fails, the log tells why, and the answer is false. Several
 * processes may call it at once.
 */
export async function ensurePostgres(log: (line: string) => void = () => undefined): Promise<boolean> {
  if (await isInstalled()) return true;
  if (!(await run('apt-get', ['--version'])).ok) {
    log(
      'PostgreSQL is not installed, and there is no apt-get to install it with. Please install it by hand.',
    );
    return false;
  }
  const shell = await rootShell();
  if (shell === undefined) {
    log('PostgreSQL is not installed, and only root may: run `apt-get install postgresql`.');
    return false;
  }
  log('Installing PostgreSQL with apt-get; this takes a minute or two.');
  const { ok, output } = await run(shell.command, [...shell.args, '-c', INSTALL]);
  if (ok && (await isInstalled())) return true;
  const end = output.trimEnd().split('\n').slice(-OUTPUT_LINES_IN_LOG).join('\n');
  log(`PostgreSQL could not be installed. The end of what apt-get says:\n${end}`);
  return false;
}

async function isInstalled(): Promise<boolean> {
  if (findPostgres() === undefined) return false;
  // While another process installs it, the programs are there before what they need.
  const { ok, output } = await run('dpkg-query', [
    '--show',
    '--showformat=${db:Status-Status}\\n',
    'postgresql*',
  ]);
  const isUnderWay = (status: string): boolean =>
    ['half-installed', 'unpacked', 'half-configured'].includes(status);
  return !ok || !output.split('\n').some(isUnderWay);
}

interface Command {
  readonly command: string;
  readonly args: readonly string[];
}

/** A shell that runs as root, or undefined when we can't have one. */
async function rootShell(): Promise<Command | undefined> {
  if (process.getuid?.() === 0) return { command: '/bin/sh', args: [] };
  return (await run('sudo', ['-n', 'true'])).ok ? { command: 'sudo', args: ['-n', '/bin/sh'] } : undefined;
}

function run(command: string, args: readonly string[]): Promise<{ ok: boolean; output: string }> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, LC_ALL: 'C' }, maxBuffer: Number.POSITIVE_INFINITY };
    const child = execFile(command, args, options, (error, stdout, stderr) =>
      resolve({ ok: error === null, output: stdout + stderr }),
    );
    child.stdin?.end();
  });
}
