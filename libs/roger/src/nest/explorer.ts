// Finds the app's job handlers, callbacks and command handlers among its providers.
import { isCronClass } from '../cron/cron-definition';
import type { CommandAnswers, CommandHandler } from '../cluster/command-answers';
import { InvalidCommandError, InvalidJobDefinitionError } from '../job/errors';
import { problemOfInstanceName, problemOfOwnCommandName } from '../job/names';
import { classNameOf, instanceOf, isJobClass, readDefinition } from '../job/define-job';
import type { JobClass, RegisteredJob } from '../job/job-definition';
import type { JobRegistry } from '../job/job-registry';
import type { CallbackChain, WorkerCallbacks } from '../worker/callbacks';
import type { DiscoveryService } from '@nestjs/core';
import type { HandlerInvoker } from './handler-invoker';
import type { InstanceName } from './instances';
import { problemOfBelonging } from './instances';
import { jobThread } from './threads/job-thread';
import type { JobThreads } from './threads/job-threads';
import { callbacksInstanceOf, isCallbacksClass } from './roger-callbacks.decorator';
import type { CommandMark } from './roger-command.decorator';
import { commandMethodsOf } from './roger-command.decorator';

type Provider = ReturnType<DiscoveryService['getProviders']>[number];

/** Reads the container once, when the app starts. */
export class Explorer {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly invoker: HandlerInvoker,
    private readonly instance: InstanceName,
    /** All instances of the app. What belongs to none of them would be passed over in silence. */
    private readonly known: readonly InstanceName[],
    /** For jobs with `isolation: 'thread'`; undefined where none is configured. */
    private readonly threads: Pick<JobThreads, 'perform'> | undefined,
  ) {}

  /** @throws InvalidJobDefinitionError, DuplicateJobDefinitionError */
  registerJobs(registry: JobRegistry): void {
    const providers = new Map<JobClass, Provider>();
    for (const provider of this.discovery.getProviders()) {
      const jobClass = classesOf(provider).find(isJobClass);
      if (provider.isAlias) continue;
      if (jobClass === undefined) {
        refuseStrayCron(provider);
        continue;
      }
      if (!this.isOurs(classNameOf(jobClass), instanceOf(jobClass))) continue;
      const other = providers.get(jobClass);
      if (other !== undefined) {
        throw new InvalidJobDefinitionError(
          jobClass.name,
          `it is a provider of ${hostOf(other)} and of ${hostOf(provider)}; list it in one module only`,
        );
      }
      providers.set(jobClass, provider);
    }
    for (const [jobClass, provider] of providers) {
      const definition = readDefinition(jobClass);
      const invokeApart = definition.isolation === 'thread' ? this.invokeApart(jobClass) : undefined;
      registry.register({ definition, invoke: this.invoker.invokeOf(provider), invokeApart });
    }
  }

  /** In a thread it is there already. */
  private invokeApart(jobClass: JobClass): RegisteredJob['invokeApart'] {
    if (jobThread() !== undefined) return undefined;
    const { threads } = this;
    if (threads === undefined) {
      throw new InvalidJobDefinitionError(
        classNameOf(jobClass),
        "it has isolation: 'thread', but RogerModule has no threads: give it { threads: { module: require.resolve('./app.module') } }",
      );
    }
    return (context, begun) => threads.perform(context, begun);
  }

  /** @throws InvalidJobDefinitionError */
  addCallbacks(chain: CallbackChain): void {
    for (const provider of this.discovery.getProviders()) {
      const callbacksClass = classesOf(provider).find(isCallbacksClass);
      if (provider.isAlias || callbacksClass === undefined) continue;
      if (!this.isOurs(callbacksClass.name, callbacksInstanceOf(callbacksClass))) continue;
      if (!provider.isDependencyTreeStatic() || provider.isTransient) {
        throw new InvalidJobDefinitionError(
          String(provider.name),
          'a provider under @RogerCallbacks() must be a singleton; it and all that it injects may not be request-scoped or transient',
        );
      }
      chain.add(provider.instance as WorkerCallbacks);
    }
  }

  /** @throws InvalidCommandError, DuplicateCommandError */
  addCommands(answers: CommandAnswers): void {
    for (const provider of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      const instance: unknown = provider.instance;
      if (provider.isAlias || typeof instance !== 'object' || instance === null) continue;
      for (const { method, mark } of commandMethodsOf(Object.getPrototypeOf(instance))) {
        const where = `${instance.constructor.name}.${method}`;
        const problem = this.problemOfCommand(mark);
        if (problem !== undefined) throw new InvalidCommandError(where, problem);
        if (mark.instance !== this.instance) continue;
        if (!provider.isDependencyTreeStatic() || provider.isTransient) {
          throw new InvalidCommandError(
            where,
            'its class must be a singleton; it and all that it injects may not be request-scoped or transient',
          );
        }
        const handlers = instance as Readonly<Record<string, CommandHandler>>;
        answers.add(mark.command, (payload, context) => handlers[method]?.(payload, context), where);
      }
    }
  }

  private problemOfCommand({ command, instance }: CommandMark): string | undefined {
    const problemOfName = instance === undefined ? undefined : problemOfInstanceName(instance);
    return problemOfOwnCommandName(command) ?? problemOfName ?? problemOfBelonging(instance, this.known);
  }

  private isOurs(className: string, instance: InstanceName): boolean {
    const problem = problemOfBelonging(instance, this.known);
    if (problem !== undefined) throw new InvalidJobDefinitionError(className, problem);
    return instance === this.instance;
  }
}

/** A provider's class may be given as such, be the token of a test's replacement, or show in a factory's product. */
function classesOf(provider: Provider): unknown[] {
  const instance: unknown = provider.instance;
  const ownClass = typeof instance === 'object' && instance !== null ? instance.constructor : undefined;
  return [provider.metatype, provider.token, ownClass];
}

/** It would be passed over in silence. */
function refuseStrayCron(provider: Provider): void {
  const stray = classesOf(provider).find(isCronClass);
  if (stray === undefined) return;
  throw new InvalidJobDefinitionError(
    stray.name,
    'it is under @RogerCron and not under @RogerJob; it needs both',
  );
}

function hostOf(provider: Provider): string {
  return provider.host?.name ?? 'an unknown module';
}
