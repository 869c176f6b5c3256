// Errors as they travel from thread to thread, where a copy would lose its class and its fields.
import * as errors from './errors';

/** What is left of an error. */
export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** What it carries besides, such as a `code`, as far as it is plain. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly cause: ErrorRecord | undefined;
}

export function recordOf(error: Error): ErrorRecord {
  const { name, message, stack, cause } = error;
  const fields = Object.entries(error).filter(([key, value]) => isPlain(value) && !OWN.has(key));
  return {
    name,
    message,
    stack,
    fields: Object.fromEntries(fields),
    cause: cause instanceof Error && cause !== error ? recordOf(cause) : undefined,
  };
}

/** An error of Roger's has its class again; any other is an Error with the name and the fields of the one that it was. */
export function errorOf({ name, message, stack, fields, cause }: ErrorRecord): Error {
  const error = new Error(message, cause === undefined ? {} : { cause: errorOf(cause) });
  const known: unknown = Object.hasOwn(errors, name) ? errors[name as keyof typeof errors] : undefined;
  if (typeof known === 'function' && known.prototype instanceof errors.RogerError) {
    Object.setPrototypeOf(error, known.prototype);
  }
  Object.assign(error, fields);
  Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  if (stack !== undefined) {
    Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true });
  }
  return error;
}

const OWN: ReadonlySet<string> = new Set(['name', 'message', 'stack', 'cause']);

function isPlain(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean', 'undefined', 'bigint'].includes(typeof value);
}
