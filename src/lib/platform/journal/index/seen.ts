/** Keys of chunks that were looked into, so that a sender of many repeats does not have them read again and again. */
export class SeenKeys {
  private readonly chunks = new Map<string, Set<string>>();
  private size = 0;

  /** Keys of this chunk. @param read says them when they are not known */
  in(take: number, chunk: string, read: () => string[]): Set<string> {
    const name = `${take}/${chunk}`;
    const known = this.chunks.get(name);
    if (known) return known;
    const keys = new Set(read());
    this.chunks.set(name, keys);
    this.size += keys.size;
    for (const [oldest, { size }] of this.chunks) {
      if (this.size <= mostKeys || oldest === name) break;
      this.chunks.delete(oldest);
      this.size -= size;
    }
    return keys;
  }

  /** Of a recording that was removed, or whose chunks were written anew. */
  forget(take: number): void {
    for (const [name, { size }] of this.chunks) {
      if (!name.startsWith(`${take}/`)) continue;
      this.chunks.delete(name);
      this.size -= size;
    }
  }
}

const mostKeys = 262_144;
