// Keeps the state of ledgers in files: each written whole beside the old one, then put in its place.
import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InvalidOptionsError, LedgerStateError } from '../job/errors';
import { describe } from '../job/names';
import { decodeStateFile, encodeStateFile } from './state-file';
import type { StatePersister } from './state-persister';

export interface FileStatePersisterOptions {
  /** Where the files are; made when there is none. Each ledger has one file. */
  directory: string;
}

const STATE_ID = /^[A-Za-z0-9_.-]{1,128}$/;

/**
 * A stored state outlives the process and the machine's power: it is on the disk, under its name, when `store` resolves.
 * A crash at any moment leaves the old state or the new one, never a part. What it can't read in full, it refuses with
 * {@link LedgerStateError}; errors of the file system come as they are. It is no lock between processes: the directory
 * belongs to the keeper of a ledger at a time. Any node of an app can become that, so all must see the same directory.
 *
 * @throws InvalidOptionsError
 *
 * @example
 * ```ts
 * import { FileStatePersister } from 'nestjs-roger';
 *
 * export const persister = new FileStatePersister({ directory: '/var/lib/my-app/roger' });
 * ```
 */
export class FileStatePersister implements StatePersister {
  private readonly directory: string;

  constructor({ directory }: FileStatePersisterOptions) {
    if (typeof directory !== 'string' || directory === '') {
      const message = `${describe(directory)} is no directory: a path that is not empty`;
      throw new InvalidOptionsError([{ path: 'directory', message }]);
    }
    this.directory = resolve(directory);
  }

  async init(id: string): Promise<void> {
    const unfinished = `${fileNameOf(id)}.`;
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.directory)) {
      if (name.startsWith(unfinished) && name.endsWith('.tmp')) {
        await rm(join(this.directory, name), { force: true });
      }
    }
  }

  async load(id: string): Promise<Uint8Array | undefined> {
    const path = this.pathOf(id);
    if (!(await this.isStored(id, path))) return undefined;
    const content = await readFile(path, { flag: constants.O_RDONLY | constants.O_NOFOLLOW });
    const state = decodeStateFile(id, content);
    if ('problem' in state) throw damaged(id, path, state.problem);
    return state.data;
  }

  async store(id: string, data: Uint8Array): Promise<void> {
    const path = this.pathOf(id);
    const content = encodeStateFile(id, data);
    await this.isStored(id, path);
    const temporary = `${path}.${randomUUID()}.tmp`;
    try {
      await writeToDisk(temporary, content);
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    await this.bringDirectoryToDisk();
  }

  private pathOf(id: string): string {
    return join(this.directory, fileNameOf(id));
  }

  /** @throws LedgerStateError when something else than a file stands there */
  private async isStored(id: string, path: string): Promise<boolean> {
    try {
      const found = await lstat(path);
      if (found.isSymbolicLink()) throw damaged(id, path, 'it is a symbolic link');
      if (!found.isFile()) throw damaged(id, path, 'it is no file');
      return true;
    } catch (error) {
      if (!isMissing(error)) throw error;
      // A directory that has vanished (a volume that is not mounted) is no state that was never stored.
      await stat(this.directory);
      return false;
    }
  }

  /** A rename is on the disk when its directory is. */
  private async bringDirectoryToDisk(): Promise<void> {
    // Windows opens no directories, and keeps its own journal of names.
    if (process.platform === 'win32') return;
    const directory = await open(this.directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** With a hash, for on some file systems `A` and `a` are one name; with a prefix, for some names are devices. */
function fileNameOf(id: string): string {
  if (!STATE_ID.test(id)) {
    throw new LedgerStateError(id, 'its id is not 1 to 128 of the characters A-Z, a-z, 0-9, _ . and -');
  }
  return `ledger-${id}-${createHash('sha256').update(id).digest('hex').slice(0, 8)}.state`;
}

async function writeToDisk(path: string, content: Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

function damaged(id: string, path: string, problem: string): LedgerStateError {
  return new LedgerStateError(id, `file ${path}: ${problem}`);
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === 'ENOENT';
}
