// Tells whether the process that owns a file is gone: by its id and start where it can be seen from here, else by its silence.
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessIdentity {
  /** Where its id means something: the host since its start, and the namespace of process ids (of a container). */
  readonly place: string;
  readonly pid: number;
  /** Tells it from a later process of the same id; where the system doesn't say, 0. */
  readonly startedAt: number;
}

/** An owner that can't be seen says every few seconds that it is there. */
const SILENCE_MS = 60_000;

export function thisProcess(): ProcessIdentity {
  return { place: placeOf(), pid: process.pid, startedAt: startOf(process.pid) };
}

/**
 * @param owner a {@link ProcessIdentity} as JSON
 * @param file that it touches while it lives
 * @returns false for what is no such thing
 */
export function isGone(owner: string, file: string): boolean {
  const { place, pid, startedAt } = identityOf(owner) ?? {};
  if (place === undefined || pid === undefined) return false;
  if (place === placeOf()) {
    if (!isAlive(pid)) return true;
    if (startedAt !== 0 && startedAt === startOf(pid)) return false;
    if (startedAt !== 0 && startOf(pid) !== 0) return true;
  }
  return Date.now() - statSync(file).mtimeMs > SILENCE_MS;
}

function identityOf(text: string): ProcessIdentity | undefined {
  try {
    const { place, pid, startedAt } = JSON.parse(text) as Partial<ProcessIdentity>;
    const isWhole = typeof place === 'string' && Number.isInteger(pid) && Number.isInteger(startedAt);
    return isWhole ? { place, pid: pid as number, startedAt: startedAt as number } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function placeOf(): string {
  const boot = textOr('', () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const namespace = textOr('', () => readlinkSync('/proc/self/ns/pid'));
  return `${hostname()} ${boot} ${namespace}`;
}

/** In ticks since the start of the system; 0: not known. */
function startOf(pid: number): number {
  const text = textOr('', () => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  // The name, in brackets, may have any character.
  const start = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
  return Number.isInteger(start) ? start : 0;
}

function textOr(otherwise: string, read: () => string): string {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
