// One run of a node: the operating system's process of its Erlang VM.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { NodeLayout } from './node-layout';
import { environmentOf } from './node-layout';

/** A started Erlang VM. It doesn't keep the process that started it alive. */
export class ErlangVm {
  /** Resolves when the VM is gone, however it ended. */
  readonly exited: Promise<void>;
  private running = true;

  private constructor(
    private readonly child: ChildProcess,
    readonly pid: number,
  ) {
    this.exited = new Promise((resolve) => {
      child.once('exit', () => {
        this.running = false;
        resolve();
      });
    });
    child.unref();
  }

  /** Starts the server script. @throws when the system can't run it */
  static start(server: string, layout: NodeLayout): ErlangVm {
    // A file and no pipe: the VM must never wait for us to read, nor we for it to close.
    const log = openSync(layout.logFile, 'a');
    try {
      const child = spawn(server, [], {
        cwd: layout.folder,
        env: environmentOf(layout),
        stdio: ['ignore', log, log],
        // In a session of its own, Ctrl-C reaches our process and not the broker that it may still need.
        detached: true,
      });
      const { pid } = child;
      if (pid !== undefined) return new ErlangVm(child, pid);
      child.once('error', () => undefined);
      throw new Error(`The system could not run ${server}.`);
    } finally {
      closeSync(log);
    }
  }

  get isRunning(): boolean {
    return this.running;
  }

  /** Sends a signal; nothing happens when the VM is gone. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal);
  }

  /** Waits until the VM is gone, and keeps the event loop alive until then. */
  async gone(): Promise<void> {
    if (!this.running) return;
    this.child.ref();
    await this.exited;
  }
}
