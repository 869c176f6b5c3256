// Applies Nest's guards, interceptors, pipes and exception filters to `perform`, but not the app's global ones.
import { ForbiddenException } from '@nestjs/common';
import type { ContextId, DiscoveryService, ModulesContainer } from '@nestjs/core';
import { ExternalExceptionFilterContext } from '@nestjs/core/exceptions/external-exception-filter-context';
import { GuardsConsumer } from '@nestjs/core/guards/guards-consumer';
import { GuardsContextCreator } from '@nestjs/core/guards/guards-context-creator';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host';
import type { NestContainer } from '@nestjs/core/injector/container';
import { InterceptorsConsumer } from '@nestjs/core/interceptors/interceptors-consumer';
import { InterceptorsContextCreator } from '@nestjs/core/interceptors/interceptors-context-creator';
import { PipesConsumer } from '@nestjs/core/pipes/pipes-consumer';
import { PipesContextCreator } from '@nestjs/core/pipes/pipes-context-creator';
import { isObservable, lastValueFrom } from 'rxjs';
import type { JobContext, JobHandler, RegisteredJob } from '../job/job-definition';

type Provider = ReturnType<DiscoveryService['getProviders']>[number];
type Callback = (...args: unknown[]) => unknown;

/** The type of `ExecutionContext.getType()` in enhancers of a job; `getArgs()` are the job's args and its JobContext. */
export const ROGER_CONTEXT = 'roger';

/**
 * Nest's own ExternalContextCreator would apply the app's global enhancers too, and those expect HTTP. So its parts are
 * put together here, each made without the application's configuration, which is where the global ones are kept.
 */
export class Enhancers {
  private readonly guards: GuardsContextCreator;
  private readonly interceptors: InterceptorsContextCreator;
  private readonly pipes: PipesContextCreator;
  private readonly filters: ExternalExceptionFilterContext;
  private readonly guardsConsumer = new GuardsConsumer();
  private readonly interceptorsConsumer = new InterceptorsConsumer();
  private readonly pipesConsumer = new PipesConsumer();

  constructor(private readonly modules: ModulesContainer) {
    const container = { getModules: () => modules } as unknown as NestContainer;
    this.guards = new GuardsContextCreator(container);
    this.interceptors = new InterceptorsContextCreator(container);
    this.pipes = new PipesContextCreator(container);
    this.filters = new ExternalExceptionFilterContext(container);
  }

  /** `perform` with its enhancers; undefined when it has none, so that the common case costs nothing. */
  wrap(handler: JobHandler, provider: Provider, contextId?: ContextId): RegisteredJob['invoke'] | undefined {
    // Nest reads metadata from the very function and tells enhancers of it; nobody calls it without its handler.
    // eslint-disable-next-line @typescript-eslint/unbound-method
    const perform = handler.perform as Callback;
    if (!isEnhanced(handler.constructor, perform)) return undefined;
    const moduleKey = this.keyOf(provider);
    const guards = this.guards.create(handler, perform, moduleKey, contextId, provider.id);
    const interceptors = this.interceptors.create(handler, perform, moduleKey, contextId, provider.id);
    const pipes = this.pipes.create(handler, perform, moduleKey, contextId, provider.id);
    const filters = this.filters.create(handler, perform as never, moduleKey, contextId, provider.id);
    const metatype = argsTypeOf(handler);

    const run = async (args: unknown, context: JobContext): Promise<unknown> => {
      const isAllowed = await this.guardsConsumer.tryActivate(
        guards,
        [args, context],
        handler,
        perform,
        ROGER_CONTEXT,
      );
      if (!isAllowed) throw new ForbiddenException('A guard refused the job');
      const result = await this.interceptorsConsumer.intercept(
        interceptors,
        [args, context],
        handler,
        perform,
        async () => {
          // Not `apply`: that one takes Nest's number of a parameter kind, and a ValidationPipe lets other kinds through.
          const piped: unknown = await this.pipesConsumer.applyPipes(
            args,
            { type: 'body', metatype, data: undefined },
            pipes,
          );
          return handler.perform(piped, context);
        },
        ROGER_CONTEXT,
      );
      return unwrap(result);
    };

    return async (args, context) => {
      try {
        return await run(args, context);
      } catch (error) {
        const host = new ExecutionContextHost([args, context], handler.constructor as never, perform);
        host.setType(ROGER_CONTEXT);
        const handled: unknown = filters.invokeCustomFilters(error, host);
        // Nest's way to say that no filter caught it.
        if (handled === null || handled === undefined) throw error;
        return unwrap(await Promise.resolve(handled));
      }
    };
  }

  private keyOf(provider: Provider): string {
    for (const [key, module] of this.modules) {
      if (module === provider.host) return key;
    }
    return '';
  }
}

/** The keys under which Nest notes enhancers, in every version. */
const ENHANCER_KEYS = ['__guards__', '__interceptors__', '__pipes__', '__exceptionFilters__'];

function isEnhanced(handlerClass: object, perform: Callback): boolean {
  return ENHANCER_KEYS.some(
    (key) => Reflect.hasMetadata(key, handlerClass) || Reflect.hasMetadata(key, perform),
  );
}

/** What a ValidationPipe on the handler goes by: the type written at the first parameter of `perform`. */
function argsTypeOf(handler: JobHandler): never {
  const types = Reflect.getMetadata('design:paramtypes', handler, 'perform') as unknown[] | undefined;
  return types?.[0] as never;
}

function unwrap(result: unknown): unknown {
  return isObservable(result) ? lastValueFrom(result, { defaultValue: undefined }) : result;
}
