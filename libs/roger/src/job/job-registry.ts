// Knows the job definitions of one module instance, by name and by class.
import { instanceOf, isJobClass, readDefinition } from './define-job';
import { DuplicateJobDefinitionError, NotAJobClassError, show } from './errors';
import type { JobClass, JobDefinition, RegisteredJob } from './job-definition';
import { BuryJob } from './verdicts';

/** In Maps: a job named `constructor` is as unknown as any other. */
export class JobRegistry {
  private readonly definitionsByName = new Map<string, JobDefinition>();
  private readonly definitionsByClass = new Map<JobClass, JobDefinition>();
  private readonly runnable = new Map<string, RegisteredJob>();
  private readonly aliases = new Set<string>();

  /** @param instance the name of the module instance; undefined: the unnamed one */
  constructor(private readonly instance?: string) {}

  /** @throws DuplicateJobDefinitionError when another class has the name. */
  register(job: RegisteredJob): void {
    this.define(job.definition);
    this.runnable.set(job.definition.name, job);
  }

  /** The job that this process can run under a name. */
  find(name: string): RegisteredJob | undefined {
    return this.runnable.get(name);
  }

  /** The definitions of the jobs that this process can run. */
  get runnableDefinitions(): readonly JobDefinition[] {
    return [...this.runnable.values()].map(({ definition }) => definition);
  }

  /** The definition known under a name, whether this process runs it or only enqueues it. */
  definitionNamed(name: string): JobDefinition | undefined {
    return this.definitionsByName.get(name);
  }

  /** Undefined where the name is free, or an alias already. */
  problemOfAlias(name: string): string | undefined {
    const other = this.definitionsByName.get(name);
    return other === undefined || this.aliases.has(name)
      ? undefined
      : `${show(name)} is the name of the job class ${other.jobClass.name}`;
  }

  /** @param check throws where the args are refused; then the job is buried */
  addAlias(name: string, { definition, invoke }: RegisteredJob, check?: (args: unknown) => void): void {
    const own: JobDefinition = { ...definition, name, argsClass: undefined };
    this.aliases.add(name);
    this.definitionsByName.set(name, own);
    this.runnable.set(name, {
      definition: own,
      invoke: (args, context) => {
        refuse(() => check?.(args));
        return invoke(args, context);
      },
    });
  }

  isAlias(name: string): boolean {
    return this.aliases.has(name);
  }

  /** @returns whether it was one. */
  removeAlias(name: string): boolean {
    if (!this.aliases.delete(name)) return false;
    this.definitionsByName.delete(name);
    return this.runnable.delete(name);
  }

  /**
   * The definition of a class. The class needs no handler in this process: an app that only enqueues knows its jobs by
   * their classes alone.
   * @throws NotAJobClassError, InvalidJobDefinitionError, DuplicateJobDefinitionError
   */
  definitionOf(jobClass: JobClass): JobDefinition {
    const known = this.definitionsByClass.get(jobClass);
    if (known !== undefined) return known;
    if (!isJobClass(jobClass)) throw new NotAJobClassError(nameOf(jobClass));
    const definition = readDefinition(jobClass);
    const instance = instanceOf(jobClass);
    if (instance !== this.instance) {
      const other = instance === undefined ? 'the unnamed instance' : `the instance ${show(instance)}`;
      throw new NotAJobClassError(
        jobClass.name,
        `it belongs to ${other}; enqueue it by the JobQueue of that one`,
      );
    }
    this.define(definition);
    return definition;
  }

  private define(definition: JobDefinition): void {
    const other = this.definitionsByName.get(definition.name);
    if (other !== undefined && other.jobClass !== definition.jobClass) {
      throw new DuplicateJobDefinitionError(definition.name, other.jobClass.name, definition.jobClass.name);
    }
    this.definitionsByName.set(definition.name, definition);
    this.definitionsByClass.set(definition.jobClass, definition);
  }
}

function nameOf(jobClass: unknown): string {
  return typeof jobClass === 'function' ? jobClass.name : String(jobClass);
}

/** No further attempt can help a job with such args. */
function refuse(check: () => void): void {
  try {
    check();
  } catch (error) {
    throw new BuryJob(error instanceof Error ? error.message : String(error));
  }
}
