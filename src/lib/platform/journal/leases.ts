import { rm } from 'node:fs/promises';

/** Reads that are under way, and files that may go when the last read which could need them has ended. */
export class Leases {
  private readonly active = new Set<symbol>();
  private doomed: { path: string; readers: Set<symbol> }[] = [];

  /** Begins a read; what is returned ends it. */
  take(): () => void {
    const lease = Symbol('read');
    this.active.add(lease);
    return () => {
      this.active.delete(lease);
      for (const { readers } of this.doomed) readers.delete(lease);
      void this.sweep();
    };
  }

  /** Removes a file: now, or after the reads that are under way. A start removes what a stop has left. */
  async remove(path: string): Promise<void> {
    this.doomed.push({ path, readers: new Set(this.active) });
    await this.sweep();
  }

  private async sweep(): Promise<void> {
    const free = this.doomed.filter(({ readers }) => readers.size === 0);
    this.doomed = this.doomed.filter(({ readers }) => readers.size > 0);
    await Promise.all(free.map(({ path }) => rm(path, { force: true })));
  }
}
