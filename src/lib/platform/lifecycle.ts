/** What has been started, and how each part of it ends: the last one first. */
export class Lifecycle {
  private readonly ends: (() => unknown)[] = [];

  /** Takes a part once it has started, with how it ends. */
  async start<T>(starting: T | Promise<T>, end: (part: T) => unknown): Promise<T> {
    const part = await starting;
    this.ends.push(() => end(part));
    return part;
  }

  /** Has something done when everything that starts later has ended. */
  atEnd(end: () => unknown): void {
    this.ends.push(end);
  }

  /**
   * Ends every part. One that cannot be ended, on a full disk say, does not keep the others open: a process that goes on with half of
   * them would be neither. @throws what the first of those threw
   */
  async end(): Promise<void> {
    const failed: unknown[] = [];
    for (let end = this.ends.pop(); end; end = this.ends.pop()) {
      try {
        await end();
      } catch (error) {
        failed.push(error);
      }
    }
    if (failed.length > 0) throw failed[0];
  }
}
