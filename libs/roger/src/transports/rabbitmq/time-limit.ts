// Waits for something, but not for ever.

/** Resolves when the promise settles or the time is over, and tells which. Never rejects for lateness; leaves no timer. */
export async function within(timeoutMs: number, promise: Promise<unknown>): Promise<'done' | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => {
      resolve('late');
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise.then(() => 'done' as const), late]);
  } finally {
    clearTimeout(timer);
  }
}
