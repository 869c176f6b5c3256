// Ctrl-C and its like: the first asks for an orderly end, a second one ends at once.

/** The first signal may come twice: from the terminal, and once more from npm. */
const SAME_REQUEST_MS = 500;
/** What a shell expects of a program that SIGINT ended. */
export const STOPPED_EXIT_CODE = 130;

/** Someone asked for the end. */
export class StopRequest extends Error {}

/** Aborted, with a StopRequest, by a signal, or when nobody reads the output any more. */
export function stopRequested(): AbortSignal {
  const controller = new AbortController();
  let askedAtMs = Number.POSITIVE_INFINITY;
  const ask = (why: string): void => {
    if (performance.now() - askedAtMs > SAME_REQUEST_MS) process.exit(STOPPED_EXIT_CODE);
    if (controller.signal.aborted) return;
    askedAtMs = performance.now();
    controller.abort(new StopRequest(why));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ask);
  process.stdout.on('error', () => controller.abort(new StopRequest('nobody reads the output')));
  return controller.signal;
}

/** Rejects with the signal's reason when it is aborted; else as the promise. */
export async function unlessStopped<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  // Nobody may be waiting for it any more when it fails.
  promise.catch(() => undefined);
  let onAbort: () => void = () => undefined;
  const stopped = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([promise, stopped]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
