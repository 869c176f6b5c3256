// The decorator by which a job class says that definitions made at run time may use its handler.
import 'reflect-metadata';

const MARK = Symbol('roger-engine:takes-runtime-definitions');

/**
 * Beside `@RogerJob`: jobs of definitions that are made at run time (`JobCatalog.create`) may be run by this handler. It is
 * given their args, which fit the definition's JSON Schema; `context.job.name` is the definition's name. Without this
 * decorator nobody can have a handler called with args that it doesn't expect.
 *
 * @example
 * ```ts
 * import { JobContext, JobHandler, RogerJob } from 'nestjs-roger';
 * import { TakesRuntimeDefinitions } from 'nestjs-roger-engine';
 *
 * \@TakesRuntimeDefinitions()
 * \@RogerJob({ name: 'webhook', queue: 'webhooks' })
 * export class Webhook implements JobHandler<{ url: string }> {
 *   async perform(args: { url: string }, { job }: JobContext): Promise<void> {
 *     await fetch(args.url, { method: 'POST', body: job.name });
 *   }
 * }
 * ```
 */
export function TakesRuntimeDefinitions(): (target: abstract new (...args: never[]) => object) => void {
  return (target) => {
    Reflect.defineMetadata(MARK, true, target);
  };
}

export function takesRuntimeDefinitions(target: object): boolean {
  return Reflect.getOwnMetadata(MARK, target) === true;
}
