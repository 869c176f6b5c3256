// What is stored in a file comes back whole, or is refused: never a part, never an empty state for a damaged one.
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidOptionsError, LedgerStateError } from '../job/errors';
import { FileStatePersister } from './file-state-persister';
import { encodeStateFile } from './state-file';

const EVERY_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => byte);

let parent: string;
let directory: string;
let persister: FileStatePersister;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'roger-state-'));
  directory = join(parent, 'of', 'ledgers');
  persister = new FileStatePersister({ directory });
  await persister.init('l.0');
});

afterEach(async () => {
  await rm(parent, { recursive: true, force: true });
});

/** Stores something and gives its file. */
async function stored(id = 'l.0', data: Uint8Array = EVERY_BYTE): Promise<string> {
  const before = new Set(await readdir(directory));
  await persister.store(id, data);
  const file = (await readdir(directory)).find((name) => !before.has(name));
  if (file === undefined) throw new Error('no file was made');
  return join(directory, file);
}

async function loaded(id = 'l.0'): Promise<number[] | undefined> {
  const state = await persister.load(id);
  return state && [...state];
}

describe('storing in files', () => {
  test('nothing is there before the first store', async () => {
    expect(await persister.load('l.0')).toBeUndefined();
  });

  test.each([
    ['every byte', EVERY_BYTE],
    ['no byte', Uint8Array.of()],
    ['a megabyte', new Uint8Array(1_000_000).fill(10)],
  ])('%s comes back, in another life of the process too', async (_, data) => {
    await persister.store('l.0', data);
    const next = new FileStatePersister({ directory });
    await next.init('l.0');
    expect(Buffer.from(data).equals((await next.load('l.0')) ?? Buffer.from('none'))).toBe(true);
  });

  test('the last store counts, and leaves one file per id', async () => {
    for (const byte of [1, 2, 3]) await persister.store('l.0', Uint8Array.of(byte));
    await persister.store('l.1', Uint8Array.of(4));
    expect(await loaded('l.0')).toEqual([3]);
    expect(await loaded('l.1')).toEqual([4]);
    expect(await readdir(directory)).toHaveLength(2);
  });

  test('ids that some file systems take for one, and the longest, have files of their own', async () => {
    const ids = ['a', 'A', '.', '..', 'a.tmp', 'con', 'x'.repeat(128)];
    for (const [index, id] of ids.entries()) await persister.store(id, Uint8Array.of(index));
    const names = await readdir(directory);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(ids.length);
    for (const [index, id] of ids.entries()) expect(await loaded(id)).toEqual([index]);
  });

  test.each(['', '../up', 'a/b', 'a b', 'ä', 'x'.repeat(129)])('%j is refused as an id', async (id) => {
    for (const call of [persister.init(id), persister.load(id), persister.store(id, EVERY_BYTE)]) {
      await expect(call).rejects.toThrow(LedgerStateError);
    }
  });

  test.each(['', undefined])('%j is refused as a directory', (path) => {
    expect(() => new FileStatePersister({ directory: path as string })).toThrow(InvalidOptionsError);
  });

  test('what is done to the bytes while they are being stored changes nothing', async () => {
    const data = Uint8Array.of(1, 2);
    const storing = persister.store('l.0', data);
    data.fill(9);
    await storing;
    expect(await loaded()).toEqual([1, 2]);
  });
});

describe('a damaged state is refused, with its file and what is wrong', () => {
  test.each<[string, (content: Buffer) => Buffer, string]>([
    ['an empty file', () => Buffer.alloc(0), 'is empty'],
    ['half a file', (it) => it.subarray(0, it.length / 2), 'bytes of state where 256 were written'],
    ['half a first line', (it) => it.subarray(0, 30), 'cut off'],
    ['a file with more behind', (it) => Buffer.concat([it, Buffer.of(0)]), '257 bytes of state where 256'],
    ['one wrong byte', (it) => Buffer.from(it).fill(7, it.length - 1), 'checksum'],
    ['zeros, as after a power cut', (it) => Buffer.alloc(it.length), 'does not begin like a state'],
    ['garbage', () => Buffer.from('\n\u0000garbage'), 'does not begin like a state'],
    ['another version', (it) => replaced(it, 'state 1', 'state 2'), 'format version 2'],
    ['another id', () => encodeStateFile('l.1', EVERY_BYTE), 'the state of ledger "l.1"'],
    ['a damaged first line', (it) => replaced(it, ' 256 ', ' x '), 'first line is damaged'],
  ])('%s', async (_, damage, problem) => {
    const file = await stored();
    await writeFile(file, damage(await readFile(file)));
    const loading = persister.load('l.0');
    await expect(loading).rejects.toThrow(LedgerStateError);
    await expect(loading).rejects.toThrow(problem);
    await expect(loading).rejects.toThrow(file);
  });

  test('a symbolic link, even to a good state: neither read nor written through', async () => {
    const file = await stored();
    const target = join(parent, 'elsewhere');
    await rename(file, target);
    await symlink(target, file);
    const content = await readFile(target);
    await expect(persister.load('l.0')).rejects.toThrow('symbolic link');
    await expect(persister.store('l.0', Uint8Array.of(1))).rejects.toThrow('symbolic link');
    expect(await readFile(target)).toEqual(content);
  });

  test('what is no file', async () => {
    const file = await stored();
    await rm(file);
    await mkdir(file);
    await expect(persister.load('l.0')).rejects.toThrow('no file');
    await expect(persister.store('l.0', EVERY_BYTE)).rejects.toThrow('no file');
  });

  test('a directory that has vanished is no state that was never stored', async () => {
    await rm(directory, { recursive: true });
    await expect(persister.load('l.0')).rejects.toThrow('ENOENT');
  });
});

describe('what was cut off while it was stored', () => {
  test('a kill before the rename leaves the state before it, and init removes the rest', async () => {
    const file = await stored('l.0', Uint8Array.of(1));
    const temporary = `${file}.0b5a.tmp`;
    const ofAnother = `${await stored('l.0-other')}.0b5a.tmp`;
    await writeFile(temporary, encodeStateFile('l.0', Uint8Array.of(2)).subarray(0, 50));
    await writeFile(ofAnother, '');
    expect(await loaded()).toEqual([1]);
    await persister.init('l.0');
    expect(await loaded()).toEqual([1]);
    expect(existsSync(temporary)).toBe(false);
    // It may be under way.
    expect(existsSync(ofAnother)).toBe(true);
  });

  test('a kill before the first rename leaves no state', async () => {
    const file = await stored();
    await rename(file, `${file}.0b5a.tmp`);
    expect(await persister.load('l.0')).toBeUndefined();
    await persister.init('l.0');
    expect(await readdir(directory)).toEqual([]);
  });

  test('a store that fails leaves the state before it and no rest', async () => {
    const file = await stored('l.0', Uint8Array.of(1));
    await rename(directory, `${directory}.away`);
    await writeFile(directory, 'a file where the directory was');
    await expect(persister.store('l.0', Uint8Array.of(2))).rejects.toThrow('ENOTDIR');
    await rm(directory);
    await rename(`${directory}.away`, directory);
    expect(await loaded()).toEqual([1]);
    expect(await readdir(directory)).toEqual([file.slice(directory.length + 1)]);
  });

  test('a directory that can’t be written is told by the error of the file system', async () => {
    await persister.store('l.0', Uint8Array.of(1));
    await chmod(directory, 0o500);
    const mayWrite = await writeFile(join(directory, 'probe'), '').then(
      () => true,
      () => false,
    );
    const storing = persister.store('l.0', Uint8Array.of(2)).then(
      () => 'stored',
      (error: unknown) => (error as NodeJS.ErrnoException).code,
    );
    // Root may write everywhere; then the new state must be there instead.
    expect(await storing).toBe(mayWrite ? 'stored' : 'EACCES');
    expect(await loaded()).toEqual([mayWrite ? 2 : 1]);
    await chmod(directory, 0o700);
  });

  test('a directory that can’t be made is told at init', async () => {
    await writeFile(join(parent, 'file'), '');
    const misplaced = new FileStatePersister({ directory: join(parent, 'file', 'below') });
    await expect(misplaced.init('l.0')).rejects.toThrow('ENOTDIR');
  });
});

function replaced(content: Buffer, old: string, by: string): Buffer {
  return Buffer.from(content.toString('latin1').replace(old, by), 'latin1');
}
