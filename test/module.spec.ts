// RogerModule in a Nest app: every form of it, several side by side, and a start and stop that respect the rest of the app.
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import {
  Global,
  Injectable,
  Module,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  Scope,
} from '@nestjs/common';
import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  type BeforeRunEvent,
  DuplicateJobDefinitionError,
  InfoService,
  InjectRoger,
  InvalidJobDefinitionError,
  InvalidOptionsError,
  type JobContext,
  type JobHandler,
  JobQueue,
  MemoryBroker,
  NodeInfoService,
  NotAJobClassError,
  PartitionService,
  RogerCallbacks,
  RogerClosedError,
  RogerJob,
  RogerModule,
  type RogerModuleOptions,
  UnknownPartitionError,
  type WorkerCallbacks,
} from 'nestjs-roger';
import { eventually, startApp } from './support/app';
import { RecordedLog } from './support/recorded-log';
import { Gate, Signals } from './support/signal';
import { within } from './support/within';

const runs = new Signals<unknown>();

beforeEach(() => {
  runs.seen.length = 0;
});

@RogerJob()
class Note {
  perform({ text }: { text: string }): void {
    runs.add(text);
  }
}

const ACME = { acme: { default: 2 } } as const;

const started: TestingModule[] = [];

afterEach(async () => {
  await Promise.all(started.splice(0).map((app) => app.close()));
});

/** An app of these parts, initialised; closed by itself when the test ends. */
async function start(metadata: ModuleMetadata, log = new RecordedLog()): Promise<TestingModule> {
  const app = await Test.createTestingModule(metadata).setLogger(log).compile();
  await app.init();
  started.push(app);
  return app;
}

async function expectToWork(app: TestingModule, text = 'works'): Promise<void> {
  await app.get(JobQueue).enqueue(Note, { text });
  expect(await within('the job to run', runs.count(1))).toEqual([text]);
}

describe('every form of the module', () => {
  @Injectable()
  class Settings {
    createRogerOptions(): RogerModuleOptions {
      return { partitions: ACME };
    }
  }

  @Module({ providers: [Settings], exports: [Settings] })
  class SettingsModule {}

  test('forRoot', async () => {
    await expectToWork(
      await start({ imports: [RogerModule.forRoot({ partitions: ACME })], providers: [Note] }),
    );
  });

  test('forRootAsync with a factory that injects from an imported module, and takes its time', async () => {
    const roger = RogerModule.forRootAsync({
      imports: [SettingsModule],
      inject: [Settings],
      useFactory: async (settings: Settings) => {
        await new Promise((resolve) => setImmediate(resolve));
        return settings.createRogerOptions();
      },
    });
    await expectToWork(await start({ imports: [roger], providers: [Note] }));
  });

  test('forRootAsync with a class', async () => {
    const roger = RogerModule.forRootAsync({ useClass: Settings });
    await expectToWork(await start({ imports: [roger], providers: [Note] }));
  });

  test('forRootAsync with an existing provider', async () => {
    const roger = RogerModule.forRootAsync({ imports: [SettingsModule], useExisting: Settings });
    await expectToWork(await start({ imports: [roger], providers: [Note] }));
  });

  test('a factory that fails stops the start with its own error', async () => {
    const roger = RogerModule.forRootAsync({
      useFactory: () => {
        throw new Error('no settings today');
      },
    });
    await expect(start({ imports: [roger] })).rejects.toThrow('no settings today');
  });

  test('a factory that returns nothing stops the start with a clear error', async () => {
    const roger = RogerModule.forRootAsync({ useFactory: () => undefined as unknown as RogerModuleOptions });
    await expect(start({ imports: [roger] })).rejects.toThrow('the options must be an object, not undefined');
  });
});

describe('who sees the services', () => {
  @Injectable()
  class Producer {
    constructor(readonly jobs: JobQueue) {}
  }

  @Module({ providers: [Producer], exports: [Producer] })
  class Feature {}

  test('every module, unless told otherwise', async () => {
    const app = await start({ imports: [RogerModule.forRoot({ partitions: ACME }), Feature] });
    expect(app.get(Producer, { strict: false }).jobs).toBe(app.get(JobQueue));
  });

  test('with isGlobal: false, only modules that import it', async () => {
    const local = RogerModule.forRoot({ partitions: ACME, isGlobal: false });
    await expect(start({ imports: [local, Feature] })).rejects.toThrow(
      /can't resolve dependencies of the Producer/i,
    );

    @Module({ imports: [local], providers: [Producer, Note] })
    class Importing {}
    const app = await start({ imports: [Importing] });
    await app.get(Producer, { strict: false }).jobs.enqueue(Note, { text: 'local' });
    expect(await within('the job', runs.count(1))).toEqual(['local']);
  });
});

describe('several instances in one app', () => {
  @RogerJob({ instance: 'billing' })
  class Invoice {
    perform({ no }: { no: number }, { job }: JobContext): void {
      runs.add(`invoice ${no} of ${job.partition}`);
    }
  }

  @Injectable()
  class Desk {
    constructor(
      readonly jobs: JobQueue,
      @InjectRoger(JobQueue, 'billing') readonly billing: JobQueue,
      @InjectRoger(JobQueue) readonly alsoJobs: JobQueue,
      @InjectRoger(PartitionService, 'billing') readonly partitions: PartitionService,
      @InjectRoger(InfoService, 'billing') readonly info: InfoService,
      @InjectRoger(NodeInfoService, 'billing') readonly nodeInfo: NodeInfoService,
    ) {}
  }

  @RogerCallbacks({ instance: 'billing' })
  class BillingCallbacks implements WorkerCallbacks {
    readonly told: string[] = [];
    beforeRun({ job }: BeforeRunEvent): void {
      this.told.push(job.name);
    }
  }

  async function startBoth(log?: RecordedLog): Promise<TestingModule> {
    return start(
      {
        imports: [
          RogerModule.forRoot({ partitions: ACME }),
          RogerModule.forRootAsync({
            name: 'billing',
            useFactory: () => ({ partitions: { tenant: { default: 1 } } }),
          }),
        ],
        providers: [Note, Invoice, Desk, BillingCallbacks],
      },
      log,
    );
  }

  test('each has its own partitions, jobs, services and callbacks', async () => {
    const app = await startBoth();
    const desk = app.get(Desk);
    expect(desk.jobs).toBe(desk.alsoJobs);
    expect(desk.jobs).not.toBe(desk.billing);
    expect(app.get(PartitionService).ids).toEqual(['acme']);
    expect(desk.partitions.ids).toEqual(['tenant']);
    expect(desk.nodeInfo.partitions().map(({ partition }) => partition)).toEqual(['tenant']);

    await desk.jobs.enqueue(Note, { text: 'note' });
    await desk.billing.enqueue(Invoice, { no: 7 });
    expect([...(await within('both jobs', runs.count(2)))].sort()).toEqual(['invoice 7 of tenant', 'note']);
    expect(app.get(BillingCallbacks).told).toEqual(['Invoice']);
    expect(await desk.info.queueDepth('acme', 'default')).toBeUndefined();
    expect(await desk.info.queueDepth('tenant', 'default')).toMatchObject({ consumers: 1 });
  });

  test('a job of one is refused by the other, where nobody would run it', async () => {
    const desk = (await startBoth()).get(Desk);
    await expect(desk.jobs.enqueue(Invoice, { no: 1 })).rejects.toThrow(NotAJobClassError);
    await expect(desk.billing.enqueue(Note, { text: 'x' })).rejects.toThrow(NotAJobClassError);
  });

  test('each names itself in the log', async () => {
    const log = new RecordedLog();
    await startBoth(log);
    const contexts = log.lines
      .filter(({ message }) => message.startsWith('Serving'))
      .map(({ context }) => context);
    expect(contexts).toEqual(['Roger', 'Roger billing']);
  });

  test('a named one alone is enough', async () => {
    const app = await start({
      imports: [RogerModule.forRoot({ name: 'billing', partitions: { tenant: { default: 1 } } })],
      providers: [Invoice],
    });
    await app.get<JobQueue>('roger:billing:JobQueue').enqueue(Invoice, { no: 1 });
    expect(await within('the invoice', runs.count(1))).toEqual(['invoice 1 of tenant']);
  });

  const tenant = { tenant: { default: 1 } };

  test.each<[what: string, names: (string | undefined)[], known: string]>([
    ['beside others', [undefined, 'billing', 'audit'], 'has the unnamed one, "billing" and "audit"'],
    ['beside the unnamed one', [undefined], 'has the unnamed one only'],
    ['beside a named one', ['audit'], 'has "audit" only'],
  ])('a job of an instance that the app does not have is refused: %s', async (_what, names, known) => {
    @RogerJob({ instance: 'bilings' })
    class Misspelt {
      perform(_args: object): void {
        runs.add('misspelt');
      }
    }
    const imports = names.map((name) => RogerModule.forRoot({ name, partitions: tenant }));
    const refused = start({ imports, providers: [Misspelt] });
    await expect(refused).rejects.toThrow(InvalidJobDefinitionError);
    await expect(refused).rejects.toThrow(
      `Invalid job definition Misspelt: it belongs to the module instance "bilings", but this app ${known}`,
    );
  });

  test('a job of the unnamed instance is refused where there is none', async () => {
    const imports = [RogerModule.forRoot({ name: 'billing', partitions: tenant })];
    await expect(start({ imports, providers: [Note, Invoice] })).rejects.toThrow(
      'Invalid job definition Note: it belongs to the unnamed module instance, but this app has "billing" only',
    );
  });

  test('a job whose instance is no name is refused at the start', async () => {
    @RogerJob({ instance: 5 as unknown as string })
    class Numbered {
      perform(_args: object): void {
        runs.add('numbered');
      }
    }
    const refused = startApp({ partitions: ACME }, [Numbered]);
    await expect(refused).rejects.toThrow(InvalidJobDefinitionError);
    await expect(refused).rejects.toThrow('Invalid job definition Numbered: 5 is no instance name');
  });

  test.each<[unknown, string]>([
    ['bilings', 'it belongs to the module instance "bilings", but this app has the unnamed one only'],
    [5, '5 is no instance name'],
  ])('callbacks of the instance %p, which the app does not have, are refused', async (instance, problem) => {
    @RogerCallbacks({ instance: instance as string })
    class Deaf implements WorkerCallbacks {
      beforeRun(): void {
        runs.add('before');
      }
    }
    const refused = startApp({ partitions: ACME }, [Deaf]);
    await expect(refused).rejects.toThrow(InvalidJobDefinitionError);
    await expect(refused).rejects.toThrow(`Invalid job definition Deaf: ${problem}`);
  });

  test.each<[what: string, name: unknown, problem: string]>([
    ['with an empty text', '', 'name: "" is no instance name'],
    ['with a newline', 'a\nb', 'name: "a\\nb" is no instance name'],
    ['with a number', 5, 'name: 5 is no instance name'],
    ['with null', null, 'name: null is no instance name'],
  ])('may not be named %s', async (_how, wrong, problem) => {
    const name = wrong as string;
    for (const roger of [
      RogerModule.forRoot({ name, partitions: ACME }),
      RogerModule.forRootAsync({ name, useFactory: () => ({ partitions: ACME }) }),
    ]) {
      const refused = start({ imports: [roger] });
      await expect(refused).rejects.toThrow(InvalidOptionsError);
      await expect(refused).rejects.toThrow(problem);
    }
  });

  test.each<[string | undefined, string]>([
    ['billing', 'name: two RogerModules of this app are named "billing"; give each a name of its own'],
    [undefined, 'name: two RogerModules of this app have no name; import one object in several modules'],
  ])('two of one name (%p) are refused, wherever they are imported', async (name, problem) => {
    const roger = RogerModule.forRoot({ name, partitions: ACME });
    @Module({
      imports: [
        RogerModule.forRootAsync({ name, isGlobal: false, useFactory: () => ({ partitions: tenant }) }),
      ],
    })
    class Feature {}
    const refused = start({ imports: [roger, Feature] });
    await expect(refused).rejects.toThrow(InvalidOptionsError);
    await expect(refused).rejects.toThrow(problem);
  });

  test('one object may be imported by several modules: it is one instance', async () => {
    const local = RogerModule.forRoot({ partitions: ACME, isGlobal: false });
    @Module({ imports: [local], providers: [Note] })
    class First {}
    @Module({ imports: [local] })
    class Second {}
    const app = await start({ imports: [First, Second] });
    await app.get(JobQueue, { strict: false }).enqueue(Note, { text: 'one' });
    expect(await within('the job', runs.count(1))).toEqual(['one']);
  });
});

describe('several apps in one process', () => {
  test('have queues, jobs and ends of their own', async () => {
    const [one, other] = await Promise.all([
      startApp({ partitions: ACME }, [Note]),
      startApp({ partitions: ACME }, [Note]),
    ]);
    await one.close();
    await expect(one.jobs.enqueue(Note, { text: 'x' })).rejects.toThrow(RogerClosedError);
    await other.jobs.enqueue(Note, { text: 'still here' });
    expect(await within('the job of the other app', runs.count(1))).toEqual(['still here']);
  });

  test('a producer and a worker share a broker in memory; the producer never runs a job', async () => {
    const memory = new MemoryBroker();
    const producer = await startApp({ memory, mode: 'producer', partitions: ACME }, [Note]);
    await producer.jobs.enqueue(Note, { text: 'early' });
    expect(await producer.info.queueDepth('acme', 'default')).toEqual({ ready: 1, consumers: 0, buried: 0 });
    expect(producer.partitions.ids).toEqual([]);
    expect(() => producer.partitions.queues('acme')).toThrow(UnknownPartitionError);

    const worker = await startApp({ memory, partitions: ACME }, [Note]);
    await producer.jobs.enqueue(Note, { text: 'late' });
    expect(await within('both jobs', runs.count(2))).toEqual(['early', 'late']);
    await worker.close();
    await producer.jobs.enqueue(Note, { text: 'nobody there' });
    expect(await producer.info.queueDepth('acme', 'default')).toEqual({ ready: 1, consumers: 0, buried: 0 });
  });

  test('a producer needs the class of a job, not its handler', async () => {
    const memory = new MemoryBroker();
    await startApp({ memory, partitions: ACME }, [Note]);
    const producer = await startApp({ memory, mode: 'producer' });
    await producer.jobs.enqueue(Note, { text: 'by class' }, { partition: 'acme' });
    expect(await within('the job', runs.count(1))).toEqual(['by class']);
  });

  test('an app may start, stop and start again; its jobs in a shared broker go on', async () => {
    const memory = new MemoryBroker();
    for (const text of ['first', 'second', 'third']) {
      runs.seen.length = 0;
      const worker = await startApp({ memory, partitions: ACME }, [Note]);
      await worker.jobs.enqueue(Note, { text });
      expect(await within(`the ${text} job`, runs.count(1))).toEqual([text]);
      await worker.close();
    }
  });
});

describe('the start', () => {
  test('connects to nothing before init, and leaves nothing behind without it', async () => {
    let connections = 0;
    const server: Server = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const uri = `amqp://127.0.0.1:${port}`;
    const roger = RogerModule.forRoot({ connection: { uri }, partitions: ACME });
    const app = await Test.createTestingModule({ imports: [roger], providers: [Note] })
      .setLogger(new RecordedLog())
      .compile();
    try {
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(connections).toBe(0);
      expect(app.get(JobQueue)).toBeInstanceOf(JobQueue);

      // The same app does connect once it is asked to: the server would have seen it.
      await app.init();
      await eventually('a try to connect', () => connections > 0);
    } finally {
      await app.close();
      server.close();
    }
  });

  test('runs jobs only after every module is initialised', async () => {
    @Injectable()
    class Slow implements OnModuleInit {
      isReady = false;
      async onModuleInit(): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, 50));
        this.isReady = true;
      }
    }
    @RogerJob()
    class NeedsSlow {
      constructor(private readonly slow: Slow) {}
      perform(_args: object): void {
        runs.add(this.slow.isReady);
      }
    }
    const memory = new MemoryBroker();
    const producer = await startApp({ memory, mode: 'producer', partitions: ACME });
    await producer.jobs.enqueue(NeedsSlow, {});
    await startApp({ memory, partitions: ACME }, [Slow, NeedsSlow]);
    expect(await within('the job', runs.count(1))).toEqual([true]);
  });

  test('jobs may be enqueued while the app starts', async () => {
    @Injectable()
    class Seeds implements OnModuleInit {
      constructor(private readonly jobs: JobQueue) {}
      async onModuleInit(): Promise<void> {
        await this.jobs.enqueue(Note, { text: 'seed' });
      }
    }
    await startApp({ partitions: ACME }, [Seeds, Note]);
    expect(await within('the seed', runs.count(1))).toEqual(['seed']);
  });

  test('is refused with a typed error when an option is wrong', async () => {
    const wrong = { partitions: { acme: { default: -1 } }, mod: 'worker' } as RogerModuleOptions;
    await expect(start({ imports: [RogerModule.forRoot(wrong)] })).rejects.toThrow(InvalidOptionsError);
    await expect(start({ imports: [RogerModule.forRootAsync({ useFactory: () => wrong })] })).rejects.toThrow(
      /partitions\.acme\.default: must be a whole number.*"mod": unknown option; did you mean "mode"/,
    );
  });

  test('is refused when two classes go by one name', async () => {
    @RogerJob({ name: 'Note' })
    class Other {
      perform(): void {
        runs.add('other');
      }
    }
    await expect(startApp({}, [Note, Other])).rejects.toThrow(DuplicateJobDefinitionError);
    await expect(startApp({}, [Note, Other])).rejects.toThrow(
      'Two job definitions are named "Note": Note and Other',
    );
  });

  test('is refused when a definition is wrong, though no job of it was ever enqueued', async () => {
    @RogerJob({ queue: 'no-hyphens' })
    class Wrong {
      perform(): void {
        runs.add('wrong');
      }
    }
    await expect(startApp({}, [Wrong])).rejects.toThrow(InvalidJobDefinitionError);
  });

  test('is refused when a handler is a provider of two modules: which one should run?', async () => {
    @Module({ providers: [Note] })
    class First {}
    @Module({ providers: [Note] })
    class Second {}
    await expect(startApp({}, [], { imports: [First, Second] })).rejects.toThrow(
      'Invalid job definition Note: it is a provider of First and of Second; list it in one module only',
    );
  });

  test.each([Scope.REQUEST, Scope.TRANSIENT])('is refused when callbacks have scope %d', async (scope) => {
    @RogerCallbacks()
    @Injectable({ scope })
    class Fleeting implements WorkerCallbacks {
      beforeRun(): void {
        runs.add('before');
      }
    }
    await expect(startApp({}, [Fleeting])).rejects.toThrow(
      /Fleeting: a provider under @RogerCallbacks\(\) must be a singleton/,
    );
  });

  test('is refused when callbacks depend on something request-scoped', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {}
    @RogerCallbacks()
    class Dependent implements WorkerCallbacks {
      constructor(readonly perRequest: PerRequest) {}
      beforeRun(): void {
        runs.add('before');
      }
    }
    await expect(startApp({}, [PerRequest, Dependent])).rejects.toThrow(InvalidJobDefinitionError);
  });

  test('says once, as a warning, that jobs in memory end with the process', async () => {
    const { log } = await startApp({ partitions: ACME }, [Note]);
    const lines = log.messages('warn').filter((message) => message.includes('memory'));
    expect(lines).toEqual([
      'No connection is configured: jobs stay in the memory of this process and end with it',
    ]);
  });

  test('says which partitions are served', async () => {
    const { log } = await startApp({
      partitions: { acme: { default: 1, mail: 1 }, umbrella: { default: 1 } },
    });
    expect(log.messages('log')).toContain('Serving acme (default, mail), umbrella (default)');
  });
});

describe('handlers', () => {
  test('are found in any module, with what that module injects', async () => {
    @Injectable()
    class Mailer {
      readonly name = 'mailer of the feature';
    }
    @RogerJob()
    class Mail {
      constructor(private readonly mailer: Mailer) {}
      perform(_args: object): void {
        runs.add(this.mailer.name);
      }
    }
    @Module({ providers: [Mailer, Mail] })
    class Deep {}
    @Module({ imports: [Deep] })
    class Feature {}
    const { jobs } = await startApp({ partitions: ACME }, [], { imports: [Feature] });
    await jobs.enqueue(Mail, {});
    expect(await within('the mail', runs.count(1))).toEqual(['mailer of the feature']);
  });

  test('may be given by a factory', async () => {
    const provider = { provide: Note, useFactory: () => new Note() };
    const { jobs } = await startApp({ partitions: ACME }, [provider]);
    await jobs.enqueue(Note, { text: 'made' });
    expect(await within('the job', runs.count(1))).toEqual(['made']);
  });

  test('may be known under a second token', async () => {
    const { jobs } = await startApp({ partitions: ACME }, [Note, { provide: 'ALIAS', useExisting: Note }]);
    await jobs.enqueue(Note, { text: 'once' });
    expect(await within('the job', runs.count(1))).toEqual(['once']);
  });

  test('that extend a common base are jobs of their own', async () => {
    abstract class Base implements JobHandler<{ text: string }> {
      perform({ text }: { text: string }): void {
        runs.add(`${this.constructor.name} ${text}`);
      }
    }
    @RogerJob()
    class One extends Base {}
    @RogerJob()
    class Two extends Base {}
    const { jobs } = await startApp({ partitions: { acme: { default: 1 } } }, [One, Two]);
    await jobs.enqueue(One, { text: 'a' });
    await jobs.enqueue(Two, { text: 'b' });
    expect(await within('both', runs.count(2))).toEqual(['One a', 'Two b']);
  });

  test.each(['useValue', 'useClass', 'useFactory'] as const)(
    'may be replaced in a test by %s',
    async (form) => {
      class Fake {
        perform({ text }: { text: string }): void {
          runs.add(`fake ${text}`);
        }
      }
      const overridden = Test.createTestingModule({
        imports: [RogerModule.forRoot({ partitions: ACME })],
        providers: [Note],
      })
        .setLogger(new RecordedLog())
        .overrideProvider(Note);
      const builder = {
        useValue: () =>
          overridden.useValue({ perform: ({ text }: { text: string }) => runs.add(`fake ${text}`) }),
        useClass: () => overridden.useClass(Fake),
        useFactory: () => overridden.useFactory({ factory: () => new Fake() }),
      }[form]();
      const app = await builder.compile();
      started.push(app);
      await app.init();
      await expectToWorkAs(app, 'fake works');
    },
  );

  async function expectToWorkAs(app: TestingModule, seen: string): Promise<void> {
    await app.get(JobQueue).enqueue(Note, { text: 'works' });
    expect(await within('the fake to run', runs.count(1))).toEqual([seen]);
  }
});

describe('the stop', () => {
  @Injectable()
  class Store implements OnModuleDestroy {
    isOpen = true;
    onModuleDestroy(): void {
      this.isOpen = false;
    }
    write(): string {
      return this.isOpen ? 'written' : 'closed';
    }
  }

  @Global()
  @Module({ providers: [Store], exports: [Store] })
  class GlobalStore {}

  @Module({ providers: [Store], exports: [Store] })
  class FeatureStore {}

  /** A job that writes when its gate opens, in the midst of the stop. */
  function slowWriter() {
    const begun = new Gate();
    const goOn = new Gate();
    @RogerJob({ name: 'writer' })
    class Writer {
      constructor(private readonly store: Store) {}
      async perform(_args: object): Promise<void> {
        begun.open();
        await goOn.opened;
        runs.add(this.store.write());
      }
    }
    return { Writer, begun, goOn };
  }

  test.each<[string, (writer: new (store: Store) => object) => ModuleMetadata]>([
    ['the root module', (Writer) => ({ providers: [Store, Writer] })],
    ['a feature module', (Writer) => ({ imports: [FeatureStore], providers: [Writer] })],
    ['a global module', (Writer) => ({ imports: [GlobalStore], providers: [Writer] })],
    [
      'a module of both',
      (Writer) => {
        @Module({ providers: [Store, Writer] })
        class Both {}
        return { imports: [Both] };
      },
    ],
  ])(
    'lets a running job end before the provider that it uses is closed: in %s',
    async (_where, metadataOf) => {
      const { Writer, begun, goOn } = slowWriter();
      const metadata = metadataOf(Writer);
      const roger = RogerModule.forRoot({ partitions: ACME });
      const app = await start({ ...metadata, imports: [roger, ...(metadata.imports ?? [])] });
      await app.get(JobQueue).enqueue(Writer, {});
      await within('the job to begin', begun.opened);
      const closed = app.close();
      setTimeout(() => goOn.open(), 50);
      await within('the app to close', closed);
      expect(runs.seen).toEqual(['written']);
    },
  );

  test.each([true, false])(
    'whichever module was imported first (Roger: %s), and not only if it is global',
    async (isFirst) => {
      const { Writer, begun, goOn } = slowWriter();
      @Module({ providers: [Store], exports: [Store] })
      class Deep {}
      @Module({ imports: [Deep], exports: [Deep] })
      class Feature {}
      const roger = RogerModule.forRoot({ partitions: ACME, isGlobal: false });
      const app = await start({
        imports: isFirst ? [roger, Feature] : [Feature, roger],
        providers: [Writer],
      });
      await app.get(JobQueue, { strict: false }).enqueue(Writer, {});
      await within('the job to begin', begun.opened);
      const closed = app.close();
      setTimeout(() => goOn.open(), 50);
      await within('the app to close', closed);
      expect(runs.seen).toEqual(['written']);
    },
  );

  test('a running job may enqueue what follows while the app closes; the next process runs it', async () => {
    const memory = new MemoryBroker();
    const begun = new Gate();
    const goOn = new Gate();
    @RogerJob()
    class Chain {
      constructor(private readonly jobs: JobQueue) {}
      async perform(_args: object): Promise<void> {
        begun.open();
        await goOn.opened;
        await this.jobs.enqueue(Note, { text: 'follows' });
      }
    }
    const worker = await startApp({ memory, partitions: ACME }, [Chain, Note]);
    await worker.jobs.enqueue(Chain, {});
    await within('the job to begin', begun.opened);
    const closed = worker.close();
    setTimeout(() => goOn.open(), 20);
    await closed;
    expect(runs.seen).toEqual([]);
    await startApp({ memory, partitions: ACME }, [Chain, Note]);
    expect(await within('what follows', runs.count(1))).toEqual(['follows']);
  });

  test('other providers may enqueue until onApplicationShutdown; from then on RogerClosedError says why not', async () => {
    @Injectable()
    class Farewell implements OnModuleDestroy, OnApplicationShutdown {
      constructor(private readonly jobs: JobQueue) {}
      async onModuleDestroy(): Promise<void> {
        const { status } = await this.jobs.enqueue(Note, { text: 'bye' });
        runs.add(status);
      }
      async beforeApplicationShutdown(): Promise<void> {
        const { status } = await this.jobs.enqueue(Note, { text: 'bye' });
        runs.add(status);
      }
      onApplicationShutdown(): void {
        runs.add('shut down');
      }
    }
    const testApp = await startApp({ partitions: ACME }, [Farewell]);
    const { jobs, info } = testApp;
    await testApp.close();
    expect(runs.seen).toEqual(['enqueued', 'enqueued', 'shut down']);
    await expect(jobs.enqueue(Note, { text: 'x' })).rejects.toThrow(RogerClosedError);
    await expect(info.queueDepth('acme', 'default')).rejects.toThrow(RogerClosedError);
    const { enqueued, failures } = await jobs.enqueueMany(Note, [{ text: 'a' }, { text: 'b' }]);
    expect({ enqueued, failures: failures.length }).toEqual({ enqueued: 0, failures: 2 });
    expect(failures[0]?.error).toBeInstanceOf(RogerClosedError);
  });

  test('does not wait for a job that never ends; the job goes back to its queue', async () => {
    const memory = new MemoryBroker();
    const begun = new Gate();
    let signal: AbortSignal | undefined;
    @RogerJob()
    class Endless {
      perform(_args: object, context: JobContext): Promise<void> {
        signal = context.signal;
        begun.open();
        return new Promise(() => undefined);
      }
    }
    const options = { memory, partitions: ACME, shutdownTimeoutMs: 100 };
    const testApp = await startApp(options, [Endless]);
    await testApp.jobs.enqueue(Endless, {});
    await within('the job to begin', begun.opened);
    const begin = performance.now();
    await testApp.close();
    expect(performance.now() - begin).toBeLessThan(3_000);
    expect(signal?.reason).toMatchObject({ code: 'ROGER_SHUTDOWN' });
    expect(testApp.log.messages('error')).toEqual([]);
    const { info } = await startApp({ memory, mode: 'producer', partitions: ACME });
    expect(await info.queueDepth('acme', 'default')).toMatchObject({ ready: 1, buried: 0 });
  });

  test('loses and repeats nothing in the midst of work', async () => {
    const memory = new MemoryBroker();
    @RogerJob()
    class Count {
      async perform({ n }: { n: number }): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, n % 3));
        runs.add(n);
      }
    }
    const options = { memory, partitions: { acme: { default: 5 } } };
    const first = await startApp(options, [Count]);
    await first.jobs.enqueueMany(
      Count,
      Array.from({ length: 300 }, (_, n) => ({ n })),
    );
    for (let restarts = 0; runs.seen.length < 300; restarts++) {
      expect(restarts).toBeLessThan(100);
      const app = restarts === 0 ? first : await startApp(options, [Count]);
      await within('some progress', runs.count(Math.min(300, runs.seen.length + 20)));
      await app.close();
    }
    expect([...(runs.seen as number[])].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 300 }, (_, n) => n),
    );
  });

  test('of an app that was never started, or is closed twice, is harmless', async () => {
    const app = await Test.createTestingModule({ imports: [RogerModule.forRoot({ partitions: ACME })] })
      .setLogger(new RecordedLog())
      .compile();
    await app.close();
    const twice = await start({ imports: [RogerModule.forRoot({ partitions: ACME })] });
    await twice.close();
    await expect(twice.close()).resolves.toBeUndefined();
  });
});

test("a Nest logger given by the app gets Roger's lines", async () => {
  const log = new RecordedLog();
  await start({ imports: [RogerModule.forRoot({ partitions: ACME })] }, log);
  expect(log.messages('log')).toEqual(['Serving acme (default)']);
});
