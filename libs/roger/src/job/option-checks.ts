// Checks values that a user gives as options: each check says what is wrong, and where.
import type { Problem } from './errors';
import { describe } from './names';
import { nearest } from './nearest';

/** @returns what is wrong with the value; `path` says where it stands. */
export type Check = (value: unknown, path: string) => Problem[];

/** Checks the fields that are there; a field that is undefined counts as left out. */
export function problemsOfFields(
  value: object,
  checks: Readonly<Record<string, Check>>,
  parent: string,
): Problem[] {
  const known = Object.keys(checks);
  return Object.entries(value).flatMap(([key, field]: [string, unknown]) => {
    const path = parent === '' ? key : `${parent}.${key}`;
    if (!Object.hasOwn(checks, key)) {
      return [{ path: describe(path), message: `unknown option${nearest(key, known)}` }];
    }
    return field === undefined ? [] : (checks[key]?.(field, path) ?? []);
  });
}

/** What can hold options by name: no list, no Map. */
export function isRecord(value: unknown): value is object {
  return Object.prototype.toString.call(value) === '[object Object]';
}

export function wholeNumber(min: number, max: number, unit: string): Check {
  return (value, path) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? []
      : [
          {
            path,
            message: `must be a whole number of ${unit} from ${min} to ${max}, not ${describe(value)}`,
          },
        ];
}

export function problemIf(path: string, message: string | undefined): Problem[] {
  return message === undefined ? [] : [{ path, message }];
}
