import { type InflateProblem, ZlibReader } from './inflate.js';
import type { NorFlash } from './nor.js';
import { norTimes } from './nor.js';
import { sectorBytes } from './protocol.js';

const blockBytes = 0x10000;

export type WriteProblem = InflateProblem | 'too-much' | 'held';

/** What one block did: ms of flash work, and what went wrong. */
export interface BlockResult {
  ms: number;
  problem: WriteProblem | null;
}

interface WritingOptions {
  offset: number;
  /** Bytes that end in flash. */
  size: number;
  compressed: boolean;
  /** Erase ahead of writing (stub), or not because BEGIN did (ROM). */
  eraseAhead: boolean;
}

/** One write from BEGIN to END: takes blocks, inflates, erases ahead, programs. */
export class Writing {
  private written = 0;
  private readonly size: number;
  private readonly reader: ZlibReader | null;
  private erasedTo: number;
  private dirtySeen = false;

  constructor(
    private readonly flash: NorFlash,
    private readonly options: WritingOptions,
  ) {
    this.size = options.size;
    this.reader = options.compressed ? new ZlibReader() : null;
    this.erasedTo = options.offset - (options.offset % sectorBytes);
  }

  get complete(): boolean {
    return this.written >= this.size;
  }

  /** So many bytes never get there, as with a flash that takes nothing. */
  skip(bytes: number): void {
    this.written += bytes;
  }

  async block(payload: Uint8Array): Promise<BlockResult> {
    if (!this.reader) return this.program(payload.subarray(0, this.size - this.written), null);
    const { data, problem } = await this.reader.push(payload);
    const fits = data.subarray(0, this.size - this.written);
    return this.program(fits, problem ?? (fits.length < data.length ? 'too-much' : null));
  }

  end(): void {
    this.reader?.close();
  }

  private program(data: Uint8Array, problem: WriteProblem | null): BlockResult {
    const at = this.options.offset + this.written;
    const eraseMs = this.options.eraseAhead ? this.eraseUpTo(at + data.length) : 0;
    const held = this.flash.program(at, data);
    this.written += data.length;
    const ms = eraseMs + (data.length / 256) * norTimes.program256Bytes;
    return { ms, problem: problem ?? (held ? null : 'held') };
  }

  /** The stub erases just ahead: blocks of 64 KiB where whole, and no sector that is blank until one was not. */
  private eraseUpTo(end: number): number {
    const last = this.options.offset + this.size;
    let ms = 0;
    while (this.erasedTo < end) {
      if (!this.dirtySeen && this.flash.isBlank(this.erasedTo)) {
        this.erasedTo += sectorBytes;
        continue;
      }
      this.dirtySeen = true;
      const whole = this.erasedTo % blockBytes === 0 && this.erasedTo + blockBytes <= last;
      const length = whole ? blockBytes : sectorBytes;
      ms += this.flash.erase(this.erasedTo, length);
      this.erasedTo += length;
    }
    return ms;
  }
}
