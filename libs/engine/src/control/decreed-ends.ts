// What an operator says of a job's end, refused before anything is done where it can't be written down.
import { InvalidArgumentError } from 'nestjs-roger';
import { jsonOf } from '../records/json-of';
import type { DecreedEnd } from './decrees';

/** As `GlobalStateService.cancelJob` takes it, by which a job is ended. */
const MAX_REASON_LENGTH = 1_000;

/** @throws InvalidArgumentError */
export function failureFor(reason: unknown): DecreedEnd {
  if (typeof reason === 'string' && reason !== '' && reason.length <= MAX_REASON_LENGTH)
    return { state: 'failed', reason };
  throw new InvalidArgumentError('reason', `must say why, in 1 to ${MAX_REASON_LENGTH} characters`);
}

/** @throws InvalidArgumentError */
export function completionWith(result: unknown, maxBytes: number): DecreedEnd {
  if (result === undefined) return { state: 'done' };
  const value = jsonOf(result);
  if (value === undefined) throw new InvalidArgumentError('result', 'must be plain JSON');
  if (value.length <= maxBytes) return { state: 'done', value };
  throw new InvalidArgumentError(
    'result',
    `has ${value.length} bytes as JSON, and at most ${maxBytes} are recorded (maxRecordedBytes)`,
  );
}
