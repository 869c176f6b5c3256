// Handlers are ordinary Nest providers: their scopes, their enhancers, their context, and whatever they throw.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  type ArgumentsHost,
  BadRequestException,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  Get,
  Inject,
  Injectable,
  type NestInterceptor,
  ParseIntPipe,
  type PipeTransform,
  Scope,
  SetMetadata,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE, REQUEST, Reflector } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { Type } from 'class-transformer';
import { IsDate, IsInt } from 'class-validator';
import {
  type AfterRunEvent,
  type BuriedEvent,
  type ErrorEvent,
  type JobContext,
  JobQueue,
  MemoryBroker,
  ROGER_CONTEXT,
  RogerCallbacks,
  RogerJob,
  RogerModule,
  type WorkerCallbacks,
} from 'nestjs-roger';
import { map, Observable, of, tap, throwError } from 'rxjs';
import { eventually, startApp, type TestApp } from './support/app';
import { RecordedLog } from './support/recorded-log';
import { Gate, Signals } from './support/signal';
import { within } from './support/within';

/** What the handlers and enhancers of a test have to tell. */
const told = new Signals<string>();
const results: unknown[] = [];
const failures = new Signals<Error>();

@RogerCallbacks()
class Outcomes implements WorkerCallbacks {
  afterRun({ result }: AfterRunEvent): void {
    results.push(result);
    told.add('done');
  }
  onError({ error }: ErrorEvent): void {
    failures.add(error);
    told.add('failed');
  }
  onBuried({ error }: BuriedEvent): void {
    failures.add(error);
    told.add('buried');
  }
}

beforeEach(() => {
  told.seen.length = 0;
  results.length = 0;
  failures.seen.length = 0;
});

const options = { partitions: { acme: { default: 10 } } };

function start(...providers: NonNullable<Parameters<typeof startApp>[1]>): Promise<TestApp> {
  return startApp(options, [Outcomes, ...providers]);
}

/** What was told in all, once the job is over. */
async function story(): Promise<readonly string[]> {
  await eventually('the job to be over', () =>
    told.seen.some((it) => ['done', 'failed', 'buried'].includes(it)),
  );
  return told.seen;
}

const once = { retryable: false } as const;

/** Throws whatever it is given, as JavaScript may. */
const throwing = (thrown: unknown) => (): never => {
  throw thrown;
};

describe('the scope of a handler', () => {
  test('a singleton runs all its jobs', async () => {
    let instances = 0;
    @RogerJob()
    class Single {
      readonly number = ++instances;
      perform(_args: object): void {
        told.add(`instance ${this.number}`);
      }
    }
    const { jobs } = await startApp(options, [Single]);
    for (let n = 0; n < 3; n++) await jobs.enqueue(Single, {});
    expect(await within('three jobs', told.count(3))).toEqual(['instance 1', 'instance 1', 'instance 1']);
  });

  test.each([
    ['request-scoped', Scope.REQUEST],
    ['transient', Scope.TRANSIENT],
  ])('a %s one has an instance for each job, also while several run', async (_name, scope) => {
    let instances = 0;
    const goOn = new Gate();
    @RogerJob()
    @Injectable({ scope })
    class Fresh {
      readonly number = ++instances;
      async perform(_args: object): Promise<void> {
        told.add('begun');
        await goOn.opened;
        told.add(`instance ${this.number}`);
      }
    }
    const { jobs } = await startApp(options, [Fresh]);
    const before = instances;
    for (let n = 0; n < 3; n++) await jobs.enqueue(Fresh, {});
    await within('all to begin', told.count(3));
    goOn.open();
    const ended = (await within('all to end', told.count(6))).slice(3);
    expect(new Set(ended).size).toBe(3);
    expect(instances - before).toBe(3);
  });

  test('a retry has an instance of its own, too', async () => {
    let instances = 0;
    @RogerJob({ retryable: { levels: [1] } })
    @Injectable({ scope: Scope.REQUEST })
    class Fresh {
      readonly number = ++instances;
      perform(_args: object, { attempt }: JobContext): void {
        told.add(`attempt ${attempt} by ${this.number}`);
        if (attempt === 1) throw new Error('again');
      }
    }
    const { jobs } = await startApp(options, [Fresh]);
    await jobs.enqueue(Fresh, {});
    expect(await within('both attempts', told.count(2))).toEqual(['attempt 1 by 1', 'attempt 2 by 2']);
  });

  test('what is injected deep below a job is shared within it, and not with others', async () => {
    let instances = 0;
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {
      readonly number = ++instances;
      constructor(@Inject(REQUEST) readonly context: JobContext) {}
    }
    @Injectable()
    class Mailer {
      constructor(readonly tenant: Tenant) {}
    }
    @RogerJob()
    class Mail {
      constructor(
        readonly mailer: Mailer,
        readonly tenant: Tenant,
      ) {}
      perform({ n }: { n: number }, context: JobContext): void {
        const isShared = this.mailer.tenant === this.tenant;
        const isContext = this.tenant.context === context;
        told.add(
          `job ${n} of ${this.tenant.context.job.partition}: ${isShared} ${isContext} ${this.tenant.number}`,
        );
      }
    }
    const { jobs } = await startApp(options, [Tenant, Mailer, Mail]);
    await jobs.enqueue(Mail, { n: 1 });
    await within('the first', told.count(1));
    await jobs.enqueue(Mail, { n: 2 });
    expect(await within('both', told.count(2))).toEqual([
      'job 1 of acme: true true 1',
      'job 2 of acme: true true 2',
    ]);
  });

  test.each([
    ['request-scoped', Scope.REQUEST],
    ['transient', Scope.TRANSIENT],
  ])('what a %s one holds is released after its job', async (_name, scope) => {
    const held: WeakRef<object>[] = [];
    @RogerJob()
    @Injectable({ scope })
    class Fresh {
      constructor() {
        held.push(new WeakRef(this));
      }
      perform(_args: object, context: JobContext): void {
        held.push(new WeakRef(context));
        told.add('run');
      }
    }
    const { jobs } = await startApp(options, [Fresh]);
    const before = held.length;
    for (let n = 0; n < 50; n++) await jobs.enqueue(Fresh, {});
    await within('all jobs', told.count(50));
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const alive = (): number => held.slice(before).filter((it) => it.deref() !== undefined).length;
    await eventually('all instances and contexts to be released', () => {
      gc();
      return alive() <= 1;
    });
    expect(alive()).toBeLessThanOrEqual(1);
  });

  test('a request-scoped provider that fails to build fails the attempt, and the next job runs', async () => {
    let builds = 0;
    @RogerJob(once)
    @Injectable({ scope: Scope.REQUEST })
    class Fragile {
      constructor() {
        if (++builds === 1) throw new Error('no tenant');
      }
      perform(_args: object): void {
        told.add('run');
      }
    }
    const { jobs } = await start(Fragile);
    await jobs.enqueue(Fragile, {});
    expect(await story()).toEqual(['failed']);
    expect(failures.seen[0]?.message).toBe('no tenant');
    await jobs.enqueue(Fragile, {});
    expect(await within('the second job', told.count(3))).toEqual(['failed', 'run', 'done']);
  });
});

@Injectable()
class Diary {
  write(line: string): void {
    told.add(line);
  }
}

function describeContext(name: string, context: ArgumentsHost): string {
  const [args, job] = context.getArgs<[{ n?: number }, JobContext]>();
  return `${name}: ${context.getType<string>()} n=${args.n} ${job.job.name}`;
}

@Injectable()
class DiaryGuard implements CanActivate {
  constructor(
    private readonly diary: Diary,
    private readonly reflector: Reflector,
  ) {}
  canActivate(context: ExecutionContext): boolean {
    this.diary.write(describeContext('guard', context));
    const role = this.reflector.getAllAndOverride<string | undefined>('role', [
      context.getHandler(),
      context.getClass(),
    ]);
    return role !== 'nobody';
  }
}

@Injectable()
class DiaryInterceptor implements NestInterceptor {
  constructor(private readonly diary: Diary) {}
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    this.diary.write(describeContext('before', context));
    return next.handle().pipe(
      tap(() => this.diary.write('after')),
      map((result) => ({ wrapped: result as unknown })),
    );
  }
}

@Injectable()
class DoublingPipe implements PipeTransform {
  constructor(private readonly diary: Diary) {}
  transform(args: { n: number }): { n: number } {
    this.diary.write(`pipe n=${args.n}`);
    return { n: args.n * 2 };
  }
}

class OutOfStock extends Error {}

@Catch(OutOfStock)
@Injectable()
class StockFilter implements ExceptionFilter {
  constructor(private readonly diary: Diary) {}
  catch(error: OutOfStock, host: ArgumentsHost): string {
    this.diary.write(`${describeContext('filter', host)}: ${error.message}`);
    return 'ordered anew';
  }
}

abstract class Selling {
  @Inject(Diary) protected readonly diary!: Diary;
  sell(n: number): string {
    this.diary.write(`perform n=${n}`);
    if (n > 100) throw new OutOfStock(`only 100 of ${n}`);
    if (n < 0) throw new RangeError('less than nothing');
    return `sold ${n}`;
  }
}

@RogerJob({ ...once, name: 'Sell' })
@UseGuards(DiaryGuard)
@UseInterceptors(DiaryInterceptor)
@UsePipes(DoublingPipe)
@UseFilters(StockFilter)
class SellByClass extends Selling {
  perform({ n }: { n: number }): string {
    return this.sell(n);
  }
}

@RogerJob({ ...once, name: 'Sell' })
class SellByMethod extends Selling {
  @UseGuards(DiaryGuard)
  @UseInterceptors(DiaryInterceptor)
  @UsePipes(DoublingPipe)
  @UseFilters(StockFilter)
  perform({ n }: { n: number }): string {
    return this.sell(n);
  }
}

@RogerJob({ ...once, name: 'Sell' })
@Injectable({ scope: Scope.REQUEST })
@UseGuards(DiaryGuard)
@UseInterceptors(DiaryInterceptor)
@UsePipes(DoublingPipe)
@UseFilters(StockFilter)
class SellByRequest extends Selling {
  perform({ n }: { n: number }): string {
    return this.sell(n);
  }
}

@RogerJob({ ...once, name: 'Sell' })
@Injectable({ scope: Scope.TRANSIENT })
class SellByTransient extends Selling {
  @UseGuards(DiaryGuard)
  @UseInterceptors(DiaryInterceptor)
  @UsePipes(DoublingPipe)
  @UseFilters(StockFilter)
  perform({ n }: { n: number }): string {
    return this.sell(n);
  }
}

describe.each([
  ['on the class', SellByClass],
  ['on the method', SellByMethod],
  ['on a request-scoped class', SellByRequest],
  ['on the method of a transient class', SellByTransient],
] as const)('enhancers %s', (_where, Sell) => {
  test('are passed in the order that Nest has, with what they inject', async () => {
    const { jobs } = await start(Diary, Sell);
    await jobs.enqueue(Sell, { n: 3 });
    expect(await story()).toEqual([
      'guard: roger n=3 Sell',
      'before: roger n=3 Sell',
      'pipe n=3',
      'perform n=6',
      'after',
      'done',
    ]);
    expect(results).toEqual([{ wrapped: 'sold 6' }]);
  });

  test('a filter turns the error that it catches into a good end', async () => {
    const { jobs } = await start(Diary, Sell);
    await jobs.enqueue(Sell, { n: 51 });
    expect((await story()).slice(-2)).toEqual(['filter: roger n=51 Sell: only 100 of 102', 'done']);
    expect(results).toEqual(['ordered anew']);
  });

  test('an error that no filter catches fails the attempt, as it is', async () => {
    const { jobs } = await start(Diary, Sell);
    await jobs.enqueue(Sell, { n: -1 });
    expect((await story()).at(-1)).toBe('failed');
    expect(failures.seen).toEqual([new RangeError('less than nothing')]);
  });
});

describe('a guard', () => {
  test('that says no fails the attempt before anything is run', async () => {
    @RogerJob(once)
    @UseGuards(DiaryGuard)
    @SetMetadata('role', 'nobody')
    class Forbidden {
      perform({ n }: { n: number }): void {
        told.add(`performed ${n}`);
      }
    }
    const { jobs } = await start(Diary, Forbidden);
    await jobs.enqueue(Forbidden, { n: 1 });
    expect(await story()).toEqual(['guard: roger n=1 Forbidden', 'failed']);
    expect(failures.seen[0]).toBeInstanceOf(ForbiddenException);
  });

  test.each([
    ['a promise', () => Promise.resolve(false)],
    ['an observable', () => of(false)],
  ])('may say no by %s', async (_how, canActivate) => {
    @RogerJob(once)
    @UseGuards({ canActivate })
    class Forbidden {
      perform(_args: object): void {
        told.add('performed');
      }
    }
    const { jobs } = await start(Forbidden);
    await jobs.enqueue(Forbidden, {});
    expect(await story()).toEqual(['failed']);
  });

  test('may see the class and the method that it guards', async () => {
    let seen: unknown;
    @RogerJob(once)
    @UseGuards({
      canActivate: (context: ExecutionContext) => {
        seen = [context.getClass(), context.getHandler(), context.getType() === (ROGER_CONTEXT as string)];
        return true;
      },
    })
    class Guarded {
      perform(_args: object): void {
        told.add('performed');
      }
    }
    const { jobs } = await start(Guarded);
    await jobs.enqueue(Guarded, {});
    await story();
    // eslint-disable-next-line jest/unbound-method -- it is compared, not called
    expect(seen).toEqual([Guarded, Guarded.prototype.perform, true]);
  });

  test('of a request-scoped job may be request-scoped itself and know the job', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class JobGuard implements CanActivate {
      constructor(@Inject(REQUEST) private readonly context: JobContext) {}
      canActivate(): boolean {
        told.add(`guard of ${this.context.job.id}`);
        return true;
      }
    }
    @RogerJob(once)
    @Injectable({ scope: Scope.REQUEST })
    @UseGuards(JobGuard)
    class Guarded {
      perform(_args: object): void {
        told.add('performed');
      }
    }
    const { jobs } = await start(Guarded);
    await jobs.enqueue(Guarded, {}, { id: 'j1' });
    await jobs.enqueue(Guarded, {}, { id: 'j2' });
    await within('both jobs', told.count(6));
    expect([...told.seen].sort().slice(2)).toEqual(['guard of j1', 'guard of j2', 'performed', 'performed']);
  });
});

describe('a pipe', () => {
  class Meeting {
    @IsInt() id!: number;
    @IsDate() @Type(() => Date) at!: Date;
  }

  test('ValidationPipe checks the args against the type of the first parameter and makes an instance', async () => {
    @RogerJob(once)
    class Invite {
      @UsePipes(new ValidationPipe({ transform: true, whitelist: true }))
      perform(args: Meeting): unknown {
        return [args instanceof Meeting, args.at.getTime(), Object.keys(args).sort()];
      }
    }
    const { jobs } = await start(Invite);
    const args = { id: 1, at: new Date(5).toISOString(), surplus: 'x' };
    await jobs.enqueue(Invite, args);
    await story();
    expect(results).toEqual([[true, 5, ['at', 'id']]]);
  });

  test('ValidationPipe refuses args of another shape, and names each field', async () => {
    @RogerJob(once)
    class Invite {
      @UsePipes(ValidationPipe)
      perform(_args: Meeting): void {
        told.add('performed');
      }
    }
    const { jobs } = await start(Invite);
    await jobs.enqueue(Invite, { id: 'x', at: 'never' } as never);
    expect(await story()).toEqual(['failed']);
    const error = failures.seen[0] as BadRequestException;
    expect(error).toBeInstanceOf(BadRequestException);
    expect(error.getResponse()).toMatchObject({
      message: ['id must be an integer number', 'at must be a Date instance'],
    });
  });

  test('may replace the args by something that is no object', async () => {
    @RogerJob(once)
    @UsePipes(ParseIntPipe)
    class Count {
      perform(n: string): unknown {
        return n;
      }
    }
    const { jobs } = await start(Count);
    await jobs.enqueue(Count, '42');
    await story();
    expect(results).toEqual([42]);
  });
});

describe('an interceptor', () => {
  test('may end a job without running it', async () => {
    @RogerJob(once)
    @UseInterceptors({ intercept: () => of('from the cache') })
    class Cached {
      perform(_args: object): void {
        told.add('performed');
      }
    }
    const { jobs } = await start(Cached);
    await jobs.enqueue(Cached, {});
    expect(await story()).toEqual(['done']);
    expect(results).toEqual(['from the cache']);
  });

  test('may turn a failure into a good end, and a good end into a failure', async () => {
    @RogerJob(once)
    @UseInterceptors({ intercept: () => throwError(() => new Error('not tonight')) })
    class Refused {
      perform(_args: object): void {
        told.add('performed');
      }
    }
    const { jobs } = await start(Refused);
    await jobs.enqueue(Refused, {});
    expect(await story()).toEqual(['failed']);
    expect(failures.seen[0]?.message).toBe('not tonight');
  });

  test('and the handler may each return an observable: the job ends with its last value', async () => {
    @RogerJob(once)
    class Streaming {
      @UseInterceptors({ intercept: (_context: ExecutionContext, next: CallHandler) => next.handle() })
      perform(_args: object): Observable<number> {
        return of(1, 2, 3);
      }
    }
    const { jobs } = await start(Streaming);
    await jobs.enqueue(Streaming, {});
    await story();
    expect(results).toEqual([3]);
  });
});

describe('an exception filter', () => {
  test.each([
    ['a promise', () => Promise.resolve('saved')],
    ['an observable', () => of('saved')],
  ])('may answer by %s', async (_how, answer) => {
    @Catch()
    class Saving implements ExceptionFilter {
      catch(): unknown {
        return answer();
      }
    }
    @RogerJob(once)
    @UseFilters(Saving)
    class Failing {
      perform(_args: object): void {
        throw new Error('x');
      }
    }
    const { jobs } = await start(Failing);
    await jobs.enqueue(Failing, {});
    expect(await story()).toEqual(['done']);
    expect(results).toEqual(['saved']);
  });

  test('may throw another error, which then counts', async () => {
    @Catch()
    class Translating implements ExceptionFilter {
      catch(error: Error): never {
        throw new Error(`translated ${error.message}`);
      }
    }
    @RogerJob(once)
    class Failing {
      @UseFilters(new Translating())
      perform(_args: object): void {
        throw new Error('x');
      }
    }
    const { jobs } = await start(Failing);
    await jobs.enqueue(Failing, {});
    await story();
    expect(failures.seen[0]?.message).toBe('translated x');
  });

  test('also gets what a guard or a pipe throws', async () => {
    @Catch(ForbiddenException)
    class Lenient implements ExceptionFilter {
      catch(): string {
        return 'never mind';
      }
    }
    @RogerJob(once)
    @UseFilters(Lenient)
    @UseGuards({ canActivate: () => false })
    class Guarded {
      perform(_args: object): void {
        told.add('performed');
      }
    }
    const { jobs } = await start(Guarded);
    await jobs.enqueue(Guarded, {});
    expect(await story()).toEqual(['done']);
    expect(results).toEqual(['never mind']);
  });
});

describe('in an HTTP app', () => {
  @Injectable()
  class HttpGuard implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      told.add('http guard');
      return (
        context.switchToHttp().getRequest<{ headers: Record<string, string> }>().headers['x-key'] === 'sesame'
      );
    }
  }
  @Injectable()
  class HttpPipe implements PipeTransform {
    transform(value: string): string {
      told.add('http pipe');
      return value.trim();
    }
  }
  @Injectable()
  class HttpInterceptor implements NestInterceptor {
    intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
      told.add('http interceptor');
      context
        .switchToHttp()
        .getResponse<{ setHeader(name: string, value: string): void }>()
        .setHeader('x-seen', '1');
      return next.handle();
    }
  }
  @Catch()
  class HttpFilter implements ExceptionFilter {
    catch(_error: unknown, host: ArgumentsHost): void {
      told.add('http filter');
      host
        .switchToHttp()
        .getResponse<{ status(code: number): { send(body: string): void } }>()
        .status(418)
        .send('no');
    }
  }

  @Controller()
  class Greeter {
    constructor(private readonly jobs: JobQueue) {}
    @Get()
    async greet(): Promise<string> {
      const { job } = await this.jobs.enqueue(Plain, { fails: false });
      return job.id;
    }
  }

  @RogerJob(once)
  class Plain {
    perform({ fails }: { fails: boolean }): string {
      if (fails) throw new Error('as a job does');
      return 'plain';
    }
  }

  @RogerJob(once)
  @UseGuards(DiaryGuard)
  @UsePipes(ValidationPipe)
  class Enhanced {
    perform({ n }: { n: number }): string {
      if (n < 0) throw new Error('as a job does');
      return `enhanced ${n}`;
    }
  }

  async function startHttp(isGlobalByUse: boolean): Promise<{ app: NestExpressApplication; jobs: JobQueue }> {
    const appWide = [
      { provide: APP_GUARD, useClass: HttpGuard },
      { provide: APP_PIPE, useClass: HttpPipe },
      { provide: APP_INTERCEPTOR, useClass: HttpInterceptor },
      { provide: APP_FILTER, useClass: HttpFilter },
    ];
    const testing = await Test.createTestingModule({
      imports: [RogerModule.forRoot(options)],
      controllers: [Greeter],
      providers: [Outcomes, Diary, Plain, Enhanced, ...(isGlobalByUse ? [] : appWide)],
    })
      .setLogger(new RecordedLog())
      .compile();
    const app = testing.createNestApplication<NestExpressApplication>({ logger: new RecordedLog() });
    if (isGlobalByUse) {
      app.useGlobalGuards(new HttpGuard());
      app.useGlobalPipes(new HttpPipe());
      app.useGlobalInterceptors(new HttpInterceptor());
      app.useGlobalFilters(new HttpFilter());
    }
    await app.listen(0, '127.0.0.1');
    return { app, jobs: app.get(JobQueue) };
  }

  test.each([
    ['APP_GUARD and its like', false],
    ['useGlobalGuards and its like', true],
  ])('%s apply to requests and leave jobs alone', async (_how, isGlobalByUse) => {
    const { app, jobs } = await startHttp(isGlobalByUse);
    try {
      await jobs.enqueue(Plain, { fails: false });
      await within('the plain job', told.count(1));
      await jobs.enqueue(Plain, { fails: true });
      await within('the failing job', told.count(2));
      await jobs.enqueue(Enhanced, { n: 1 });
      await within('the enhanced job', told.count(4));
      await jobs.enqueue(Enhanced, { n: -1 });
      await within('the failing enhanced job', told.count(6));
      expect(told.seen).toEqual([
        'done',
        'failed',
        'guard: roger n=1 Enhanced',
        'done',
        'guard: roger n=-1 Enhanced',
        'failed',
      ]);
      expect(results).toEqual(['plain', 'enhanced 1']);
      expect(failures.seen.map(({ message }) => message)).toEqual(['as a job does', 'as a job does']);

      told.seen.length = 0;
      const url = await app.getUrl();
      const refused = await fetch(url);
      expect(refused.status).toBe(418);
      const answered = await fetch(url, { headers: { 'x-key': 'sesame' } });
      expect(answered.status).toBe(200);
      await within('the job of the request', told.count(5));
      expect(told.seen).toEqual(['http guard', 'http filter', 'http guard', 'http interceptor', 'done']);
    } finally {
      await app.close();
    }
  });
});

describe('the context of a job', () => {
  test('says which job it is, which attempt, and where it came from', async () => {
    const seen: unknown[] = [];
    @RogerJob({ name: 'ship', queue: 'default', retryable: { levels: [1] } })
    class Ship {
      perform(args: { id: number }, { job, attempt, signal }: JobContext): void {
        seen.push({ args, job: { ...job }, attempt, isAborted: signal.aborted });
        told.add('run');
        if (attempt === 1) throw new Error('again');
      }
    }
    const { jobs } = await startApp(options, [Ship]);
    const { job } = await jobs.enqueue(Ship, { id: 7 }, { id: 'order:7' });
    await within('both attempts', told.count(2));
    const same = { id: 'order:7', name: 'ship', partition: 'acme', queue: 'default', queuedAt: job.queuedAt };
    expect(seen).toEqual([
      {
        args: { id: 7 },
        job: expect.objectContaining({ ...same, attempt: 1 }) as object,
        attempt: 1,
        isAborted: false,
      },
      {
        args: { id: 7 },
        job: expect.objectContaining({ ...same, attempt: 2 }) as object,
        attempt: 2,
        isAborted: false,
      },
    ]);
  });

  test("has a logger whose lines carry the job's name and id", async () => {
    @RogerJob({ name: 'ship' })
    class Ship {
      perform(_args: object, { logger }: JobContext): void {
        logger.log('on its way');
        logger.warn('late');
        logger.error('lost', 'a stack');
        logger.debug('details');
        told.add('run');
      }
    }
    const { jobs, log } = await startApp(options, [Ship]);
    await jobs.enqueue(Ship, {}, { id: 'order:7' });
    await within('the run', told.count(1));
    const lines = log.lines.filter(({ context }) => context === 'ship order:7');
    expect(lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      'log on its way',
      'warn late',
      'error lost',
      'debug details',
    ]);
  });

  test('does not let a handler change the job of its retry', async () => {
    @RogerJob({ retryable: { levels: [1] } })
    class Rude {
      perform(args: { list: number[] }, { attempt }: JobContext): void {
        told.add(args.list.join());
        args.list.push(4);
        if (attempt === 1) throw new Error('again');
      }
    }
    const { jobs } = await startApp(options, [Rude]);
    await jobs.enqueue(Rude, { list: [1, 2, 3] });
    expect(await within('both attempts', told.count(2))).toEqual(['1,2,3', '1,2,3']);
  });

  test.each<[string, unknown]>([
    ['a circle', undefined],
    ['a BigInt', 1n],
  ])('survives a handler that puts %s into its args and fails', async (_what, value) => {
    @RogerJob({ retryable: { levels: [1] } })
    class Ruder {
      perform(args: Record<string, unknown>, { attempt }: JobContext): void {
        told.add(`attempt ${attempt} with ${Object.keys(args).join()}`);
        args['added'] = value ?? args;
        throw new Error('again');
      }
    }
    const { jobs } = await startApp(options, [Ruder]);
    await jobs.enqueue(Ruder, { given: 1 });
    expect(await within('both attempts', told.count(2), undefined, 5_000)).toEqual([
      'attempt 1 with given',
      'attempt 2 with given',
    ]);
  });
});

describe('what a handler throws or returns', () => {
  const THROWN: [what: string, perform: () => unknown, message: string][] = [
    ['an error, synchronously', throwing(new Error('at once')), 'at once'],
    ['an error, later', () => Promise.reject(new Error('later')), 'later'],
    ['undefined', throwing(undefined), 'the handler threw undefined, which is no Error'],
    ['null', throwing(null), 'the handler threw null, which is no Error'],
    ['a text', throwing('a\nb'), 'the handler threw "a\\nb", which is no Error'],
    ['an object', throwing({ password: 'x' }), 'the handler threw an object, which is no Error'],
    ['what has no text', throwing(Object.create(null)), 'the handler threw an object, which is no Error'],
    [
      'a rejection without reason',
      async () => throwing(undefined)(),
      'the handler threw undefined, which is no Error',
    ],
  ];

  test.each(THROWN)('%s fails the attempt, and the next job runs', async (_what, perform, message) => {
    @RogerJob(once)
    class Throwing {
      perform({ throws }: { throws: boolean }): unknown {
        return throws ? perform() : 'fine';
      }
    }
    const { jobs } = await start(Throwing);
    await jobs.enqueue(Throwing, { throws: true });
    await within('the failure', failures.count(1));
    expect(failures.seen[0]).toBeInstanceOf(Error);
    expect(failures.seen[0]?.message).toBe(message);
    await jobs.enqueue(Throwing, { throws: false });
    expect(await within('the next job', told.count(2))).toEqual(['failed', 'done']);
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['a plain value', 42],
    ['null', null],
    ['a promise', Promise.resolve('later')],
    ['what has no JSON', 5n],
    ['a thenable', { then: (resolve: (value: string) => void) => resolve('thenable') }],
  ])('%s ends it well', async (_what, value) => {
    @RogerJob(once)
    class Returning {
      perform(_args: object): unknown {
        return value;
      }
    }
    const { jobs, partitions } = await start(Returning);
    await jobs.enqueue(Returning, {});
    expect(await story()).toEqual(['done']);
    expect(results).toEqual([await value]);
    await eventually('the job to be settled', () => partitions.queues('acme')[0]?.counts.done === 1);
  });

  test('a job that is not retryable is over after its failure: neither retried nor buried', async () => {
    @RogerJob(once)
    class Failing {
      perform(_args: object): void {
        throw new Error('x');
      }
    }
    const memory = new MemoryBroker();
    const { jobs, partitions } = await startApp({ ...options, memory }, [Failing]);
    await jobs.enqueue(Failing, {});
    await eventually('the job to be over', () => partitions.queues('acme')[0]?.counts.failed === 1);
    expect(memory.buried({ partition: 'acme', queue: 'default' })).toEqual([]);
  });

  test('a job whose args have come to fail its DTO is buried with the reason, and never runs', async () => {
    class Lax {
      @IsInt() n!: number;
    }
    class Strict {
      @IsInt() n!: number;
      @IsInt() m!: number;
    }
    @RogerJob({ name: 'checked', args: Lax })
    class Old {
      perform(_args: Lax): void {
        told.add('old performed');
      }
    }
    @RogerJob({ name: 'checked', args: Strict })
    class New {
      perform(_args: Strict): void {
        told.add('new performed');
      }
    }
    const memory = new MemoryBroker();
    const producer = await startApp({ ...options, memory, mode: 'producer' });
    await producer.jobs.enqueue(Old, { n: 1 });
    await startApp({ ...options, memory }, [Outcomes, New]);
    expect(await story()).toEqual(['buried']);
    const [buried] = memory.buried({ partition: 'acme', queue: 'default' });
    expect(buried?.reason).toMatchObject({
      type: 'ROGER_INVALID_JOB_ARGS',
      message: 'Invalid args for job "checked": m: m must be an integer number',
    });
    expect(JSON.parse(buried?.body.toString() ?? '')).toMatchObject({ name: 'checked', args: { n: 1 } });
  });

  test('a handler gets an instance of its DTO', async () => {
    class Meeting {
      @IsDate() @Type(() => Date) at!: Date;
    }
    @RogerJob({ args: Meeting })
    class Invite {
      perform(args: Meeting): unknown {
        return [args instanceof Meeting, args.at];
      }
    }
    const { jobs } = await start(Invite);
    await jobs.enqueue(Invite, { at: new Date(5).toISOString() });
    await story();
    expect(results).toEqual([[true, new Date(5)]]);
  });
});
