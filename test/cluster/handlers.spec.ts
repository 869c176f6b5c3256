// What can't answer a command as it should stops the start, with an error that names it.
import type { ModuleMetadata, Provider } from '@nestjs/common';
import { Controller, Injectable, Module, Scope } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { Test } from '@nestjs/testing';
import {
  ClusterService,
  DuplicateCommandError,
  InjectRoger,
  InvalidCommandError,
  RogerCommand,
  RogerModule,
} from 'nestjs-roger';
import { RecordedLog } from '../support/recorded-log';

let testing: TestingModule | undefined;

afterEach(async () => {
  await testing?.close();
  testing = undefined;
});

async function start(providers: Provider[], more: ModuleMetadata = {}): Promise<TestingModule> {
  const starting = await Test.createTestingModule({
    ...more,
    imports: [RogerModule.forRoot({}), ...(more.imports ?? [])],
    providers,
  })
    .setLogger(new RecordedLog())
    .compile();
  await starting.init();
  return (testing = starting);
}

const answer = async (command: string): Promise<unknown[]> => {
  if (testing === undefined) throw new Error('No app is there');
  const { replies } = await testing.get(ClusterService).call(command);
  return replies.map(({ value }) => value);
};

class Base {
  protected readonly word: string = 'base';

  @RogerCommand('say')
  say(): string {
    return this.word;
  }

  @RogerCommand('hidden')
  hidden(): string {
    return 'base';
  }
}

@Injectable()
class Derived extends Base {
  protected override readonly word = 'derived';

  override hidden(): string {
    return 'derived';
  }

  get trap(): never {
    throw new Error('a getter was run');
  }
}

test('inherited commands are answered by their instance; an override without a decorator is none', async () => {
  await start([Derived, { provide: 'alias', useExisting: Derived }]);
  expect(await answer('say')).toEqual(['derived']);
  expect(await answer('hidden')).toEqual([]);
});

test('controllers and products of factories answer, too', async () => {
  @Controller()
  class Pages {
    @RogerCommand('pages')
    count(): number {
      return 3;
    }
  }
  await start([{ provide: 'made', useFactory: () => new Base() }], { controllers: [Pages] });
  expect(await answer('pages')).toEqual([3]);
  expect(await answer('say')).toEqual(['base']);
});

test('two methods of one command stop the start', async () => {
  @Injectable()
  class Other {
    @RogerCommand('say')
    talk(): void {
      // Never called.
    }
  }
  const starting = start([Derived, Other]);
  await expect(starting).rejects.toBeInstanceOf(DuplicateCommandError);
  await expect(starting).rejects.toThrow(/"say": Derived.say and Other.talk/);
});

test('one class in two modules stops the start', async () => {
  @Module({ providers: [Derived] })
  class Feature {}
  await expect(start([Derived], { imports: [Feature] })).rejects.toBeInstanceOf(DuplicateCommandError);
});

test.each(['', 'a b', 'roger.running-jobs', 'x'.repeat(129)])('the name %j stops the start', async (name) => {
  @Injectable()
  class Named {
    @RogerCommand(name)
    run(): void {
      // Never called.
    }
  }
  await expect(start([Named])).rejects.toThrow(InvalidCommandError);
  await expect(start([Named])).rejects.toThrow(/Named\.run: /);
});

test.each([Scope.REQUEST, Scope.TRANSIENT])('a provider of scope %s stops the start', async (scope) => {
  @Injectable({ scope })
  class Scoped {
    @RogerCommand('run')
    run(): void {
      // Never called.
    }
  }
  await expect(start([Scoped])).rejects.toThrow(/Scoped\.run: .*must be a singleton/);
});

test('one that injects what is request-scoped stops the start', async () => {
  @Injectable({ scope: Scope.REQUEST })
  class Scoped {}
  @Injectable()
  class Injects {
    constructor(readonly scoped: Scoped) {}
    @RogerCommand('run')
    run(): void {
      // Never called.
    }
  }
  await expect(start([Scoped, Injects])).rejects.toThrow(/Injects\.run: .*must be a singleton/);
});

test('an instance that the app does not have stops the start', async () => {
  @Injectable()
  class Lost {
    @RogerCommand('run', { instance: 'billing' })
    run(): void {
      // Never called.
    }
  }
  await expect(start([Lost])).rejects.toThrow(/Lost\.run: .*"billing"/);
});

test('a command belongs to one instance', async () => {
  @Injectable()
  class Billing {
    constructor(@InjectRoger(ClusterService, 'billing') readonly cluster: ClusterService) {}
    @RogerCommand('run', { instance: 'billing' })
    run(): string {
      return 'billed';
    }
  }
  const app = await start([Billing], { imports: [RogerModule.forRoot({ name: 'billing' })] });
  expect(await answer('run')).toEqual([]);
  const { replies } = await app.get(Billing).cluster.call('run');
  expect(replies.map(({ value }) => value)).toEqual(['billed']);
});

test('the decorator is refused where no instance could answer', () => {
  const decorate = (target: object): void => {
    RogerCommand('run')(target, 'run', { value: () => 1 });
  };
  expect(() => {
    decorate(Base);
  }).toThrow(InvalidCommandError);
});
