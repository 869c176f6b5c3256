// Whether this node takes jobs, and where in its life it is: one place for those who change it and those who ask.

/** From its start to its end. */
export type NodePhase = 'starting' | 'running' | 'stopping' | 'stopped';

export class Activity {
  private isHeld = false;
  private current: NodePhase = 'starting';

  constructor(
    /** Told when {@link isActive} changes. */
    private readonly onChange: (isActive: boolean) => void,
  ) {}

  get phase(): NodePhase {
    return this.current;
  }

  /** Takes jobs, as far as it has partitions and has started. */
  get isActive(): boolean {
    return !this.isHeld && !this.isEnding;
  }

  get isEnding(): boolean {
    return this.current === 'stopping' || this.current === 'stopped';
  }

  hold(isHeld: boolean): void {
    this.change(() => (this.isHeld = isHeld));
  }

  /** It never goes back. */
  enter(phase: NodePhase): void {
    if (PHASES.indexOf(phase) > PHASES.indexOf(this.current)) this.change(() => (this.current = phase));
  }

  private change(change: () => void): void {
    const before = this.isActive;
    change();
    if (this.isActive !== before) this.onChange(this.isActive);
  }
}

const PHASES: readonly NodePhase[] = ['starting', 'running', 'stopping', 'stopped'];
