// Tells whether a value survives the way through JSON, and if not, where it breaks.
import type { Problem } from './errors';
import { show } from './errors';

/** How deep args may nest. */
export const MAX_DEPTH = 64;

/**
 * What keeps a value from travelling as JSON and coming out the same; empty when nothing does. Instances of plain
 * classes (DTOs) pass: their own enumerable properties travel. A property that is `undefined` counts as absent, as in
 * JSON itself.
 */
export function problemsOfJson(value: unknown, path = ''): Problem[] {
  const problems: Problem[] = [];
  // The common case is the whole value being fine; the walk allocates nothing until something isn't.
  walk(value, path, 0, problems);
  return problems;
}

function walk(value: unknown, path: string, depth: number, problems: Problem[]): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'number':
      if (!Number.isFinite(value)) problems.push({ path, message: `${value} has no place in JSON` });
      return;
    case 'undefined':
      problems.push({ path, message: 'undefined has no place in JSON; use null or leave it out' });
      return;
    case 'object':
      if (value !== null) walkObject(value, path, depth, problems);
      return;
    default:
      problems.push({ path, message: `a ${typeof value} has no place in JSON` });
  }
}

function walkObject(value: object, path: string, depth: number, problems: Problem[]): void {
  if (depth >= MAX_DEPTH) {
    problems.push({
      path: shorten(path),
      message: `it is circular, or nested deeper than ${MAX_DEPTH} levels`,
    });
    return;
  }
  try {
    const foreign = problemOfObject(value);
    if (foreign !== undefined) problems.push({ path, message: foreign });
    else if (Array.isArray(value)) walkElements(value, path, depth, problems);
    else walkProperties(value, path, depth, problems);
  } catch (error) {
    // A proxy's trap, or a toJSON that is a getter.
    problems.push({ path, message: describeUnreadable(error) });
  }
}

function walkElements(value: readonly unknown[], path: string, depth: number, problems: Problem[]): void {
  for (let index = 0; index < value.length; index++) {
    walk(value[index], `${path}[${index}]`, depth + 1, problems);
    if (problems.length >= MAX_PROBLEMS) return;
  }
}

function walkProperties(value: object, path: string, depth: number, problems: Problem[]): void {
  for (const key of Object.keys(value)) {
    if (problems.length >= MAX_PROBLEMS) return;
    if (key === '__proto__') {
      problems.push({ path, message: 'a key named "__proto__" is refused' });
      continue;
    }
    let property: unknown;
    try {
      property = (value as Record<string, unknown>)[key];
    } catch (error) {
      problems.push({ path: join(path, key), message: describeUnreadable(error) });
      continue;
    }
    if (!isHarmless(property)) walk(property, join(path, key), depth + 1, problems);
  }
}

/** Enough to mend a call by; a million wrong elements must not make a million problems. */
const MAX_PROBLEMS = 20;

/** Spares the common properties a path that nobody reads. */
function isHarmless(value: unknown): boolean {
  return (
    typeof value === 'string' || typeof value === 'boolean' || value === undefined || Number.isFinite(value)
  );
}

function problemOfObject(value: object): string | undefined {
  if (value instanceof Date) return 'a Date would come out as a string; pass date.toISOString()';
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') {
    return 'an object with toJSON would come out as something else; pass what it stands for';
  }
  if (Array.isArray(value)) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return undefined;
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1);
  return tag === 'Object'
    ? undefined
    : `a ${tag} would not come out the same; pass a plain object, array or string`;
}

function describeUnreadable(error: unknown): string {
  return `reading it throws ${show(error instanceof Error ? error.message : String(error))}`;
}

function join(path: string, key: string): string {
  const step = /^[A-Za-z_$][\w$]*$/.test(key) ? key : `[${show(key)}]`;
  return path === '' || step.startsWith('[') ? path + step : `${path}.${step}`;
}

function shorten(path: string): string {
  return path.length > 120 ? `${path.slice(0, 120)}…` : path;
}
