// Gives a wait its time limit and says what was waited for.

/** How long a test waits for what should come at once; a reconnect counts as at once. */
export const PATIENCE_MS = 30_000;

/** A wait goes on so many times while how things stand changes: on a busy machine much takes long that goes well. */
const MOST_LIMITS = 5;

/**
 * The promise's outcome, or an error that names what didn't happen and how things stood.
 * @param standing how things stand: while that changes from limit to limit, the wait goes on
 */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  standing: () => string = () => '',
  limitMs = PATIENCE_MS,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    let before = standing();
    let waitedMs = 0;
    const look = (): void => {
      waitedMs += limitMs;
      const now = standing();
      if (now !== before && waitedMs < MOST_LIMITS * limitMs) {
        before = now;
        timer = setTimeout(look, limitMs);
        return;
      }
      reject(new Error(`Waited ${waitedMs} ms in vain for ${what}${now === '' ? '' : `; ${now}`}`));
    };
    timer = setTimeout(look, limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
