// The life of a private server: started, killed, started again, and gone without a trace.
import type { ChildProcess } from 'node:child_process';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { chownSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { findPostgres } from './find-postgres';

const START_TIMEOUT_MS = 60_000;
const POLL_INTERVAL_MS = 50;
const LOG_LINES_IN_ERRORS = 30;
/** The server refuses to run as root. */
const USER = 'postgres';

/** Each line names the server to kill, an empty one none. The end of the input is the end of the parent, however it died. */
const WATCHDOG = `
trap '' HUP INT TERM
pid=
while read -r line; do pid=$line; done
[ -z "$pid" ] || kill -QUIT "$pid" 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9; do
  sleep 0.3
  rm -rf "$1" 2>/dev/null && exit
done
`;

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Starts a PostgreSQL server of one's own: on a loopback port of its own, in a temporary folder of its own, beside any
 * other of the machine; as the user who calls, or where that is root as the user `postgres`.
 *
 * It never outlives the calling process, however that ends, and doesn't keep it alive either. What is written is not
 * forced to the disk: enough for tests and benchmarks of programs, not of disks.
 *
 * @throws when PostgreSQL isn't installed, or when the server doesn't come up; the message ends with its last log lines
 * @example
 * const postgres = await startPrivatePostgres();
 * const client = new Client({ connectionString: postgres.uri });
 * // …
 * await postgres.stop();
 */
export async function startPrivatePostgres(): Promise<PrivatePostgres> {
  const programs = findPostgres();
  if (programs === undefined) {
    throw new Error('PostgreSQL is not installed: no initdb on the PATH nor where Debian puts it.');
  }
  const folder = mkdtempSync(join(tmpdir(), 'private-postgres-'));
  const owner = ownerOf(folder);
  const data = join(folder, 'data');
  mkdirSync(data, { mode: 0o700 });
  if (owner !== undefined) chownSync(data, owner.uid, owner.gid);
  await promisify(execFile)(
    join(programs, 'initdb'),
    [
      '--pgdata',
      data,
      '--username',
      USER,
      '--auth',
      'trust',
      '--no-sync',
      '--encoding',
      'UTF8',
      '--locale',
      'C.UTF-8',
    ],
    { ...owner, cwd: folder },
  );
  const server = new PrivatePostgres(programs, folder, await freePort(), owner);
  try {
    await server.start();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** A PostgreSQL server of one's own; see {@link startPrivatePostgres}. Port and data stay the same until {@link stop}. */
export class PrivatePostgres {
  private readonly watchdog: ChildProcess;
  private server: ChildProcess | undefined;

  /** @internal */
  constructor(
    private readonly programs: string,
    private readonly folder: string,
    readonly port: number,
    private readonly owner: Owner | undefined,
  ) {
    this.watchdog = spawn('/bin/sh', ['-c', WATCHDOG, 'private-postgres-watchdog', folder], {
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.watchdog.unref();
    const { stdin } = this.watchdog;
    if (stdin instanceof Socket) stdin.unref();
    stdin?.on('error', () => undefined);
    this.watchdog.on('error', () => undefined);
  }

  /** Where clients connect. */
  get uri(): string {
    return `postgres://${USER}@127.0.0.1:${this.port}/postgres`;
  }

  /** Starts a server that was killed; resolves when it serves clients, at once when it does already. */
  async start(): Promise<void> {
    if (this.server !== undefined) return;
    const log = openSync(this.logFile, 'a');
    const server = spawn(
      join(this.programs, 'postgres'),
      [
        ...['-D', join(this.folder, 'data'), '-p', String(this.port), '-k', join(this.folder, 'data')],
        ...['-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off', '-c', 'max_connections=100'],
      ],
      { ...this.owner, cwd: this.folder, stdio: ['ignore', log, log], detached: true },
    );
    closeSync(log);
    server.unref();
    server.once('error', () => undefined);
    server.once('exit', () => {
      if (this.server !== server) return;
      this.server = undefined;
      this.watch(undefined);
    });
    this.server = server;
    this.watch(server.pid);
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await serves(this.port))) {
      if (this.server !== server || Date.now() > deadline) {
        throw new Error(
          `The private PostgreSQL did not come up. Its last log lines:\n${this.lastLogLines()}`,
        );
      }
      await sleep(POLL_INTERVAL_MS);
    }
  }

  /** Ends the server at once, as a crash would; resolves when it is gone. What was committed is kept. */
  async kill(): Promise<void> {
    const { server } = this;
    if (server === undefined) return;
    const gone = new Promise((resolve) => server.once('exit', resolve));
    // SIGKILL would leave its children behind, who have the memory that the next start wants.
    server.kill('SIGQUIT');
    server.ref();
    await gone;
  }

  /** Ends the server for good and removes its folder. Calling it again changes nothing. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    const { watchdog } = this;
    if (watchdog.pid === undefined || watchdog.exitCode !== null || watchdog.signalCode !== null) return;
    watchdog.ref();
    const exited = new Promise((resolve) => watchdog.once('exit', resolve));
    watchdog.stdin?.end();
    await exited;
  }

  private get logFile(): string {
    return join(this.folder, 'server.log');
  }

  private watch(pid: number | undefined): void {
    this.watchdog.stdin?.write(`${pid ?? ''}\n`);
  }

  private lastLogLines(): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_IN_ERRORS).join('\n');
  }
}

/** Version 3 of the protocol, and who we are. */
const GREETING = Buffer.from(`\0\x03\0\0user\0${USER}\0database\0postgres\0\0`, 'latin1');
/** First byte of the message by which a server lets us in; while it starts or recovers it sends an error. */
const WELCOME = 'R'.charCodeAt(0);
const ANSWER_TIMEOUT_MS = 1_000;

/** Whether the server lets a client in. */
function serves(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const answer = (isServing: boolean): void => {
      socket.destroy();
      resolve(isServing);
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => answer(false));
    socket.once('error', () => answer(false));
    socket.once('close', () => answer(false));
    socket.once('connect', () => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(GREETING.length + 4);
      socket.write(Buffer.concat([length, GREETING]));
    });
    socket.once('data', (data) => answer(data[0] === WELCOME));
  });
}

/** Whom the folder belongs to from here on; undefined: who calls. */
function ownerOf(folder: string): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const idOf = (which: '-u' | '-g'): number =>
    Number(execFileSync('id', [which, USER], { encoding: 'utf8' }));
  const owner = { uid: idOf('-u'), gid: idOf('-g') };
  chownSync(folder, owner.uid, owner.gid);
  return owner;
}

/** A loopback port on which nobody listens, below the range of outgoing connections: it is kept over restarts. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_240, 32_768);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
