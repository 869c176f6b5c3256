// What a job may tell of how far it is.
import { InvalidArgumentError } from './errors';
import { problemsOfJson } from './json-args';

const MAX_PROGRESS_BYTES = 4 * 1024;

/** The value as it may be kept: nobody can change it afterwards. @throws InvalidArgumentError */
export function keptProgress(value: unknown): unknown {
  if (typeof value === 'number') {
    if (value >= 0 && value <= 100) return value;
    throw new InvalidArgumentError('progress', `${value} is no percentage from 0 to 100`);
  }
  const [problem] = problemsOfJson(value);
  if (problem !== undefined) {
    const where = problem.path === '' ? '' : `${problem.path}: `;
    throw new InvalidArgumentError('progress', `${where}${problem.message}`);
  }
  const text = JSON.stringify(value);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_PROGRESS_BYTES) {
    throw new InvalidArgumentError('progress', `it takes ${bytes} bytes, more than ${MAX_PROGRESS_BYTES}`);
  }
  return JSON.parse(text) as unknown;
}
