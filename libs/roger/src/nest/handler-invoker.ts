// Makes the function that runs a handler: one instance for all jobs, or a fresh one for each.
import type { DiscoveryService, ModuleRef } from '@nestjs/core';
import { ContextIdFactory } from '@nestjs/core';
import type { JobContext, JobHandler, RegisteredJob } from '../job/job-definition';
import type { Enhancers } from './enhancers';

type Provider = ReturnType<DiscoveryService['getProviders']>[number];
type Handler = JobHandler;

export class HandlerInvoker {
  constructor(
    private readonly moduleRef: ModuleRef,
    private readonly enhancers: Enhancers,
  ) {}

  invokeOf(provider: Provider): RegisteredJob['invoke'] {
    return provider.isDependencyTreeStatic() && !provider.isTransient
      ? this.invokeOne(provider)
      : this.invokeFresh(provider);
  }

  private invokeOne(provider: Provider): RegisteredJob['invoke'] {
    const handler = provider.instance as Handler;
    const enhanced = this.enhancers.wrap(handler, provider);
    if (enhanced !== undefined) return enhanced;
    return (args, context) => handler.perform(args, context);
  }

  /** The instance, and whatever request-scoped it needs, lives as long as Nest's context of the job: one run. */
  private invokeFresh(provider: Provider): RegisteredJob['invoke'] {
    return async (args: unknown, context: JobContext) => {
      const contextId = ContextIdFactory.create();
      // `@Inject(REQUEST)` in a request-scoped provider gives the job's context.
      this.moduleRef.registerRequestByContextId(context, contextId);
      const handler = await this.moduleRef.resolve<Handler>(provider.token, contextId, { strict: false });
      const enhanced = this.enhancers.wrap(handler, provider, contextId);
      return enhanced === undefined ? handler.perform(args, context) : enhanced(args, context);
    };
  }
}
