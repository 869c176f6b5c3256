// JSON Schemas of args: read from a DTO's decorators, or given at run time and checked by Ajv.
import type { ErrorObject } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020';
import { targetConstructorToSchema } from 'class-validator-jsonschema';
import type { Class, Problem } from 'nestjs-roger';
import { InvalidArgumentError, InvalidJobArgsError } from 'nestjs-roger';

/** A JSON Schema (2020-12). */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A schema is compiled to code on every node. */
const MAX_SCHEMA_BYTES = 64 * 1024;
const MAX_SCHEMA_DEPTH = 32;
/** A regular expression may take for ever on a text that was made for it. */
const MAX_PATTERN_LENGTH = 200;

/** What its class-validator decorators say, nested classes included; undefined where that can't be told. */
export function schemaOfDto(argsClass: Class): JsonSchema | undefined {
  try {
    return targetConstructorToSchema(argsClass, { refPointerPrefix: '#/$defs/' }) as JsonSchema;
  } catch {
    return undefined;
  }
}

/** @throws InvalidJobArgsError naming each wrong place */
export type ArgsCheck = (args: unknown) => void;

/**
 * @param name of the job, for the errors of the check
 * @throws InvalidArgumentError when it is no JSON Schema, or too large, or needs others
 */
export function checkOfSchema(schema: unknown, name: string): ArgsCheck {
  refuseUnfit(schema);
  // One for each, so that what is deleted leaves nothing behind. `$ref` leads nowhere but into the schema itself.
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, addUsedSchema: false, logger: false });
  let validate: ReturnType<typeof ajv.compile>;
  try {
    validate = ajv.compile(schema as JsonSchema);
  } catch (error) {
    throw new InvalidArgumentError('schema', error instanceof Error ? error.message : String(error));
  }
  if ('$async' in validate) throw new InvalidArgumentError('schema', '$async is not supported');
  return (args) => {
    if (validate(args)) return;
    throw new InvalidJobArgsError(name, (validate.errors ?? []).map(problemOf));
  };
}

function problemOf({ instancePath, message = 'is wrong', params }: ErrorObject): Problem {
  const path = instancePath.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~');
  const { additionalProperty } = params as { readonly additionalProperty?: unknown };
  return {
    path,
    message: typeof additionalProperty === 'string' ? `${message}: ${additionalProperty}` : message,
  };
}

function refuseUnfit(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw new InvalidArgumentError('schema', 'must be a JSON Schema, an object');
  }
  let text: string;
  try {
    text = JSON.stringify(schema);
  } catch {
    throw new InvalidArgumentError('schema', 'must be plain JSON');
  }
  if (text.length > MAX_SCHEMA_BYTES) {
    throw new InvalidArgumentError(
      'schema',
      `must have at most ${MAX_SCHEMA_BYTES} bytes, not ${text.length}`,
    );
  }
  walk(JSON.parse(text), 0);
}

function walk(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth > MAX_SCHEMA_DEPTH) {
    throw new InvalidArgumentError('schema', `must not be nested deeper than ${MAX_SCHEMA_DEPTH} levels`);
  }
  for (const [key, inner] of Object.entries(value)) {
    if ((key === 'pattern' || key === 'patternProperties') && !isShortPattern(inner)) {
      throw new InvalidArgumentError('schema', `${key} must have at most ${MAX_PATTERN_LENGTH} characters`);
    }
    walk(inner, depth + 1);
  }
}

function isShortPattern(value: unknown): boolean {
  if (typeof value === 'string') return value.length <= MAX_PATTERN_LENGTH;
  if (typeof value !== 'object' || value === null) return true;
  return Object.keys(value).every((pattern) => pattern.length <= MAX_PATTERN_LENGTH);
}
