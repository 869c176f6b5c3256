// Who has said lately that it is there is present, and nothing is complete before everybody was asked.
import { performance } from 'node:perf_hooks';
import type { NodeCard } from './present-nodes';
import { HERE_MS, PresentNodes } from './present-nodes';

const NORMAL = { name: '', role: 'worker', isActive: true, serves: true, since: 1 } as const;

describe('present nodes', () => {
  let nodes: PresentNodes;
  let now: number;
  let told: string[];

  const say = (node: string, more: Partial<NodeCard> = {}): void => {
    nodes.heardOf({ ...NORMAL, node, ...more });
  };

  beforeEach(() => {
    now = 1_000;
    told = [];
    jest.spyOn(performance, 'now').mockImplementation(() => now);
    nodes = new PresentNodes(({ kind, card }) => told.push(`${card.node} ${kind}`));
    nodes.calledRoll();
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  /** Time passes, and somebody looks all the while. */
  const pass = (ms: number): string[] => {
    const overdue: string[] = [];
    for (const until = now + ms; now < until;) {
      now = Math.min(until, now + 250);
      overdue.push(...nodes.overdue());
    }
    return overdue;
  };

  it('are present from when they were heard of until they leave, and each change is told once', () => {
    say('a');
    say('b');
    say('a');
    say('a', { isActive: false });
    nodes.left('a');
    nodes.left('a');
    expect(nodes.all().map(({ node }) => node)).toEqual(['b']);
    expect(told).toEqual(['a joined', 'b joined', 'a changed', 'a left']);
  });

  it('serve only if they say so', () => {
    say('serves');
    say('asks', { serves: false, role: 'producer' });
    now += 500;
    expect(nodes.all()).toHaveLength(2);
    expect(nodes.serving()).toEqual(['serves']);
    expect(nodes.mayServe('asks')).toBe(false);
  });

  it('are asked for when their turn is overdue, once a second, and nobody else is', () => {
    say('silent');
    expect(pass(5_250)).toEqual([]);
    say('heard');
    expect(pass(250)).toEqual(['silent']);
    expect(pass(3_000)).toEqual(['silent', 'silent', 'silent']);
  });

  it('are gone when they have said nothing for more than two of their turns', () => {
    say('silent');
    say('heard');
    pass(2 * HERE_MS);
    nodes.heardFrom('heard');
    nodes.heardFrom('unknown');
    expect(nodes.serving()).toEqual(['silent', 'heard']);
    pass(HERE_MS);
    expect(nodes.serving()).toEqual(['heard']);
    expect(told).toContain('silent left');
  });

  it('are not taken for gone by who was deaf, or busy, but are asked for when they miss the roll', () => {
    say('a');
    nodes.wasDeaf();
    pass(60_000);
    expect(nodes.serving()).toEqual(['a']);
    nodes.calledRoll();
    say('b');
    expect(pass(1_000)).toEqual(['a']);
    now += 60_000;
    expect(nodes.overdue()).not.toContain('b');
    expect(nodes.serving()).toContain('b');
  });

  it('are not complete before the roll was called and answered', () => {
    nodes = new PresentNodes();
    expect(nodes.incompleteForMs).toBe(300);
    nodes.calledRoll();
    expect(nodes.incompleteForMs).toBe(300);
    now += 200;
    expect(nodes.incompleteForMs).toBe(100);
    now += 500;
    expect(nodes.incompleteForMs).toBe(0);
    nodes.wasDeaf();
    expect(nodes.incompleteForMs).toBe(300);
  });

  it('are bounded, whoever says so', () => {
    for (let n = 0; n < 10_500; n++) say(`n${n}`);
    expect(nodes.all()).toHaveLength(10_000);
  });
});
