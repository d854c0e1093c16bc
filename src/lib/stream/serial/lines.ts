const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Cuts bytes into lines, without their LF or CR LF; empty ones are left out. Longer ones than `longest` bytes come in pieces. */
export class LineSplitter {
  private rest: Buffer[] = [];
  private restBytes = 0;

  constructor(private readonly longest: number) {}

  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(lineFeed, from);
      this.keep(chunk.subarray(from, end < 0 ? chunk.length : end), lines);
      if (end < 0) return lines;
      const line = this.takeRest();
      const bare = line.at(-1) === carriageReturn ? line.subarray(0, -1) : line;
      if (bare.length > 0) lines.push(bare);
      from = end + 1;
    }
  }

  /** Forgets the line that has no end yet. */
  reset(): void {
    this.takeRest();
  }

  private keep(piece: Buffer, lines: Buffer[]): void {
    let left = piece;
    while (this.restBytes + left.length > this.longest) {
      const part = left.subarray(0, this.longest - this.restBytes);
      left = left.subarray(part.length);
      this.rest.push(part);
      lines.push(this.takeRest());
    }
    if (left.length === 0) return;
    this.rest.push(left);
    this.restBytes += left.length;
  }

  private takeRest(): Buffer {
    const line = Buffer.concat(this.rest);
    this.rest = [];
    this.restBytes = 0;
    return line;
  }
}
