// A node knows what was cancelled and paused, in whatever order it hears of it.
import { performance } from 'node:perf_hooks';
import type { StandingListener } from './standing-board';
import { StandingBoard } from './standing-board';

class Listener implements StandingListener {
  readonly heard: string[] = [];
  isRunningHere = false;
  board: StandingBoard | undefined;

  onPauseChange(partition: string, queue: string): void {
    this.heard.push(`${queue} ${this.board?.isPaused(partition, queue) === true ? 'paused' : 'goes on'}`);
  }

  onCancel(_partition: string, id: string, reason: string, fence: number | undefined): boolean {
    this.heard.push(`cancel ${id} ${reason} ${fence ?? 'any'}`);
    return this.isRunningHere;
  }

  onMoved(_partition: string, id: string, queuedAt: number): boolean {
    this.heard.push(`moved ${id} of ${queuedAt}`);
    return this.isRunningHere;
  }

  onCurrentChange(): void {
    this.heard.push(this.board?.isCurrent === true ? 'current' : 'outdated');
  }
}

describe('a board', () => {
  let listener: Listener;
  let board: StandingBoard;

  beforeEach(() => {
    listener = new Listener();
    board = new StandingBoard(listener);
    listener.board = board;
  });

  it('is current from its first standing until it may have missed something', () => {
    expect(board.isCurrent).toBe(false);
    board.outdate();
    board.replace({ state: 's', version: 1, cancelled: [], paused: [] });
    board.replace({ state: 's', version: 2, cancelled: [], paused: [] });
    board.outdate();
    board.outdate();
    expect(listener.heard).toEqual(['current', 'outdated']);
  });

  it('says why a job, or a run of it, was cancelled', () => {
    const cancelled = [
      ['p', 'unkeyed', 'enough'],
      ['p', 'running', 'stop', 7],
    ] as const;
    board.replace({ state: 's', version: 1, cancelled, paused: [] });
    expect(board.cancelReason('p', 'unkeyed')).toBe('enough');
    expect(board.cancelReason('p', 'running')).toBeUndefined();
    expect(board.cancelReason('p', 'running', 7)).toBe('stop');
    expect(board.cancelReason('p', 'running', 8)).toBeUndefined();
    expect(board.cancelReason('other', 'unkeyed')).toBeUndefined();
    expect(listener.heard).toEqual(['cancel unkeyed enough any', 'cancel running stop 7', 'current']);
  });

  it('keeps a change that it heard when an older standing comes after it', () => {
    board.apply({ state: 's', version: 5 }, { kind: 'pause', partition: 'p', queue: 'q' });
    board.apply({ state: 's', version: 6 }, { kind: 'cancel', partition: 'p', id: 'j', reason: 'enough' });
    board.replace({ state: 's', version: 4, cancelled: [], paused: [] });
    expect(board.isPaused('p', 'q')).toBe(true);
    expect(board.cancelReason('p', 'j')).toBe('enough');
    board.apply({ state: 's', version: 7 }, { kind: 'resume', partition: 'p', queue: 'q' });
    board.apply({ state: 's', version: 8 }, { kind: 'met', partition: 'p', id: 'j' });
    board.replace({ state: 's', version: 6, cancelled: [['p', 'j', 'enough']], paused: [['p', 'q']] });
    expect(board.isPaused('p', 'q')).toBe(false);
    expect(board.cancelReason('p', 'j')).toBeUndefined();
  });

  it('forgets with a newer standing what is no longer in it', () => {
    board.apply({ state: 's', version: 1 }, { kind: 'pause', partition: 'p', queue: 'q' });
    board.apply({ state: 's', version: 2 }, { kind: 'cancel', partition: 'p', id: 'j', reason: 'enough' });
    listener.heard.length = 0;
    board.replace({ state: 's', version: 9, cancelled: [], paused: [['p', 'r']] });
    expect(listener.heard).toEqual(['q goes on', 'r paused', 'current']);
    expect(board.cancelReason('p', 'j')).toBeUndefined();
  });

  it('has a change on it before anybody hears of it', () => {
    board.apply({ state: 's', version: 1 }, { kind: 'pause', partition: 'p', queue: 'q' });
    board.apply({ state: 's', version: 2 }, { kind: 'resume', partition: 'p', queue: 'q' });
    expect(listener.heard).toEqual(['q paused', 'q goes on']);
    expect(board.isPaused('p', 'q')).toBe(false);
  });

  it('says whether the cancelled job runs here', () => {
    const cancel = { kind: 'cancel', partition: 'p', id: 'j', reason: 'enough', fence: 3 } as const;
    expect(board.apply({ state: 's', version: 1 }, cancel)).toBe(false);
    listener.isRunningHere = true;
    expect(board.apply({ state: 's', version: 2 }, cancel)).toBe(true);
    expect(board.apply({ state: 's', version: 3 }, { kind: 'met', partition: 'p', id: 'j' })).toBe(false);
    expect(board.apply({ state: 's', version: 4 }, { kind: 'pause', partition: 'p', queue: 'q' })).toBe(
      false,
    );
  });

  it('forgets a cancel that was met, and no other', () => {
    board.apply({ state: 's', version: 1 }, { kind: 'cancel', partition: 'p', id: 'j', reason: 'a' });
    board.apply(
      { state: 's', version: 2 },
      { kind: 'cancel', partition: 'p', id: 'j', reason: 'b', fence: 3 },
    );
    board.forget('p', 'j');
    expect(board.cancelReason('p', 'j')).toBeUndefined();
    expect(board.cancelReason('p', 'j', 3)).toBe('b');
  });

  it('forgets a cancel after a day, but not one that is to be kept', () => {
    const HOUR = 60 * 60 * 1_000;
    const [began, date] = [performance.now(), Date.now()];
    let passedMs = 0;
    jest.spyOn(performance, 'now').mockImplementation(() => began + passedMs);
    jest.spyOn(Date, 'now').mockImplementation(() => date + passedMs);
    try {
      const cancelled = [
        ['kept', 'j', 'enough'],
        ['p', 'j', 'enough'],
      ] as const;
      const cancelsKept = [['kept', Date.now() + 99 * HOUR]] as const;
      board.replace({ state: 's', version: 1, cancelled, paused: [], cancelsKept });
      passedMs += 26 * HOUR;
      board.expire();
      expect(board.cancelReason('p', 'j')).toBeUndefined();
      expect(board.cancelReason('kept', 'j')).toBe('enough');
      const longer = { kind: 'keep cancels', partition: 'kept', until: Date.now() + 200 * HOUR } as const;
      board.apply({ state: 's', version: 2 }, longer);
      passedMs += 150 * HOUR;
      board.expire();
      expect(board.cancelReason('kept', 'j')).toBe('enough');
      passedMs += 60 * HOUR;
      board.expire();
      expect(board.cancelReason('kept', 'j')).toBeUndefined();
    } finally {
      jest.restoreAllMocks();
    }
  });
});
