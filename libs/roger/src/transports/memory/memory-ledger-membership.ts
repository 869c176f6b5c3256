// A node's membership of one ledger in memory, over its places in the line.
// Of node:timers, so that it joins again in a test that fakes the global timers.
import { setImmediate } from 'node:timers';
import type { LedgerMember, LedgerMembership } from '../../ledger-transport';
import type { LedgerPlace, MemoryLedger } from './memory-ledger';

/** Has a place while it is connected. What is said without one is lost. */
export class MemoryLedgerMembership implements LedgerMembership {
  /** In memory nothing blocks publishes. */
  readonly isBlocked = false;
  private place: LedgerPlace | undefined;
  private hasLeft = false;

  constructor(
    private readonly ledger: MemoryLedger,
    private readonly nodeId: string,
    private readonly member: LedgerMember,
    private readonly isConnected: () => boolean,
  ) {}

  append(bytes: Buffer): void {
    if (this.isConnected()) this.ledger.append(bytes);
  }

  takeRequests(): void {
    if (this.place !== undefined) this.ledger.takeRequests(this.place);
  }

  trim(count: number): void {
    if (this.place !== undefined) this.ledger.trim(this.place, count);
  }

  stepDown(detail: string): void {
    if (!this.giveUpPlace()) return;
    setImmediate(() => {
      // Cut off meanwhile, it has been told, and joins when it is connected.
      if (!this.isConnected() || this.place !== undefined) return;
      this.member.onLost(detail);
      this.join();
    });
  }

  leave(): void {
    this.hasLeft = true;
    this.giveUpPlace();
  }

  join(): void {
    if (this.hasLeft || this.place !== undefined || !this.isConnected()) return;
    this.place = { nodeId: this.nodeId, member: this.member };
    this.ledger.join(this.place);
  }

  /** Whether it had a place. */
  giveUpPlace(): boolean {
    const { place } = this;
    if (place === undefined) return false;
    this.place = undefined;
    this.ledger.leave(place);
    return true;
  }

  reportLoss(detail: string): void {
    this.member.onLost(detail);
  }
}
