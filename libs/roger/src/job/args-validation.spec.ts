// Args are checked against their DTO, and what is wrong is listed field by field.
import { Transform, Type } from 'class-transformer';
import { Allow, IsArray, IsDate, IsEmail, IsInt, Matches, ValidateNested } from 'class-validator';
import { checkArgs, hasRules } from './args-validation';
import type { Problem } from './errors';
import type { Class } from './job-definition';

class Address {
  @IsEmail() mail!: string;
  @IsInt() zip!: number;
}

class Order {
  @IsInt() id!: number;
  @ValidateNested() @Type(() => Address) to!: Address;
  @IsArray() @ValidateNested({ each: true }) @Type(() => Address) copies: Address[] = [];
}

class ExpressOrder extends Order {}

class Unchecked {
  id!: number;
}

class Meeting {
  @IsDate() @Type(() => Date) at!: Date;
}

class Fragile {
  @Transform(() => {
    throw new Error('no such unit');
  })
  @IsInt()
  weight!: number;
}

class Talkative {
  @Matches(/^\w+$/, { message: '$value is no word' }) word!: string;
}

async function problemsOf(argsClass: Class, args: unknown): Promise<readonly Problem[]> {
  const checked = await checkArgs(argsClass, args);
  return 'problems' in checked ? checked.problems : [];
}

const HOME = { mail: 'a@example.org', zip: 1 };

test('good args come out as an instance, nested ones too', async () => {
  const checked = await checkArgs(Order, { id: 1, to: HOME, copies: [HOME] });
  const args = ('args' in checked ? checked.args : undefined) as Order;
  expect(args).toBeInstanceOf(Order);
  expect(args.to).toBeInstanceOf(Address);
  expect(args.copies[0]).toBeInstanceOf(Address);
});

test('a date travels as a string and comes out as a Date', async () => {
  expect(await checkArgs(Meeting, { at: '2024-05-01T10:00:00.000Z' })).toEqual({
    args: { at: new Date('2024-05-01T10:00:00.000Z') },
  });
});

test('each wrong field is listed with its path', async () => {
  const problems = await problemsOf(Order, {
    id: 'x',
    to: { mail: 5, zip: 1 },
    copies: [HOME, { mail: 'a@b', zip: 'z' }],
  });
  expect(problems).toEqual([
    { path: 'id', message: 'id must be an integer number' },
    { path: 'to.mail', message: 'mail must be an email' },
    { path: 'copies[1].mail', message: 'mail must be an email' },
    { path: 'copies[1].zip', message: 'zip must be an integer number' },
  ]);
});

test.each<[unknown]>([[null], ['x'], [5], [[]], [[{ id: 1 }]]])('%p is no args for a DTO', async (args) => {
  expect(await problemsOf(Order, args)).toEqual([
    { path: '', message: 'args must be an object of the shape Order' },
  ]);
});

test('a DTO whose own code throws makes a problem, not a crash', async () => {
  expect(await problemsOf(Fragile, { weight: 1 })).toEqual([
    { path: '', message: 'checking them threw "no such unit"' },
  ]);
});

test('args that name parts of JavaScript reach nothing', async () => {
  const args = JSON.parse(
    '{"id":1,"to":{"mail":"a@b.de","zip":1},"constructor":{"prototype":{"admin":true}}}',
  ) as object;
  await checkArgs(ExpressOrder, args);
  expect(({} as { admin?: boolean }).admin).toBeUndefined();
});

test('a rule inherited is a rule, a class without any has none', () => {
  class Free {
    @Allow() anything: unknown;
  }
  expect([Order, ExpressOrder, Talkative, Free, Unchecked, Object].map((it) => hasRules(it))).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});
