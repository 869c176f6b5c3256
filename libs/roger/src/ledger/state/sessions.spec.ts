// What was answered is remembered until the asker is known to have the answer.
import { Sessions } from './sessions';

describe('sessions', () => {
  it('recall an answer until it was received', () => {
    const sessions = new Sessions();
    sessions.open('a', 1, 0);
    expect(sessions.recall('a', 1)).toBeUndefined();
    sessions.answered('a', 1, { one: 1 });
    sessions.open('a', 1, 0);
    expect(sessions.recall('a', 1)).toEqual({ one: 1 });
    sessions.open('a', 2, 0);
    expect(sessions.recall('a', 1)).toBe('over');
  });

  it('are not confused by an older request that comes late', () => {
    const sessions = new Sessions();
    sessions.open('a', 5, 0);
    sessions.open('a', 2, 0);
    expect(sessions.recall('a', 4)).toBe('over');
  });

  it('are apart from each other', () => {
    const sessions = new Sessions();
    sessions.open('a', 1, 0);
    sessions.open('b', 1, 0);
    sessions.answered('a', 1, { one: 1 });
    expect(sessions.recall('b', 1)).toBeUndefined();
    expect(sessions.recall('nobody', 1)).toBeUndefined();
  });

  it('forget who has been silent', () => {
    const sessions = new Sessions();
    sessions.open('silent', 1, 100);
    sessions.open('heard', 1, 100);
    sessions.open('heard', 1, 200);
    sessions.forgetSilentSince(150);
    expect(sessions.dump().map(([id]) => id)).toEqual(['heard']);
  });

  it('keep nothing of what was received', () => {
    const sessions = new Sessions();
    sessions.open('a', 1, 0);
    for (const number of [1, 2, 3, 4]) sessions.answered('a', number, {});
    sessions.open('a', 4, 0);
    expect(sessions.dump()).toEqual([['a', 4, 4, 0, [[4, {}]]]]);
    sessions.open('a', 5, 0);
    expect(sessions.dump()).toEqual([['a', 5, 4, 0, []]]);
  });

  it('take what is asked in the order of its numbers', () => {
    const sessions = new Sessions();
    const inOrder = (): number[] => [1, 2, 3, 4, 5].filter((number) => sessions.isInOrder('a', number));
    expect(inOrder()).toEqual([]);
    sessions.open('a', 1, 0);
    expect(inOrder()).toEqual([1]);
    sessions.answered('a', 1, {});
    expect(inOrder()).toEqual([1, 2]);
    sessions.answered('a', 2, undefined);
    sessions.answered('a', 1, {});
    expect(inOrder()).toEqual([1, 2, 3]);
    expect([1, 2, 3].map((number) => sessions.isPassed('a', number))).toEqual([true, false, false]);
  });

  it('wait no longer for what was given up', () => {
    const sessions = new Sessions();
    sessions.open('a', 1, 0);
    sessions.open('a', 4, 0);
    expect([4, 5].map((number) => sessions.isInOrder('a', number))).toEqual([true, false]);
    sessions.open('a', 2, 0);
    expect(sessions.isInOrder('a', 4)).toBe(true);
    expect(sessions.recall('a', 3)).toBe('over');
  });

  it('begin anew with the first that is unanswered, when they were forgotten', () => {
    const sessions = new Sessions();
    sessions.open('a', 7, 0);
    expect([7, 8].map((number) => sessions.isInOrder('a', number))).toEqual([true, false]);
    expect(sessions.isPassed('nobody', 1)).toBe(false);
    sessions.answered('nobody', 1, {});
    expect(sessions.isInOrder('nobody', 1)).toBe(false);
  });

  it('are the same after they were written down', () => {
    const sessions = new Sessions();
    sessions.open('a', 2, 7);
    sessions.answered('a', 2, undefined);
    sessions.answered('a', 3, { three: 3 });
    const copy = new Sessions();
    copy.open('gone', 1, 0);
    copy.load(JSON.parse(JSON.stringify(sessions.dump())) as ReturnType<Sessions['dump']>);
    expect(copy.dump()).toEqual(sessions.dump());
    expect(copy.recall('a', 3)).toEqual({ three: 3 });
    expect(copy.recall('a', 1)).toBe('over');
    expect([4, 5].map((number) => copy.isInOrder('a', number))).toEqual([true, false]);
  });
});
