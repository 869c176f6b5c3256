// What enqueue takes by its types. Nothing here runs: `npm run types` compiles it, and a line under @ts-expect-error
// that would compile after all fails it.
import type { ArgsOf, EnqueueResult, Job, JobArgs, JobHandler, JobQueue, ResultOf } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';

declare const jobs: JobQueue;

type Same<A, B> = [A, B] extends [B, A] ? true : false;

class Attendee {
  name!: string;
  born?: Date;
}

class Meeting {
  id!: number;
  at!: Date;
  attendees!: Attendee[];
  moved: Date[] = [];
  note?: string;
  private readonly cache = new Map<string, string>();
  describe(): string {
    return this.cache.get('x') ?? this.id.toFixed();
  }
}

@RogerJob({ args: Meeting })
class Invite implements JobHandler<Meeting, string> {
  async perform({ at }: Meeting): Promise<string> {
    return at.toISOString();
  }
}

@RogerJob()
class Ping {
  perform(): void {
    // Takes no args.
  }
}

@RogerJob()
class Tell {
  perform(_args: string): void {
    // Takes a text.
  }
}

@RogerJob()
class Move {
  perform(_args: { kind: 'up'; by: number } | { kind: 'to'; floor: string | null }): void {
    // Takes one of two shapes.
  }
}

@RogerJob()
class Anything {
  perform(_args: unknown): void {
    // Takes what it gets.
  }
}

@RogerJob()
class Dated {
  perform(): Promise<{ at: Date; list: Date[] }> {
    return Promise.resolve({ at: new Date(), list: [] });
  }
}

class Undecorated {
  perform(_args: { n: number }): void {
    // Known at run time only.
  }
}

export function argsAreThoseOfPerform(): void {
  void jobs.enqueue(Tell, 'x');
  // @ts-expect-error a number is no text
  void jobs.enqueue(Tell, 5);
  // @ts-expect-error the args are missing
  void jobs.enqueue(Tell);
  // @ts-expect-error undefined doesn't travel
  void jobs.enqueue(Tell, undefined);

  void jobs.enqueue(Move, { kind: 'up', by: 1 });
  void jobs.enqueue(Move, { kind: 'to', floor: null });
  // @ts-expect-error by belongs to the other shape
  void jobs.enqueue(Move, { kind: 'to', by: 1 });
  // @ts-expect-error there is no such kind
  void jobs.enqueue(Move, { kind: 'down', by: 1 });
  // @ts-expect-error nothing may be added to a literal
  void jobs.enqueue(Move, { kind: 'up', by: 1, fast: true });
  void jobs.enqueue(Undecorated, { n: 1 });
}

export function aDateIsGivenAsAText(): void {
  const attendees = [{ name: 'a' }, { name: 'b', born: '1990-01-01' }];
  void jobs.enqueue(Invite, { id: 1, at: new Date().toISOString(), attendees, moved: ['2024-01-01'] });
  // @ts-expect-error JSON has no dates
  void jobs.enqueue(Invite, { id: 1, at: new Date(), attendees: [], moved: [] });
  // @ts-expect-error not within a list either
  void jobs.enqueue(Invite, { id: 1, at: '', attendees: [], moved: [new Date()] });
  // @ts-expect-error nor nested
  void jobs.enqueue(Invite, { id: 1, at: '', attendees: [{ name: 'a', born: new Date() }], moved: [] });
  // @ts-expect-error at is missing
  void jobs.enqueue(Invite, { id: 1, attendees: [], moved: [] });
  // @ts-expect-error id is a number
  void jobs.enqueue(Invite, { id: '1', at: '', attendees: [], moved: [] });
  true satisfies Same<ArgsOf<typeof Invite>, Meeting>;
  // Methods and private fields are not asked for.
  true satisfies Same<keyof JobArgs<typeof Invite>, 'id' | 'at' | 'attendees' | 'moved' | 'note'>;
  // Lists that nobody may change are as good as others.
  void jobs.enqueue(Invite, { id: 1, at: '', attendees: [], moved: ['x'] as const });
}

export function aJobWithoutArgsIsGivenSomethingEmpty(): void {
  void jobs.enqueue(Ping, {});
  void jobs.enqueue(Ping, null);
  void jobs.enqueue(Anything, { a: [1, 'x', null] });
  // @ts-expect-error undefined doesn't travel
  void jobs.enqueue(Ping, undefined);
}

export function onlyAJobClassIsTaken(): void {
  // @ts-expect-error a class without perform
  void jobs.enqueue(Meeting, {});
  // @ts-expect-error an instance
  void jobs.enqueue(new Ping(), {});
  // @ts-expect-error a name is no class
  void jobs.enqueue('Ping', {});
}

export function optionsAreTyped(): void {
  void jobs.enqueue(Ping, {}, { partition: 'acme', queue: 'mail', id: 'x' });
  // @ts-expect-error there is no such option
  void jobs.enqueue(Ping, {}, { partion: 'acme' });
  // @ts-expect-error an id is a text
  void jobs.enqueue(Ping, {}, { id: 5 });
  // @ts-expect-error undefined is not the same as left out
  void jobs.enqueue(Ping, {}, { partition: undefined });
  // @ts-expect-error many jobs can't have one id
  void jobs.enqueueMany(Ping, [{}], { id: 'x' });
}

export async function whatComesBackIsTyped(): Promise<void> {
  const result = await jobs.enqueue(Tell, 'x');
  result satisfies EnqueueResult<string>;
  true satisfies Same<typeof result.job.args, string>;
  const made = jobs.create(Tell, 'x');
  true satisfies Same<typeof made, Job<string>>;
  const again = await jobs.enqueue(made);
  true satisfies Same<typeof again.job.args, string>;
  // @ts-expect-error a job doesn't change
  made.attempt = 2;
  // @ts-expect-error nor where it goes
  again.job.partition = 'other';
}

export function manyAreTypedLikeOne(made: Job[], later: AsyncIterable<string>): void {
  void jobs.enqueueMany(Tell, ['a', 'b']);
  void jobs.enqueueMany(Tell, new Set(['a']));
  void jobs.enqueueMany(Tell, later);
  void jobs.enqueueMany(made);
  // @ts-expect-error one of them is no text
  void jobs.enqueueMany(Tell, ['a', 5]);
  // @ts-expect-error args of another job
  void jobs.enqueueMany(Invite, later);
  // @ts-expect-error args without their class
  void jobs.enqueueMany(later);
  // @ts-expect-error one, where many are wanted
  void jobs.enqueueMany(Move, { kind: 'up', by: 1 });
}

declare function use(...values: unknown[]): void;

export async function theResultIsThatOfPerform(): Promise<void> {
  const awaitable = { awaitable: true } as const;
  const invited = await jobs.enqueue(Invite, { id: 1, at: '', attendees: [], moved: [] }, awaitable);
  const text: string = await invited.finished({ timeoutMs: 1 });
  // @ts-expect-error it is a text
  const count: number = await invited.finished({ timeoutMs: 1 });
  const pinged = await jobs.enqueue(Ping, {}, awaitable);
  const nothing: Same<Awaited<ReturnType<typeof pinged.finished>>, ResultOf<typeof Ping>> = true;
  const dated = await jobs.enqueue(Dated, {}, awaitable);
  const { at, list } = await dated.finished({ timeoutMs: 1 });
  const strings: Same<[typeof at, typeof list], [string, readonly string[]]> = true;
  use(text, count, nothing, strings, pinged, at, list);
  if (invited.status === 'duplicate') use(invited.existingJobId);
  // @ts-expect-error a wait has a time
  void invited.finished({});

  const unawaitable = await jobs.enqueue(Tell, 'x');
  // @ts-expect-error it is not awaitable
  use(unawaitable.finished);
  const open = await jobs.enqueue(Tell, 'x', { awaitable: false });
  // @ts-expect-error it is not awaitable
  use(open.finished);
  // @ts-expect-error a job that is made but not enqueued can't be awaited
  void jobs.create(Tell, 'x', { awaitable: true });
  // @ts-expect-error nor can many at once
  void jobs.enqueueMany(Tell, ['x'], { awaitable: true });
}
