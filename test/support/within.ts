// Gives a wait its time limit and says what was waited for.

/** How long a test waits for what should come at once; a reconnect counts as at once. */
export const PATIENCE_MS = 30_000;

/** The promise's outcome, or an error that names what didn't happen and, asked at that moment, how things stood. */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  standing: () => string = () => '',
  limitMs = PATIENCE_MS,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const suffix = standing();
      reject(new Error(`Waited ${limitMs} ms in vain for ${what}${suffix === '' ? '' : `; ${suffix}`}`));
    }, limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
