// Packs what a command is given and returns as the part of a mail, and reads it again: plain JSON of bounded size.
import { problemsOfJson } from '../job/json-args';
import type { Frame } from '../ledger/frame';

/** What can't travel, or did not arrive whole, and why. */
export class PayloadError extends Error {}

/** @returns no part for undefined. @throws PayloadError */
export function encodePayload(value: unknown, maxBytes: number): readonly Buffer[] {
  if (value === undefined) return [];
  refuseForeign(value);
  const bytes = Buffer.from(JSON.stringify(value));
  if (bytes.length > maxBytes) {
    throw new PayloadError(`it takes ${bytes.length} bytes, more than the ${maxBytes} of maxJobBytes`);
  }
  return [bytes];
}

/** Of unknown origin. @throws PayloadError */
export function decodePayload(frame: Frame, maxBytes: number): unknown {
  if (frame.count === 0) return undefined;
  const bytes = frame.part(0);
  if (bytes.length > maxBytes) {
    throw new PayloadError(`it takes ${bytes.length} bytes, more than the ${maxBytes} of maxJobBytes`);
  }
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw new PayloadError('it is not JSON');
  }
  refuseForeign(value);
  return value;
}

function refuseForeign(value: unknown): void {
  const problems = problemsOfJson(value);
  if (problems.length === 0) return;
  const shown = problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  throw new PayloadError(shown.join('; '));
}
