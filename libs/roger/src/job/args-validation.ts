// Checks args against the DTO of a job and makes an instance of it.
import { plainToInstance } from 'class-transformer';
import type { ValidationError } from 'class-validator';
import { getMetadataStorage, validate } from 'class-validator';
import type { Problem } from './errors';
import { show } from './errors';
import type { Class } from './job-definition';

/** Whether class-validator knows any rule of the class; a DTO without rules would let everything through unseen. */
export function hasRules(argsClass: Class): boolean {
  return getMetadataStorage().getTargetValidationMetadatas(argsClass, '', false, false).length > 0;
}

/** The args as an instance of the DTO, or what is wrong with them, field by field. */
export async function checkArgs(
  argsClass: Class,
  args: unknown,
): Promise<{ readonly args: object } | { readonly problems: readonly Problem[] }> {
  if (typeof args !== 'object' || args === null || Array.isArray(args)) {
    return { problems: [{ path: '', message: `args must be an object of the shape ${argsClass.name}` }] };
  }
  try {
    const instance: object = plainToInstance(argsClass as new () => object, args);
    const errors = await validate(instance, { forbidUnknownValues: false });
    return errors.length === 0
      ? { args: instance }
      : { problems: errors.flatMap((error) => problemsOf(error)) };
  } catch (thrown) {
    // A transformer or validator of the DTO's own threw on this content.
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return { problems: [{ path: '', message: `checking them threw ${show(message)}` }] };
  }
}

function problemsOf(error: ValidationError, parent = ''): Problem[] {
  const path = join(parent, error.property);
  const own = Object.values(error.constraints ?? {}).map((message) => ({ path, message }));
  return [...own, ...(error.children ?? []).flatMap((child) => problemsOf(child, path))];
}

/** The elements of a list come with their index for a name. */
function join(parent: string, property: string): string {
  if (/^\d+$/.test(property)) return `${parent}[${property}]`;
  return parent === '' ? property : `${parent}.${property}`;
}
