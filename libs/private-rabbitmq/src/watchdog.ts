// Ends a node and removes its folder when the process that started it dies without doing so.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';

/**
 * Each line names the VM to kill, an empty one none. The end of the input is the end of the parent, however it died.
 * A killed VM may still be creating a file for an instant; hence more than one try at the folder.
 */
const SCRIPT = `
trap '' HUP INT TERM
vm=
while read -r line; do vm=$line; done
[ -z "$vm" ] || kill -9 "$vm" 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9; do
  rm -rf "$1" 2>/dev/null && exit
  sleep 0.3
done
`;

/** A shell at the other end of a pipe. It doesn't keep the process that started it alive. */
export class Watchdog {
  private readonly child: ChildProcess;

  constructor(folder: string) {
    this.child = spawn('/bin/sh', ['-c', SCRIPT, 'private-rabbitmq-watchdog', folder], {
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.child.unref();
    const { stdin } = this.child;
    if (stdin instanceof Socket) stdin.unref();
    // A dog that somebody killed can't be written to. The node works without it.
    stdin?.on('error', () => undefined);
    this.child.on('error', () => undefined);
  }

  /** From here on this process is killed when ours dies; undefined when there is none. */
  watch(pid: number | undefined): void {
    this.child.stdin?.write(`${pid ?? ''}\n`);
  }

  /** Resolves when the watchdog is gone; keeps the event loop alive until then. */
  async dismiss(): Promise<void> {
    if (this.child.pid === undefined || this.child.exitCode !== null || this.child.signalCode !== null)
      return;
    this.child.ref();
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.stdin?.end();
    await exited;
  }
}
