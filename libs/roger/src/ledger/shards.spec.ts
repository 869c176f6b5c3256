// Every version of Roger finds the same ledger for a partition.
import { ledgerOf } from './shards';

describe('the ledger of a partition', () => {
  it('is the same for ever', () => {
    const ids = ['default', 'tenant-1', 'tenant-2', 'a', 'Z_9', 'x'.repeat(64)];
    expect(Object.fromEntries(ids.map((id) => [id, ledgerOf(id, 8)]))).toEqual({
      default: 6,
      'tenant-1': 3,
      'tenant-2': 6,
      a: 4,
      Z_9: 5,
      ['x'.repeat(64)]: 5,
    });
  });

  it('is the only one when there is one', () => {
    expect(ledgerOf('anything', 1)).toBe(0);
  });

  it('has about as many partitions as the others', () => {
    const counts = Array<number>(8).fill(0);
    for (let tenant = 0; tenant < 8_000; tenant++) {
      const ledger = ledgerOf(`tenant-${tenant}`, 8);
      counts[ledger] = (counts[ledger] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(800);
    expect(Math.max(...counts)).toBeLessThan(1_200);
  });
});
