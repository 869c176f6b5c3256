// Which ledger a partition belongs to: the same on every node, in every version.

/** FNV-1a over the id: spreads ids that differ in their last character only. */
export function ledgerOf(partition: string, ledgerShards: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < partition.length; index++) {
    hash ^= partition.charCodeAt(index);
    hash = Math.imul(hash, 0x01000193);
  }
  return (hash >>> 0) % ledgerShards;
}
