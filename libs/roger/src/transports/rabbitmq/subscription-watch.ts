// Looks after subscriptions that are quiet: one timer for all, and few questions however many there are.

/** Something that can be forgotten by the broker. */
export interface Watched {
  /** Whether nothing has come since the last look, though it could; costs nothing. */
  isQuiet(): boolean;
  /** Asks the broker whether it has been forgotten, and mends that. */
  look(): void;
}

/** How often each is looked at, where there are few. */
const ROUND_MS = 10_000;
const TICK_MS = 500;
/** More than that would make a thousand idle queues cost the broker something: their rounds take longer instead. */
const QUESTIONS_PER_TICK = 10;

export class SubscriptionWatch {
  /** In the order in which they were last looked at. */
  private readonly lastLook = new Map<Watched, number>();
  private timer: NodeJS.Timeout | undefined;

  add(watched: Watched): void {
    this.lastLook.set(watched, performance.now());
    this.timer ??= setInterval(() => {
      this.tick();
    }, TICK_MS).unref();
  }

  remove(watched: Watched): void {
    this.lastLook.delete(watched);
    if (this.lastLook.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private tick(): void {
    const now = performance.now();
    let questions = 0;
    for (const [watched, at] of this.lastLook) {
      if (now - at < ROUND_MS || questions === QUESTIONS_PER_TICK) return;
      this.lastLook.delete(watched);
      this.lastLook.set(watched, now);
      if (!watched.isQuiet()) continue;
      questions++;
      watched.look();
    }
  }
}
