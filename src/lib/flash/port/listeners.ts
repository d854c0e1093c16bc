import type { LineListener } from './types.js';

/** Kept before anyone listens; a board that talks without end must not fill the memory. */
const keptBytes = 1 << 20;

/** The listeners of one line: what arrives goes to each of them, and before the first one it is kept. */
export class LineListeners {
  private readonly listeners = new Set<LineListener>();
  private kept: Uint8Array[] = [];
  private keptLength = 0;
  private end: { error: Error | null } | null = null;

  data(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.end) return;
    if (this.listeners.size > 0) {
      for (const listener of [...this.listeners]) listener.data(bytes);
      return;
    }
    this.kept.push(bytes.slice());
    this.keptLength += bytes.length;
    while (this.keptLength > keptBytes) this.keptLength -= this.kept.shift()?.length ?? 0;
  }

  /** Once; whoever listens afterwards is told at once. */
  closed(error: Error | null): void {
    if (this.end) return;
    this.end = { error };
    for (const listener of [...this.listeners]) listener.closed(error);
  }

  listen(listener: LineListener): () => void {
    const { kept, end } = this;
    this.kept = [];
    this.keptLength = 0;
    this.listeners.add(listener);
    for (const bytes of kept) listener.data(bytes);
    if (end) listener.closed(end.error);
    return () => this.listeners.delete(listener);
  }

  /** Throws once the line has ended: AIOT_SERIAL_LOST, or what ended it. */
  get ended(): { error: Error | null } | null {
    return this.end;
  }
}
