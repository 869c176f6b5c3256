// How an app says what its worker threads are.

/** The worker threads of the jobs with `isolation: 'thread'`. */
export interface ThreadOptions {
  /**
   * The path of the file that exports the root module of a thread, e.g. `require.resolve('./app.module')`. Each thread
   * boots it once, as an application context: RogerModule must be in it, and connects to nothing there.
   */
  module: string;
  /** Under which name the file exports the module: a class or a dynamic module. @default 'AppModule' */
  exportName?: string | undefined;
  /** How many jobs run in threads at once on this node; more of them wait. @default the number of cores */
  maxThreads?: number | undefined;
  /** Milliseconds without a job after which a thread ends; one stays. @default 60000 */
  idleTimeoutMs?: number | undefined;
  /** Of each thread, as Node's Worker takes them: `{ maxOldGenerationSizeMb: 256 }`. @default Node's */
  resourceLimits?: ThreadResourceLimits | undefined;
  /** Node's options for the threads, e.g. `['-r', '@swc-node/register']`. @default those of the process */
  execArgv?: readonly string[] | undefined;
}

/** What a thread may take; it is ended when it takes more. */
export interface ThreadResourceLimits {
  maxOldGenerationSizeMb?: number;
  maxYoungGenerationSizeMb?: number;
  codeRangeSizeMb?: number;
  stackSizeMb?: number;
}
