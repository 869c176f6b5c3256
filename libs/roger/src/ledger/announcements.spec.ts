// Whoever announces a change knows, in bounded time, who has heard it and who has not.
import { performance } from 'node:perf_hooks';
import { Announcements } from './announcements';
import type { Heard } from './announcements';
import type { NodeCard } from './present-nodes';
import { PresentNodes } from './present-nodes';

describe('an announcement', () => {
  let now: number;
  let nodes: PresentNodes;
  let announcements: Announcements;
  let gone: Set<string>;
  let probed: string[];

  beforeEach(() => {
    jest.useFakeTimers();
    now = 1_000;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
    nodes = new PresentNodes();
    nodes.calledRoll();
    gone = new Set();
    probed = [];
    announcements = new Announcements(nodes, async (node) => {
      probed.push(node);
      if (node === 'unaskable') throw new Error('not connected');
      return !gone.has(node);
    });
    now += 1_000;
  });

  afterEach(() => {
    announcements.close();
    jest.useRealTimers();
    jest.restoreAllMocks();
  });

  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 50) {
      now += 50;
      await jest.advanceTimersByTimeAsync(50);
    }
  }

  function tell(): { readonly number: number; heard: Heard | undefined } {
    const told: { number: number; heard: Heard | undefined } = { number: 0, heard: undefined };
    void announcements
      .tell((number) => (told.number = number))
      .then((heard) => {
        told.heard = heard;
      });
    return told;
  }

  it('is over at once when all have heard it', async () => {
    nodes.heardOf(cardOf('a'));
    nodes.heardOf(cardOf('b'));
    const told = tell();
    announcements.heard(told.number, 'a', false);
    await pass(0);
    expect(told.heard).toBeUndefined();
    announcements.heard(told.number, 'b', true);
    await Promise.resolve();
    expect(told.heard).toEqual({ missing: [], isRunning: true });
  });

  it('is over at once when there is nobody to hear it', async () => {
    const told = tell();
    await Promise.resolve();
    expect(told.heard).toEqual({ missing: [], isRunning: false });
  });

  it('names who is there and has not heard it after 3 s', async () => {
    nodes.heardOf(cardOf('silent'));
    nodes.heardOf(cardOf('b'));
    const told = tell();
    announcements.heard(told.number, 'b', false);
    await pass(2_900);
    expect(told.heard).toBeUndefined();
    await pass(150);
    expect(told.heard).toEqual({ missing: ['silent'], isRunning: false });
  });

  it('does not wait for a node that the broker no longer knows', async () => {
    nodes.heardOf(cardOf('killed'));
    gone.add('killed');
    const told = tell();
    await pass(400);
    expect(told.heard).toEqual({ missing: [], isRunning: false });
    expect(nodes.serving()).toEqual([]);
  });

  it('waits for a node that can not be asked', async () => {
    nodes.heardOf(cardOf('unaskable'));
    const told = tell();
    await pass(1_000);
    expect(told.heard).toBeUndefined();
    expect(probed.length).toBeGreaterThan(1);
  });

  it('is not complete before everybody was asked who is there', async () => {
    nodes.wasDeaf();
    const told = tell();
    await pass(200);
    expect(told.heard).toBeUndefined();
    nodes.calledRoll();
    await pass(100);
    nodes.heardOf(cardOf('late'));
    await pass(300);
    expect(told.heard).toBeUndefined();
    announcements.heard(told.number, 'late', false);
    await pass(50);
    expect(told.heard).toEqual({ missing: [], isRunning: false });
  });

  it('is over in bounded time even when nobody can be asked', async () => {
    nodes.wasDeaf();
    const told = tell();
    await pass(3_050);
    expect(told.heard).toEqual({ missing: [], isRunning: false });
  });

  it('is given up when the node closes, and an unknown answer means nothing', async () => {
    nodes.heardOf(cardOf('a'));
    const told = tell();
    announcements.heard(told.number + 1, 'a', false);
    announcements.close();
    await Promise.resolve();
    expect(told.heard).toEqual({ missing: [], isRunning: false });
    announcements.heard(told.number, 'a', false);
    expect(jest.getTimerCount()).toBe(0);
  });
});

function cardOf(node: string): NodeCard {
  return { node, name: node, role: 'worker', isActive: true, serves: true, since: 0 };
}
