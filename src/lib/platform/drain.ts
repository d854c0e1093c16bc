import type { ServerResponse } from 'node:http';
import { whenClosed } from './closed.js';

/** How long answers that are on their way may take to end when the platform stops, ms: twice that is less than `aiot down` waits. */
export const usualDrainMs = 6000;

/** The answers that a server has on their way, to wait for when it stops. */
export class Drain {
  private readonly open = new Set<ServerResponse>();
  private drained = () => {};

  begin(response: ServerResponse): void {
    this.open.add(response);
    whenClosed(response, () => {
      this.open.delete(response);
      if (this.open.size === 0) this.drained();
    });
  }

  /** Resolves when all have ended, or after `patienceMs`. */
  async end(patienceMs = usualDrainMs): Promise<void> {
    if (this.open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, patienceMs);
      this.drained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
