// What a thread throws is the same error in the process, as far as it can be.
import {
  DeliveryLostError,
  InvalidArgumentError,
  JobCancelledError,
  JobTimeoutError,
  RogerError,
} from './errors';
import { errorOf, recordOf } from './error-record';

function travelled(error: Error): Error {
  return errorOf(structuredClone(recordOf(error)));
}

test.each([
  new JobCancelledError('enough'),
  new JobTimeoutError(500, 'test', { cause: new TypeError('why') }),
  new DeliveryLostError('cut'),
  new InvalidArgumentError('key', 'is none'),
])("an error of Roger's keeps its class, its code and its fields: %s", (error) => {
  const copy = travelled(error);
  expect(copy).toBeInstanceOf(error.constructor);
  expect(copy).toBeInstanceOf(RogerError);
  expect(copy).toMatchObject(Object.fromEntries(Object.entries(error)));
  expect(copy).toMatchObject({ name: error.name, message: error.message, stack: error.stack });
  expect((copy.cause as Error | undefined)?.message).toBe((error.cause as Error | undefined)?.message);
});

test('any other is an Error with its name and its plain fields', () => {
  const copy = travelled(Object.assign(new RangeError('far'), { code: 'E_FAR', bulk: { a: 1 }, f: () => 1 }));
  expect(copy.constructor).toBe(Error);
  expect(copy).toMatchObject({ name: 'RangeError', message: 'far', code: 'E_FAR' });
  expect(copy).not.toHaveProperty('bulk');
});

test.each(['constructor', '__proto__', 'show', 'RogerError'])(
  'a name like %s makes no class of it',
  (name) => {
    const error = Object.assign(new Error('x'), { name });
    expect(() => travelled(error)).not.toThrow();
    expect(travelled(error)).toMatchObject({ name, message: 'x' });
  },
);
