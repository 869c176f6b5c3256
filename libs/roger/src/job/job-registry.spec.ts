// Jobs are found by name and by class; a name means one class.
import { noteJobOptions, readDefinition } from './define-job';
import { DuplicateJobDefinitionError, InvalidJobDefinitionError, NotAJobClassError } from './errors';
import type { JobClass, JobContext, RegisteredJob } from './job-definition';
import { JobRegistry } from './job-registry';
import { BuryJob } from './verdicts';

class Handler {
  perform(): void {
    // Never called here.
  }
}

function jobClass(name: string, instance?: string): JobClass {
  class Job extends Handler {}
  noteJobOptions(Job, { name, instance });
  return Job;
}

function registered(job: JobClass): RegisteredJob {
  return { definition: readDefinition(job), invoke: () => undefined };
}

test('a registered job is found by its name and by its class', () => {
  const registry = new JobRegistry();
  const mail = jobClass('mail');
  const job = registered(mail);
  registry.register(job);
  expect(registry.find('mail')).toBe(job);
  expect(registry.definitionOf(mail)).toBe(job.definition);
  expect(registry.definitionNamed('mail')).toBe(job.definition);
});

test('a class alone is enough to enqueue by, not to run', () => {
  const registry = new JobRegistry();
  const mail = jobClass('mail');
  expect(registry.definitionOf(mail).name).toBe('mail');
  expect(registry.definitionOf(mail)).toBe(registry.definitionOf(mail));
  expect(registry.definitionNamed('mail')?.jobClass).toBe(mail);
  expect(registry.find('mail')).toBeUndefined();
});

test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf', 'prototype'])(
  'a job named %s is unknown until it is registered',
  (name) => {
    const registry = new JobRegistry();
    expect(registry.find(name)).toBeUndefined();
    expect(registry.definitionNamed(name)).toBeUndefined();
    const job = registered(jobClass(name));
    registry.register(job);
    expect(registry.find(name)).toBe(job);
  },
);

test('two classes of one name are refused, whichever way they come', () => {
  const first = jobClass('mail');
  const second = jobClass('mail');
  const registry = new JobRegistry();
  registry.register(registered(first));
  expect(() => registry.register(registered(second))).toThrow(DuplicateJobDefinitionError);
  expect(() => registry.definitionOf(second)).toThrow('Two job definitions are named "mail"');
  expect(registry.find('mail')?.definition.jobClass).toBe(first);

  const producer = new JobRegistry();
  producer.definitionOf(second);
  expect(() => producer.definitionOf(first)).toThrow(DuplicateJobDefinitionError);
});

test('the same class may be registered again', () => {
  const registry = new JobRegistry();
  const mail = jobClass('mail');
  registry.register(registered(mail));
  expect(() => registry.register(registered(mail))).not.toThrow();
});

test('two registries know nothing of each other', () => {
  const [one, other] = [new JobRegistry(), new JobRegistry()];
  one.register(registered(jobClass('mail')));
  expect(other.find('mail')).toBeUndefined();
  expect(() => other.register(registered(jobClass('mail')))).not.toThrow();
});

test.each<[unknown, string]>([
  [Handler, '"Handler" is not a job class'],
  [class extends Handler {}, '"" is not a job class'],
  ['mail', '"mail" is not a job class'],
  [undefined, '"undefined" is not a job class'],
  ['a\nb', '"a\\nb" is not a job class'],
])('%p is no job class', (target, problem) => {
  expect(() => new JobRegistry().definitionOf(target as JobClass)).toThrow(NotAJobClassError);
  expect(() => new JobRegistry().definitionOf(target as JobClass)).toThrow(problem);
});

test('a class that extends a job class is not taken for it', () => {
  class Special extends jobClass('mail') {}
  expect(() => new JobRegistry().definitionOf(Special)).toThrow(NotAJobClassError);
});

test('a job of another module instance is refused: it would be put where nobody runs it', () => {
  const billing = jobClass('invoice', 'billing');
  expect(() => new JobRegistry().definitionOf(billing)).toThrow(NotAJobClassError);
  expect(() => new JobRegistry('shipping').definitionOf(billing)).toThrow(NotAJobClassError);
  expect(() => new JobRegistry('billing').definitionOf(jobClass('mail'))).toThrow(NotAJobClassError);
  expect(new JobRegistry('billing').definitionOf(billing).name).toBe('invoice');
});

test('a class whose options are wrong is refused at the first look', () => {
  expect(() => new JobRegistry().definitionOf(jobClass('a b'))).toThrow(InvalidJobDefinitionError);
});

describe('a further name', () => {
  class Hook {
    perform(): void {
      // The registered `invoke` stands for it.
    }
  }
  const original: RegisteredJob = {
    definition: {
      name: 'hook',
      jobClass: Hook,
      queue: 'hooks',
      argsClass: Hook,
      retryable: false,
      retryLevels: undefined,
    },
    invoke: (args) => args,
  };
  const context = {} as JobContext;

  it('has the handler and all of its definition but the args class', () => {
    const registry = new JobRegistry();
    registry.register(original);
    registry.addAlias('hook:orders', original);
    expect(registry.definitionNamed('hook:orders')).toEqual({
      ...original.definition,
      name: 'hook:orders',
      argsClass: undefined,
    });
    expect(registry.find('hook:orders')?.invoke('args', context)).toBe('args');
    expect(registry.isAlias('hook:orders')).toBe(true);
    expect(registry.isAlias('hook')).toBe(false);
  });

  it('buries what its check refuses', () => {
    const registry = new JobRegistry();
    registry.addAlias('hook:orders', original, (args) => {
      if (args !== 'right') throw new TypeError('wrong args');
    });
    const { invoke } = registry.find('hook:orders') ?? original;
    expect(invoke('right', context)).toBe('right');
    expect(() => invoke('left', context)).toThrow(new BuryJob('wrong args'));
  });

  it('is never that of a class, may be given anew, and is gone when it is removed', () => {
    const registry = new JobRegistry();
    registry.register(original);
    expect(registry.problemOfAlias('hook')).toBe('"hook" is the name of the job class Hook');
    registry.addAlias('other', original);
    expect(registry.problemOfAlias('other')).toBeUndefined();
    expect(registry.removeAlias('other')).toBe(true);
    expect(registry.removeAlias('other')).toBe(false);
    expect(registry.removeAlias('hook')).toBe(false);
    expect(registry.find('other')).toBeUndefined();
    expect(registry.find('hook')).toBe(original);
  });
});
