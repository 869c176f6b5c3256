// A process of its own that keeps a ledger, so that a benchmark can kill it and weigh it.
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What the program is told at its start. */
export interface KeeperSettings {
  readonly uri: string;
  readonly namespace: string;
  readonly partition: string;
}

export class KeeperProcess {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when it has a seat at the ledger: the first one that is started is the keeper. */
  static async start(settings: KeeperSettings): Promise<KeeperProcess> {
    const child = fork(join(__dirname, 'keeper-program.ts'), [], {
      execArgv: [...process.execArgv.filter((flag) => flag !== '--expose-gc'), '--expose-gc'],
      env: { ...process.env, ROGER_BENCH_KEEPER: JSON.stringify(settings) },
    });
    const keeper = new KeeperProcess(child);
    await once(child, 'message');
    return keeper;
  }

  /** Bytes of its heap that are in use. */
  async heapUsed(): Promise<number> {
    this.child.send('weigh');
    const [bytes] = (await once(this.child, 'message')) as [number];
    return bytes;
  }

  async kill(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}
