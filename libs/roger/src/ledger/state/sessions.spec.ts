// What was answered is remembered until the asker is known to have the answer.
import { Sessions } from './sessions';

describe('sessions', () => {
  it('recall an answer until it was received', () => {
    const sessions = new Sessions();
    sessions.open('a', 1, 0);
    expect(sessions.recall('a', 1)).toBeUndefined();
    sessions.remember('a', 1, { one: 1 });
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
    sessions.remember('a', 1, { one: 1 });
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

  it('keep nothing of what was received, whatever the order in which it was answered', () => {
    const sessions = new Sessions();
    sessions.open('a', 1, 0);
    for (const number of [3, 1, 2, 4]) sessions.remember('a', number, {});
    sessions.open('a', 5, 0);
    expect(sessions.dump()).toEqual([['a', 5, 0, []]]);
  });

  it('are the same after they were written down', () => {
    const sessions = new Sessions();
    sessions.open('a', 2, 7);
    sessions.remember('a', 3, { three: 3 });
    const copy = new Sessions();
    copy.open('gone', 1, 0);
    copy.load(JSON.parse(JSON.stringify(sessions.dump())) as ReturnType<Sessions['dump']>);
    expect(copy.dump()).toEqual(sessions.dump());
    expect(copy.recall('a', 3)).toEqual({ three: 3 });
    expect(copy.recall('a', 1)).toBe('over');
  });
});
