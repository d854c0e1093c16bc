/** Started parts, which are ended in reverse order. */
export class Lifecycle {
  private readonly ends: (() => unknown)[] = [];

  /** Registers a part once it has started, with its end function. */
  async start<T>(starting: T | Promise<T>, end: (part: T) => unknown): Promise<T> {
    const part = await starting;
    this.ends.push(() => end(part));
    return part;
  }

  /** Registers a function to run after everything that starts later has ended. */
  atEnd(end: () => unknown): void {
    this.ends.push(end);
  }

  /**
   * Ends every part. If one cannot be ended, for example on a full disk, the others are still ended, because a half-stopped process is
   * useless.
   * @throws the first error
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

interface Row {
  name: string;
  start(started: object): unknown;
  end: ((part: never) => unknown) | undefined;
}

/**
 * Parts in starting order. Each row has the part's name, its start function, and its end function. The start function
 * receives the given values and the parts above its row. Parts end from the bottom up.
 */
export class PartTable<Given extends object, Parts extends object = object> {
  private readonly rows: Row[] = [];

  part<Name extends string, It>(
    name: Name,
    start: (started: Given & Parts) => It | Promise<It>,
    end?: (part: It) => unknown,
  ): PartTable<Given, Parts & Record<Name, It>> {
    this.rows.push({ name, start: start as Row['start'], end });
    return this as unknown as PartTable<Given, Parts & Record<Name, It>>;
  }

  /** Starts the parts in order. If one fails, the lifecycle ends those already started. */
  async start(given: Given, lifecycle: Lifecycle): Promise<Parts> {
    const parts: Record<string, unknown> = {};
    for (const { name, start, end } of this.rows) {
      const part = await start({ ...given, ...parts });
      parts[name] = part;
      if (end) lifecycle.atEnd(() => end(part as never));
    }
    return parts as Parts;
  }
}
