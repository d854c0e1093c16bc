import type { Tokens } from './tokens.js';

/** How often open sessions are held against the tokens they began with, ms: for ends that other processes, or time, bring. */
const sweepEvery = 2000;

/**
 * Connections and requests that are open with a token: they end with it. What is ended in this process ends at once; what
 * expires, or is ended by another replica, within two seconds.
 */
export class Sessions {
  private readonly open = new Map<string, Set<() => void>>();
  private timer: NodeJS.Timeout | undefined;

  /** Notes one. Returns what to call when it is over by itself. */
  begin(token: string, end: () => void): () => void {
    const ends = this.open.get(token) ?? new Set();
    this.open.set(token, ends.add(end));
    return () => {
      ends.delete(end);
      if (ends.size === 0 && this.open.get(token) === ends) this.open.delete(token);
    };
  }

  /** Ends all that is open with these tokens. */
  end(tokens: Iterable<string>): void {
    for (const token of tokens) {
      const ends = this.open.get(token);
      this.open.delete(token);
      for (const end of ends ?? []) end();
    }
  }

  /** Looks from time to time which of the tokens are good no more; `failed` hears when the store cannot say. */
  watch(tokens: Pick<Tokens, 'stillGood'>, failed: (error: unknown) => void): () => void {
    const look = async () => {
      const ids = [...this.open.keys()];
      if (ids.length === 0) return;
      const good = await tokens.stillGood(ids);
      this.end(ids.filter((id) => !good.has(id)));
    };
    this.timer = setInterval(() => look().catch(failed), sweepEvery);
    return () => clearInterval(this.timer);
  }
}
