import { errorMaker } from '../../core/errors.js';
import { Unshrink } from './heatshrink.js';
import { sequentialHeatshrink } from './patch.js';

const malformed = errorMaker('AIOT_DELTA_MALFORMED', 'the patch cannot be applied: ');

/** Reads a range of the base. */
export type ReadBase = (offset: number, bytes: number) => Uint8Array;

/** The largest window for which devices have memory, in bits. */
const maxWindow = 11;

/** Number of base bytes read at once. */
const blockBytes = 1024;

type Stage =
  | 'type'
  | 'size'
  | 'shape'
  | 'format'
  | 'diffSize'
  | 'diff'
  | 'extraSize'
  | 'extra'
  | 'step'
  | 'end';

/** Applies a patch as it arrives (see createDelta). Only the window and one chunk of the output are in memory. */
export class DeltaDecoder {
  private stage: Stage = 'type';
  private unshrink: Unshrink | null = null;
  private readonly number = { value: 0, scale: 0, negative: false };
  private left = 0;
  private from = 0;
  private total = 0;
  private made = 0;
  private out: number[] = [];
  /** The last block read from the base, and its offset. */
  private block: { at: number; bytes: Uint8Array } = { at: 0, bytes: new Uint8Array(0) };

  /** @param expected size of the result @param baseBytes size of the base */
  constructor(
    private readonly base: ReadBase,
    private readonly baseBytes: number,
    private readonly expected: number,
  ) {}

  /** Whether the result is complete. */
  get done(): boolean {
    return this.stage === 'end';
  }

  /** Returns the bytes of the result that follow from these bytes of the patch. @throws AIOT_DELTA_MALFORMED */
  push(bytes: Uint8Array): Uint8Array {
    this.out = [];
    let at = 0;
    while (at < bytes.length && !this.unshrink) this.header(bytes[at++]!);
    this.unshrink?.push(bytes.subarray(at), (byte) => this.body(byte));
    return Uint8Array.from(this.out);
  }

  private header(byte: number): void {
    if (this.stage === 'type') {
      if (byte !== sequentialHeatshrink) throw malformed(`unknown patch type ${byte}`);
      this.stage = 'size';
    } else if (this.stage === 'size') {
      if (!this.numberEnds(byte)) return;
      this.total = this.number.value;
      if (this.total !== this.expected) throw malformed(`its size of ${this.total} bytes is invalid`);
      this.stage = 'shape';
    } else {
      const [window, lookahead] = [(byte >> 4) + 4, (byte & 15) + 3];
      if (window > maxWindow || lookahead >= window)
        throw malformed(`its window of ${window} bits is invalid`);
      this.unshrink = new Unshrink({ window, lookahead });
      this.stage = 'format';
    }
  }

  private body(byte: number): void {
    switch (this.stage) {
      case 'format':
        if (byte !== 0) throw malformed('unsupported data format');
        this.stage = 'diffSize';
        return;
      case 'diffSize':
        if (this.numberEnds(byte)) this.begin('diff', this.number.value);
        return;
      case 'diff':
        this.emit((byte + this.baseByte(this.from++)) & 0xff, 'extraSize');
        return;
      case 'extraSize':
        if (this.numberEnds(byte)) this.begin('extra', this.number.value);
        return;
      case 'extra':
        this.emit(byte, 'step');
        return;
      case 'step':
        if (!this.numberEnds(byte)) return;
        this.from += this.number.value;
        if (this.from < 0 || this.from > this.baseBytes) throw malformed('a reference outside the base');
        this.stage = this.made === this.total ? 'end' : 'diffSize';
        return;
      default:
        throw malformed('data after its end');
    }
  }

  private begin(stage: 'diff' | 'extra', bytes: number): void {
    if (bytes < 0 || bytes > this.total - this.made) throw malformed('more bytes than its header states');
    if (stage === 'diff' && bytes > this.baseBytes - this.from)
      throw malformed('a reference outside the base');
    this.left = bytes;
    this.stage = bytes > 0 ? stage : stage === 'diff' ? 'extraSize' : 'step';
  }

  private baseByte(at: number): number {
    const { bytes, at: begin } = this.block;
    if (at >= begin && at < begin + bytes.length) return bytes[at - begin]!;
    this.block = { at, bytes: this.base(at, Math.min(blockBytes, this.baseBytes - at)) };
    return this.block.bytes[0]!;
  }

  private emit(byte: number, then: Stage): void {
    this.out.push(byte);
    this.made++;
    if (--this.left === 0) this.stage = then;
  }

  /** Adds a byte to `number`; returns whether `number.value` is complete. */
  private numberEnds(byte: number): boolean {
    const { number } = this;
    if (number.scale === 0) {
      number.negative = (byte & 0x40) !== 0;
      number.value = byte & 0x3f;
      number.scale = 64;
    } else {
      number.value += (byte & 0x7f) * number.scale;
      number.scale *= 128;
    }
    if (number.scale > 2 ** 41) throw malformed('a number is not terminated');
    if (byte & 0x80) return false;
    if (number.negative) number.value = -number.value;
    number.scale = 0;
    return true;
  }
}
