// The seam behind which the state of ledgers is kept from one life of the process to the next.

/**
 * Keeps the state of ledgers. Roger calls `init` once per id and process before all else of that id. Every method may
 * reject; a state that could not be loaded is never taken for an empty one.
 */
export interface StatePersister {
  /**
   * Makes ready to load and store under this id. Loses nothing that is stored. An id is 1 to 128 of the characters A-Z,
   * a-z, 0-9, `_`, `.` and `-`.
   */
  init(id: string): Promise<void>;

  /**
   * Resolves to exactly the bytes that the last `store` of this id that resolved was given, or to undefined when nothing
   * was ever stored under it. Of a `store` that was cut off (the process died, or it rejected), either its bytes or those
   * before it, whole. Rejects in every other case: when what is stored is damaged, or can't be reached.
   */
  load(id: string): Promise<Uint8Array | undefined>;

  /**
   * Replaces what is stored under this id, as a whole. Resolves when the bytes outlive whatever this persister promises
   * to outlive. Roger never calls it for an id while another `store` of that id is under way.
   */
  store(id: string, data: Uint8Array): Promise<void>;
}
