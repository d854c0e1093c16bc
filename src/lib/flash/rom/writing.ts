import { createInflateRaw, type InflateRaw } from 'node:zlib';
import { type NorFlash, norTimes } from './nor.js';
import { sectorBytes } from './protocol.js';

const blockBytes = 0x10000;

export type WriteProblem = InflateProblem | 'too-much' | 'held';

/** What one block did: ms of flash work, and what went wrong. */
interface BlockResult {
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

type InflateProblem = 'deflate' | 'adler';

/**
 * A zlib stream that comes in pieces, as compressed blocks do: header and Adler-32 are looked at here, so that the two
 * reasons a ROM tells apart stay apart. Source: RFC 1950.
 */
export class ZlibReader {
  private readonly raw: InflateRaw = createInflateRaw();
  private readonly output: Uint8Array[] = [];
  private header: number[] = [];
  private tail: number[] = [];
  private a = 1;
  private b = 0;
  private ended = false;
  private failed: InflateProblem | null = null;

  constructor() {
    this.raw.on('data', (bytes: Uint8Array) => this.output.push(bytes));
    this.raw.on('error', () => {
      this.failed ??= 'deflate';
    });
  }

  /** What these compressed bytes inflate to, and what was wrong with them if anything was. */
  async push(bytes: Uint8Array): Promise<{ data: Uint8Array; problem: InflateProblem | null }> {
    const body = this.withoutHeader(bytes);
    if (body.length > 0 && !this.failed) await this.feed(body);
    const data = Buffer.concat(this.output.splice(0));
    this.sum(data);
    if (!this.failed && this.tail.length >= 4 && !this.adlerHolds()) this.failed = 'adler';
    return { data, problem: this.failed };
  }

  /** Frees what the stream holds. */
  close(): void {
    this.raw.destroy();
  }

  private withoutHeader(bytes: Uint8Array): Uint8Array {
    const missing = 2 - this.header.length;
    if (missing <= 0) return bytes;
    this.header.push(...bytes.subarray(0, missing));
    const [method, flags] = this.header;
    if (method !== undefined && flags !== undefined) {
      if ((method & 0x0f) !== 8 || ((method << 8) | flags) % 31 !== 0 || flags & 0x20)
        this.failed = 'deflate';
    }
    return bytes.subarray(missing);
  }

  private async feed(bytes: Uint8Array): Promise<void> {
    if (this.ended) {
      this.tail.push(...bytes);
      return;
    }
    const before = this.raw.bytesWritten;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.raw.off('end', atEnd).off('error', done);
        resolve();
      };
      const atEnd = () => {
        this.ended = true;
        done();
      };
      // With bytes behind the last block the stream ends instead of calling back; a damaged one only reports its error.
      this.raw.once('end', atEnd).once('error', done);
      this.raw.write(bytes, done);
    });
    if (this.ended) this.tail.push(...bytes.subarray(this.raw.bytesWritten - before));
  }

  private sum(data: Uint8Array): void {
    // 5552 is the most additions after which both sums still fit into 32 bits.
    for (let at = 0; at < data.length; at += 5552) {
      for (const byte of data.subarray(at, at + 5552)) {
        this.a += byte;
        this.b += this.a;
      }
      this.a %= 65521;
      this.b %= 65521;
    }
  }

  private adlerHolds(): boolean {
    const [b1 = 0, b0 = 0, a1 = 0, a0 = 0] = this.tail;
    return ((b1 << 8) | b0) === this.b && ((a1 << 8) | a0) === this.a;
  }
}
