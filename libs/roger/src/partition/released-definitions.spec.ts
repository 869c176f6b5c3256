// What is held for a definition that is on is released, by whoever knows that it is on, whoever held it and when.
import { DefinitionGates } from '../job/definition-gates';
import type { HeldReason } from '../ledger/operation';
import { ReleasedDefinitions } from './released-definitions';

function sweeper() {
  const gates = new DefinitionGates();
  const lines: string[] = [];
  const log = { log: (line: string) => void lines.push(line), warn: (line: string) => void lines.push(line) };
  const held: HeldReason[] = [];
  const released: string[] = [];
  const trouble: Error[] = [];
  const releases = new ReleasedDefinitions({
    gates,
    log,
    holds: {
      reasons: () => {
        const error = trouble.shift();
        return error === undefined ? Promise.resolve([...held]) : Promise.reject(error);
      },
      releaseAll: (partition, why) => {
        released.push(`${partition} ${why}`);
        held.splice(0);
        return Promise.resolve(1);
      },
    },
  });
  return { gates, lines, held, released, trouble, releases };
}

describe('what is held for a definition', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('is looked after by nobody until somebody switches', async () => {
    const { held, released } = sweeper();
    held.push(['acme', 'definition:mail', 1]);
    await jest.advanceTimersByTimeAsync(600_000);
    expect(released).toEqual([]);
  });

  it('stays while it is off, and so does what an operator holds', async () => {
    const { gates, held, released } = sweeper();
    held.push(['acme', 'definition:mail', 1], ['acme', 'operator', 1]);
    gates.setInactive(['mail']);
    await jest.advanceTimersByTimeAsync(600_000);
    expect(released).toEqual([]);
  });

  it('is released when it is switched on', async () => {
    const { gates, held, released, lines } = sweeper();
    gates.setInactive(['mail']);
    await jest.advanceTimersByTimeAsync(0);
    held.push(['acme', 'definition:mail', 1], ['beta', 'operator', 1]);
    gates.setInactive([]);
    await jest.advanceTimersByTimeAsync(0);
    expect(released).toEqual(['acme definition:mail']);
    expect(lines).toEqual(['1 jobs of partition acme are released (definition:mail)']);
  });

  it('is released within a minute though a node held it after all had been released', async () => {
    const { gates, held, released } = sweeper();
    gates.setInactive([]);
    await jest.advanceTimersByTimeAsync(10_000);
    held.push(['acme', 'definition:mail', 1]);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(released).toEqual(['acme definition:mail']);
  });

  it('is released when the ledgers can be asked again, and the trouble is told once', async () => {
    const { gates, held, released, lines, trouble } = sweeper();
    held.push(['acme', 'definition:mail', 1]);
    trouble.push(new Error('away'), new Error('away'));
    gates.setInactive([]);
    await jest.advanceTimersByTimeAsync(20_000);
    expect(released).toEqual(['acme definition:mail']);
    expect(lines.filter((line) => line.includes('away'))).toHaveLength(1);
  });

  it('is left alone when the app has closed', async () => {
    const { gates, held, released, releases } = sweeper();
    gates.setInactive([]);
    await jest.advanceTimersByTimeAsync(0);
    releases.close();
    held.push(['acme', 'definition:mail', 1]);
    gates.setInactive([]);
    await jest.advanceTimersByTimeAsync(600_000);
    expect(released).toEqual([]);
  });
});
