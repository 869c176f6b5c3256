// Who has said lately that it serves is present, and nothing is complete before everybody was asked.
import { HERE_MS, ServingNodes } from './serving-nodes';
import { performance } from 'node:perf_hooks';

describe('serving nodes', () => {
  let nodes: ServingNodes;
  let now: number;

  beforeEach(() => {
    now = 1_000;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
    nodes = new ServingNodes();
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('are present from when they were heard of until they leave', () => {
    nodes.heardOf('a');
    nodes.heardOf('b');
    nodes.left('a');
    expect(nodes.present()).toEqual(['b']);
  });

  it('are gone when they have said nothing for more than two of their turns', () => {
    nodes.heardOf('silent');
    nodes.heardOf('heard');
    now += 2 * HERE_MS;
    nodes.heardOf('heard');
    expect(nodes.present()).toEqual(['silent', 'heard']);
    now += HERE_MS;
    expect(nodes.present()).toEqual(['heard']);
  });

  it('are not complete before the roll was called and answered', () => {
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
});
