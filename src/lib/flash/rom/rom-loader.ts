import { panicText } from './boot-text.js';
import type { FrameProgram, LoaderHost } from './host.js';
import { norTimes } from './nor.js';
import {
  blockHeaderBytes,
  checksumOf,
  headerBytes,
  op,
  putWord,
  romError,
  sectorBytes,
  wordAt,
} from './protocol.js';
import { securityInfo } from './security-info.js';
import { stubOfEntry } from './stubs.js';
import { type WriteProblem, Writing } from './writing.js';

const syncAnswers = 8;
const bufferBytes = 0x8000;
const slowReadBytes = 64;

type Handler = (this: RomLoader, size: number) => Promise<Outcome> | Outcome;
/** Bytes of data before the status; the error that it failed with; what is done after the answer. */
interface Outcome {
  data?: number;
  error?: number;
  /** The second status byte keeps its old value, as most of the ROM's commands leave it. */
  keepsError?: boolean;
  silent?: boolean;
  after?: () => Promise<void> | void;
}

const kept: Outcome = { keepsError: true };
const failed = (error: number, data = 0): Outcome => ({ error, data });

/**
 * The loader in the mask ROM, with its traits: requests land in one buffer that keeps what was there, answers carry
 * values and status bytes of earlier ones, a refused block still counts. Source: golden traces in test/golden/rom.
 */
export class RomLoader implements FrameProgram {
  private readonly request = new Uint8Array(bufferBytes);
  private readonly answer = new Uint8Array(headerBytes + 256);
  private value = 0;
  private error = 0;
  private lastOp = 0;
  private sequence = 0;
  private memory = false;
  /** Whether a command was understood since the reset. */
  spoken = false;
  private writing: Writing | null = null;
  private blockBytes = 0;

  /** @param joint whether it waits on all ports at once, which shows in what it keeps of SYNC */
  constructor(
    private readonly host: LoaderHost,
    private readonly joint: boolean,
  ) {}

  async handle(frame: Uint8Array): Promise<void> {
    this.request.set(frame.subarray(0, bufferBytes));
    const code = this.request[1] as number;
    const handler = this.request[0] === 0 ? this.handlerOf(code) : undefined;
    if (!handler) {
      this.reply(failed(romError.message));
      return;
    }
    this.lastOp = code;
    this.spoken = true;
    const size = (this.request[2] as number) | ((this.request[3] as number) << 8);
    const outcome = await handler.call(this, size);
    if (!outcome.silent) this.reply(outcome);
    await outcome.after?.();
  }

  end(): void {
    this.writing?.end();
    this.writing = null;
  }

  private handlerOf(code: number): Handler | undefined {
    if (code === op.securityInfo && this.host.identity.securityId === null) return undefined;
    if (this.host.security.secureDownload && !allowedInSecureDownload.has(code)) return undefined;
    return handlers.get(code);
  }

  private reply({ data = 0, error, keepsError }: Outcome): void {
    const at = headerBytes + data;
    if (error !== undefined) this.error = error;
    else if (!keepsError) this.error = 0;
    this.answer[0] = 1;
    this.answer[1] = this.lastOp;
    this.answer[2] = data + 4;
    this.answer[3] = 0;
    putWord(this.answer, 4, this.value);
    this.answer[at] = error === undefined ? 0 : 1;
    this.answer[at + 1] = this.error;
    // The two reserved bytes are whatever an earlier answer left there.
    const times = this.lastOp === op.sync ? this.syncAnswers() : 1;
    for (let time = 0; time < times; time++) this.host.send(this.answer.slice(0, at + 4));
  }

  private syncAnswers(): number {
    const stuck = this.host.faults.strike('stuck-sync');
    return stuck ? (stuck.answers ?? 0) : syncAnswers;
  }

  private word(index: number): number {
    return wordAt(this.request, headerBytes + 4 * index);
  }

  /** The payload of a data command, or why it is refused. */
  private block(size: number): { payload: Uint8Array } | Outcome {
    const payload = this.request.subarray(headerBytes + blockHeaderBytes, headerBytes + size);
    if (this.word(0) !== size - blockHeaderBytes || this.word(1) !== this.sequence)
      return failed(romError.message);
    this.sequence++;
    if (checksumOf(payload) !== wordAt(this.request, 4)) return failed(romError.checksum);
    const fault = this.host.faults.strike('block-error', this.lastOp);
    return fault ? failed(fault.error) : { payload };
  }

  sync(): Outcome {
    this.value = this.word(0);
    if (!this.joint || this.host.identity.securityId === null) return {};
    return {
      after: () => {
        this.value = 0;
      },
    };
  }

  readReg(): Outcome {
    this.value = this.host.registers.read(this.word(0));
    return {};
  }

  writeReg(size: number): Outcome {
    for (let tuple = 0; tuple + 16 <= size; tuple += 16) {
      const at = tuple / 4;
      this.host.registers.write(this.word(at), this.word(at + 1), this.word(at + 2));
    }
    return {};
  }

  memBegin(): Outcome {
    this.sequence = 0;
    this.memory = true;
    return kept;
  }

  memData(size: number): Outcome {
    if (!this.memory) return failed(romError.message);
    const block = this.block(size);
    return 'payload' in block ? kept : block;
  }

  memEnd(): Outcome {
    const entry = this.word(1);
    this.memory = false;
    if (this.word(0) !== 0 || entry === 0) return kept;
    return { ...kept, after: () => this.host.startStub(stubOfEntry(entry)) };
  }

  spiSetParams(size: number): Outcome {
    if (size < 24) return failed(romError.message);
    this.host.flashLimit = Math.min(this.word(1), this.host.flash.size);
    return kept;
  }

  async begin(size: number, compressed: boolean): Promise<Outcome> {
    if (size < this.host.identity.beginWords * 4) return failed(romError.message);
    const [bytes, offset] = [this.word(0), this.word(3)];
    this.end();
    this.blockBytes = this.word(2);
    this.sequence = 0;
    if (offset % sectorBytes !== 0 || offset + bytes > this.host.flashLimit) return failed(romError.failed);
    const erased = compressed ? Math.ceil(bytes / this.blockBytes) * this.blockBytes : bytes;
    await this.host.busy(this.host.flash.erase(offset, erased));
    this.writing = new Writing(this.host.flash, { offset, size: bytes, compressed, eraseAhead: false });
    return kept;
  }

  async data(size: number): Promise<Outcome> {
    if (!this.writing) return failed(romError.message);
    const block = this.block(size);
    if (!('payload' in block)) return block;
    if (this.host.faults.strike('stuck-flash')) return failed(romError.write);
    const { ms, problem } = await this.writing.block(block.payload);
    await this.host.busy(ms);
    return problem === null ? kept : failed(problems[problem]);
  }

  /**
   * Word 0 restarts the chip, another runs what is in flash. A request of one byte, as espflash 4.4 sends it, is read
   * with the three bytes that an earlier request left behind it.
   */
  flashEnd(): Outcome {
    const run = this.word(0) !== 0;
    this.end();
    if (!run) return { after: () => this.restart() };
    const bootable = this.host.flash.bytes[this.host.identity.bootloaderOffset] === 0xe9;
    if (bootable) return { after: () => this.host.startProgram() };
    return {
      error: romError.failed,
      after: () =>
        this.host.crash(`user code done\r\n${panicText(this.host.identity, 'Instruction access fault')}`),
    };
  }

  /** One delimiter of a frame that never comes goes before the boot text. */
  private restart(): Promise<void> {
    this.host.sendRaw(Uint8Array.of(0xc0));
    return this.host.restart('software');
  }

  async md5(): Promise<Outcome> {
    const [offset, length] = [this.word(0), this.word(1)];
    if (offset + length > this.host.flashLimit) return failed(romError.read, 32);
    await this.host.busy((length / 1024) * norTimes.md5KiB);
    this.host.registers.flashWasRead();
    const sum = this.host.flash.md5(offset, length);
    if (this.host.faults.strike('wrong-md5')) sum[0] = (sum[0] as number) ^ 1;
    this.answer.set(new TextEncoder().encode(Buffer.from(sum).toString('hex')), headerBytes);
    return { data: 32 };
  }

  readFlashSlow(): Outcome {
    const [offset, length] = [this.word(0), this.word(1)];
    if (length > slowReadBytes) return failed(romError.readLength, slowReadBytes);
    if (offset + length > this.host.flashLimit) return failed(romError.read, slowReadBytes);
    this.host.registers.flashWasRead();
    this.answer.set(this.host.flash.bytes.subarray(offset, offset + length), headerBytes);
    return { data: slowReadBytes };
  }

  changeBaud(): Outcome {
    const baud = this.word(0);
    // It divides by it.
    if (baud === 0) return { silent: true, after: () => this.host.crash('') };
    return { ...kept, after: () => this.host.changeBaud(baud) };
  }

  securityInfo(): Outcome {
    const info = securityInfo(this.host.identity, this.host.security);
    this.answer.set(info, headerBytes);
    return { ...kept, data: info.length };
  }
}

const problems: Record<WriteProblem, number> = {
  deflate: romError.deflate,
  adler: romError.adler,
  'too-much': romError.deflate,
  held: romError.write,
};

const handlers = new Map<number, Handler>([
  [
    op.flashBegin,
    function (size) {
      return this.begin(size, false);
    },
  ],
  [
    op.flashData,
    function (size) {
      return this.data(size);
    },
  ],
  [
    op.flashEnd,
    function () {
      return this.flashEnd();
    },
  ],
  [
    op.memBegin,
    function () {
      return this.memBegin();
    },
  ],
  [
    op.memEnd,
    function () {
      return this.memEnd();
    },
  ],
  [
    op.memData,
    function (size) {
      return this.memData(size);
    },
  ],
  [
    op.sync,
    function () {
      return this.sync();
    },
  ],
  [
    op.writeReg,
    function (size) {
      return this.writeReg(size);
    },
  ],
  [
    op.readReg,
    function () {
      return this.readReg();
    },
  ],
  [
    op.spiSetParams,
    function (size) {
      return this.spiSetParams(size);
    },
  ],
  [op.spiAttach, () => kept],
  [
    op.readFlashSlow,
    function () {
      return this.readFlashSlow();
    },
  ],
  [
    op.changeBaud,
    function () {
      return this.changeBaud();
    },
  ],
  [
    op.deflBegin,
    function (size) {
      return this.begin(size, true);
    },
  ],
  [
    op.deflData,
    function (size) {
      return this.data(size);
    },
  ],
  [
    op.deflEnd,
    function () {
      return this.flashEnd();
    },
  ],
  [
    op.flashMd5,
    function () {
      return this.md5();
    },
  ],
  [
    op.securityInfo,
    function () {
      return this.securityInfo();
    },
  ],
]);

/** Source: ESP-IDF, "Secure download mode": what writes flash and no more. */
const allowedInSecureDownload = new Set<number>([
  op.sync,
  op.flashBegin,
  op.flashData,
  op.flashEnd,
  op.deflBegin,
  op.deflData,
  op.deflEnd,
  op.spiAttach,
  op.spiSetParams,
  op.changeBaud,
  op.securityInfo,
]);
