import { createHash } from 'node:crypto';
import { createInflateRaw, type InflateRaw } from 'node:zlib';
import { sectorBytes } from './protocol.js';

/** Durations of flash operations, ms. They are typical values from a W25Q32's data sheet, section "AC electrical characteristics". */
export const norTimes = {
  program256Bytes: 0.4,
  eraseSector: 45,
  eraseBlock64KiB: 150,
  eraseMiB: 2500,
  /** Time for reading and hashing 1 KiB, which is done by the chip's CPU. */
  md5KiB: 0.4,
} as const;

const blockBytes = 0x10000;

/**
 * NOR flash: erasing a sector sets all bits, programming only clears bits. Counts the erases per sector. All offsets and lengths are in
 * bytes.
 */
export class NorFlash {
  readonly bytes: Uint8Array;
  /** Number of times that each 4096-byte sector was erased. */
  readonly erases: Uint32Array;

  constructor(size: number, content?: Uint8Array) {
    this.bytes = new Uint8Array(size).fill(0xff);
    this.erases = new Uint32Array(Math.ceil(size / sectorBytes));
    if (content) this.bytes.set(content.subarray(0, size));
  }

  get size(): number {
    return this.bytes.length;
  }

  /** Clears bits. Returns false if the flash then does not contain `data`, because it was not erased before. */
  program(offset: number, data: Uint8Array): boolean {
    let held = true;
    const end = Math.min(data.length, this.size - offset);
    for (let at = 0; at < end; at++) {
      const wanted = data[at] as number;
      const now = (this.bytes[offset + at] as number) & wanted;
      this.bytes[offset + at] = now;
      if (now !== wanted) held = false;
    }
    return held && end === data.length;
  }

  /** Erases all sectors that overlap [offset, offset + length). Uses blocks of 64 KiB where possible. Returns the duration in ms. */
  erase(offset: number, length: number): number {
    let ms = 0;
    let at = offset - (offset % sectorBytes);
    const end = Math.min(this.size, offset + length);
    while (at < end) {
      const whole = at % blockBytes === 0 && at + blockBytes <= end;
      ms += whole ? norTimes.eraseBlock64KiB : norTimes.eraseSector;
      const next = at + (whole ? blockBytes : sectorBytes);
      for (let sector = at; sector < next; sector += sectorBytes) this.eraseSector(sector);
      at = next;
    }
    return ms;
  }

  eraseAll(): number {
    for (let at = 0; at < this.size; at += sectorBytes) this.eraseSector(at);
    return (this.size / 2 ** 20) * norTimes.eraseMiB;
  }

  isBlank(sector: number): boolean {
    return this.bytes.subarray(sector, sector + sectorBytes).every((byte) => byte === 0xff);
  }

  md5(offset: number, length: number): Uint8Array {
    return createHash('md5')
      .update(this.bytes.subarray(offset, offset + length))
      .digest();
  }

  private eraseSector(offset: number): void {
    this.bytes.fill(0xff, offset, offset + sectorBytes);
    const sector = offset / sectorBytes;
    this.erases[sector] = (this.erases[sector] ?? 0) + 1;
  }
}

export type WriteProblem = InflateProblem | 'too-much' | 'held';

/** Result of one block: duration of the flash operations in ms, and the problem. */
interface BlockResult {
  ms: number;
  problem: WriteProblem | null;
}

interface WritingOptions {
  offset: number;
  /** Number of bytes written to flash. */
  size: number;
  compressed: boolean;
  /** Whether to erase ahead of writing, like a stub. With a ROM, BEGIN has already erased everything. */
  eraseAhead: boolean;
}

/** One write from BEGIN to END. Accepts blocks, inflates them, erases ahead and programs. */
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

  /** Skips this many bytes without writing them, like a broken flash. */
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

  /**
   * Erases just ahead of writing, like the stub: whole blocks of 64 KiB where possible. Blank sectors before the first one that is not
   * blank are skipped.
   */
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
 * A zlib stream that arrives in chunks, like compressed blocks. Header and Adler-32 are checked here, so that a ROM's two different
 * errors can be distinguished. Source: RFC 1950.
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

  /** Returns the inflated data of these bytes, and the problem, if there is one. */
  async push(bytes: Uint8Array): Promise<{ data: Uint8Array; problem: InflateProblem | null }> {
    const body = this.withoutHeader(bytes);
    if (body.length > 0 && !this.failed) await this.feed(body);
    const data = Buffer.concat(this.output.splice(0));
    this.sum(data);
    if (!this.failed && this.tail.length >= 4 && !this.adlerHolds()) this.failed = 'adler';
    return { data, problem: this.failed };
  }

  /** Frees the stream's resources. */
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
      // If bytes follow the last block, the stream ends instead of calling back. A damaged stream only reports its error.
      this.raw.once('end', atEnd).once('error', done);
      this.raw.write(bytes, done);
    });
    if (this.ended) this.tail.push(...bytes.subarray(this.raw.bytesWritten - before));
  }

  private sum(data: Uint8Array): void {
    // 5552 is the largest number of additions after which both sums still fit into 32 bits.
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
