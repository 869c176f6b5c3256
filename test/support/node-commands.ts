// Commands by which a test sees what reaches which node, and how.
import { Inject, Injectable } from '@nestjs/common';
import type { CommandContext } from 'nestjs-roger';
import { RogerCommand } from 'nestjs-roger';
import { Gate, Signals } from './signal';

export const NODE_NAME = Symbol('node name');

@Injectable()
export class NodeCommands {
  /** What came, in order. */
  readonly seen = new Signals<{ readonly payload: unknown; readonly from: string }>();
  /** Lets the held ones end. */
  readonly gate = new Gate();
  held = 0;

  constructor(@Inject(NODE_NAME) private readonly node: string) {}

  @RogerCommand('echo')
  echo(payload: unknown, { from }: CommandContext): object {
    this.seen.add({ payload, from });
    return { node: this.node, payload };
  }

  @RogerCommand('note')
  note(payload: unknown, { from }: CommandContext): void {
    this.seen.add({ payload, from });
  }

  @RogerCommand('fail')
  fail(): never {
    throw Object.assign(new TypeError(`${this.node} can't`), { code: 'E_CANT' });
  }

  @RogerCommand('return-odd')
  odd(): unknown {
    return { at: new Map() };
  }

  @RogerCommand('hold')
  async hold(): Promise<string> {
    this.held++;
    await this.gate.opened;
    return this.node;
  }
}
