// The spool: what a dead process left is taken over whole, by one, whatever else lies in the folder.
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs, {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { RogerLog } from 'nestjs-roger';
import { bytesOf } from './lines';
import { thisProcess } from './process-identity';
import { Spool } from './spool';

const RUN_TYPESCRIPT = join(__dirname, '../../../../tools/run-typescript.cjs');

let folder: string;
let lines: string[];
let log: RogerLog;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'roger-spool-'));
  lines = [];
  const keep = (line: string): void => void lines.push(line);
  log = { log: keep, warn: keep, error: keep, debug: keep };
});
afterEach(() => rmSync(folder, { recursive: true }));

const newSpool = (maxBytes = 10_000_000): Spool => new Spool({ folder, maxBytes }, log);

function textIn(files: readonly string[]): string {
  return files.map((file) => readFileSync(file, 'utf8')).join('');
}

/** Of a process that has ended. */
const { pid } = spawnSync(process.execPath, ['-e', '']);

/** As a process that was killed leaves it. */
function leave(name: string, text: string): void {
  mkdirSync(join(folder, name));
  writeFileSync(join(folder, name, 'owner.json'), JSON.stringify({ ...thisProcess(), pid }));
  writeFileSync(join(folder, name, '1.events'), text);
}

test('what was appended is in the file before any setImmediate', async () => {
  const spool = newSpool();
  await new Promise<void>((resolve) => {
    setImmediate(() => {
      const files = readdirSync(folder).map((name) => join(folder, name, '1.events'));
      expect(textIn(files)).toBe('one\ntwo\n');
      resolve();
    });
    spool.append(bytesOf('one'));
    spool.append(bytesOf('two'));
  });
  spool.close(true);
  expect(readdirSync(folder)).toEqual([]);
});

test('who waits for what was appended has it in the file, and all of one turn wait for one write', async () => {
  const spool = newSpool();
  expect(spool.untilWritten()).toBeUndefined();
  spool.append(bytesOf('one'));
  const first = spool.untilWritten();
  await Promise.resolve();
  spool.append(bytesOf('two'));
  expect(spool.untilWritten()).toBe(first);
  await first;
  expect(textIn(readdirSync(folder).map((name) => join(folder, name, '1.events')))).toBe('one\ntwo\n');
  expect(spool.untilWritten()).toBeUndefined();
  spool.close(true);
});

test('who waits for a write that fails waits no longer', async () => {
  const spool = newSpool();
  spool.append(bytesOf('one'));
  await spool.untilWritten();
  const writeSync = jest.spyOn(fs, 'writeSync').mockImplementation(() => {
    throw new Error('no space left on device');
  });
  spool.append(bytesOf('two'));
  await spool.untilWritten();
  expect(lines).toEqual([expect.stringContaining('would leave gaps in the job history: no space left')]);
  writeSync.mockRestore();
  spool.close(true);
});

test('what a write that failed had left half-way is replaced when the next one succeeds', () => {
  jest.useFakeTimers({ doNotFake: ['nextTick'] });
  try {
    const spool = newSpool();
    spool.append(bytesOf('one'));
    spool.write();
    const whole = fs.writeSync;
    const writeSync = jest.spyOn(fs, 'writeSync').mockImplementation((fd: number, ...args: unknown[]) => {
      whole(fd, 'tw', args[3] as number);
      throw new Error('no space left on device');
    });
    spool.append(bytesOf('two'));
    spool.write();
    writeSync.mockRestore();
    jest.advanceTimersByTime(1_001);
    spool.append(bytesOf('three'));
    spool.write();
    expect(textIn(readdirSync(folder).map((name) => join(folder, name, '1.events')))).toBe(
      'one\ntwo\nthree\n',
    );
    expect(lines).toHaveLength(1);
    spool.close(true);
  } finally {
    jest.useRealTimers();
  }
});

test('a folder that can be made after all has what was appended before', () => {
  jest.useFakeTimers({ doNotFake: ['nextTick'] });
  try {
    const place = join(folder, 'place');
    writeFileSync(place, '');
    const spool = new Spool({ folder: place, maxBytes: 1_000_000 }, log);
    spool.append(bytesOf('one'));
    spool.write();
    rmSync(place);
    jest.advanceTimersByTime(1_001);
    spool.append(bytesOf('two'));
    spool.write();
    expect(textIn(readdirSync(place).map((name) => join(place, name, '1.events')))).toBe('one\ntwo\n');
    spool.close(true);
  } finally {
    jest.useRealTimers();
  }
});

test('a file whose lines all are written is used anew from the start', () => {
  const spool = newSpool();
  const line = spool.append(bytesOf('x'.repeat(100_000)));
  spool.write();
  line.release();
  spool.append(bytesOf('one'));
  spool.write();
  expect(textIn(readdirSync(folder).map((name) => join(folder, name, '1.events')))).toBe('one\n');
  spool.close(false);
});

test('what the dead left is taken over once, by one of those that try', () => {
  leave('roger-0123456789abcdef', 'x\n');
  const claimed = [newSpool(), newSpool(), newSpool()].flatMap((spool) => spool.claim());
  expect(claimed).toHaveLength(1);
  expect(textIn(claimed[0]?.files ?? [])).toBe('x\n');
});

/** Says what it has claimed when it is told to. */
const CLAIMS = `
  const { readFileSync } = require('node:fs');
  const { Spool } = require(process.argv[1]);
  const log = { log() {}, warn() {}, error() {}, debug() {} };
  process.on('message', () => {
    const claimed = new Spool({ folder: process.argv[2], maxBytes: 1e6 }, log).claim();
    process.send(claimed.flatMap(({ files }) => files.map((file) => readFileSync(file, 'utf8'))));
  });
  process.send('ready');
`;

async function startClaimant(): Promise<ChildProcess> {
  const args = ['-r', RUN_TYPESCRIPT, '-e', CLAIMS, join(__dirname, 'spool.ts'), folder];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await once(child, 'message');
  return child;
}

test('of two processes that claim at once each legacy goes to one', async () => {
  const legacies = Array.from({ length: 100 }, (_, index) => String(index).padStart(3, '0'));
  for (const text of legacies) leave(`roger-0000000000000${text}`, text);
  const claimants = await Promise.all([startClaimant(), startClaimant()]);
  const claimed = claimants.map((child) => once(child, 'message') as Promise<[string[]]>);
  for (const child of claimants) child.send('claim');
  const texts = (await Promise.all(claimed)).map(([each]) => each);
  const ended = claimants.map((child) => once(child, 'exit'));
  for (const child of claimants) child.disconnect();
  await Promise.all(ended);
  expect(texts.flat().sort()).toEqual(legacies);
});

test('who dies with what it took over leaves both', () => {
  leave('roger-0123456789abcdef', 'first\n');
  const second = newSpool();
  second.append(bytesOf('second'));
  expect(second.claim()).toHaveLength(1);
  second.close(false);
  const [legacy] = newSpool().claim();
  expect(
    textIn(legacy?.files ?? [])
      .split('\n')
      .sort(),
  ).toEqual(['', 'first', 'second']);
  legacy?.remove();
});

test('what belongs to a process that lives, or to nobody known, stays', () => {
  const other = newSpool();
  other.append(bytesOf('mine'));
  other.write();
  mkdirSync(join(folder, 'roger-00000000000000ff'));
  writeFileSync(join(folder, 'roger-00000000000000ff', 'owner.json'), '{torn');
  mkdirSync(join(folder, 'lost+found'));
  writeFileSync(join(folder, 'notes.txt'), 'hello');
  expect(newSpool().claim()).toEqual([]);
  expect(lines).toEqual([]);
});

test.each([
  ['is left alone for a minute', 59, 0],
  ['counts as gone after a minute', 61, 1],
])('a process that can not be seen from here and is silent %s', (_what, seconds, claimed) => {
  const name = 'roger-0123456789abcdef';
  leave(name, 'x\n');
  const owner = join(folder, name, 'owner.json');
  writeFileSync(owner, JSON.stringify({ ...thisProcess(), place: 'another container' }));
  const at = Date.now() / 1_000 - seconds;
  utimesSync(owner, at, at);
  expect(newSpool().claim()).toHaveLength(claimed);
});

test('a process that lives is never silent for long, whether it has anything to keep or not', () => {
  jest.useFakeTimers();
  try {
    const spool = newSpool();
    spool.append(bytesOf('one'));
    spool.write();
    const [own = ''] = readdirSync(folder);
    const owner = join(folder, own, 'owner.json');
    for (let seconds = 0; seconds < 120; seconds += 15) {
      jest.advanceTimersByTime(15_000);
      expect(Date.now() - statSync(owner).mtimeMs).toBeLessThan(30_000);
    }
    spool.close(true);
    expect(jest.getTimerCount()).toBe(0);
  } finally {
    jest.useRealTimers();
  }
});

test('a process of the same id that started later is not taken for the owner', () => {
  const name = 'roger-0123456789abcdef';
  leave(name, 'x\n');
  const { startedAt } = thisProcess();
  const owner = { ...thisProcess(), startedAt: startedAt === 0 ? 0 : startedAt - 1 };
  writeFileSync(join(folder, name, 'owner.json'), JSON.stringify(owner));
  expect(newSpool().claim()).toHaveLength(startedAt === 0 ? 0 : 1);
});

test('files go when the database has what is in them, and the oldest when there are too many', () => {
  const spool = newSpool(2_000_000);
  const line = 'x'.repeat(500_000);
  const written = [1, 2, 3].map(() => {
    const appended = spool.append(bytesOf(line));
    spool.write();
    return appended;
  });
  for (const appended of written) appended.release();
  const filesOf = (): string[] => readdirSync(join(folder, readdirSync(folder)[0] ?? ''));
  expect(filesOf().filter((name) => name.endsWith('.events')).length).toBeLessThanOrEqual(1);
  for (let index = 0; index < 12; index++) {
    spool.append(bytesOf(line));
    spool.write();
  }
  expect(filesOf().filter((name) => name.endsWith('.events')).length).toBeLessThanOrEqual(3);
  expect(lines).toHaveLength(1);
  spool.close(false);
});

test('files that are taken over come in the order in which they were written', () => {
  const spool = newSpool(20_000_000);
  const names = Array.from({ length: 11 }, (_, index) => `${index + 1}.events`);
  for (const name of names) {
    spool.append(bytesOf(name.padEnd(1_100_000)));
    spool.write();
  }
  spool.close(false);
  const [legacy] = newSpool().claim();
  expect(legacy?.files.map((file) => basename(file))).toEqual(names);
});

test('a folder that can not be made stops nothing, and is said once', () => {
  appendFileSync(join(folder, 'file'), '');
  const spool = new Spool({ folder: join(folder, 'file'), maxBytes: 1_000 }, log);
  spool.append(bytesOf('one'));
  spool.append(bytesOf('two'));
  expect(spool.claim()).toEqual([]);
  spool.close(false);
  expect(lines).toHaveLength(1);
});
