// Notices that an app has forgotten to listen for the signals that end it.

/**
 * Nest tells nobody whether `enableShutdownHooks` was called, and an app may call it after its start, or close itself. So
 * a while after the start it is looked whether anybody listens for what usually ends a process.
 */
const LOOK_AFTER_MS = 10_000;

export const FORGOTTEN_HOOKS =
  'Nobody listens for SIGTERM in this process: it will die in the middle of its jobs, which then run again. ' +
  'Call app.enableShutdownHooks()';

/** @returns what calls it off. */
export function watchForForgottenHooks(warn: (message: string) => void): () => void {
  // What a test starts it also closes.
  if (process.env['NODE_ENV'] === 'test') return () => undefined;
  const timer = setTimeout(() => {
    if (process.listenerCount('SIGTERM') + process.listenerCount('SIGINT') === 0) warn(FORGOTTEN_HOOKS);
  }, LOOK_AFTER_MS).unref();
  return () => {
    clearTimeout(timer);
  };
}
