import type { FrameProgram, LoaderHost, StubKind } from './host.js';
import { norTimes } from './nor.js';
import {
  blockHeaderBytes,
  checksumOf,
  headerBytes,
  op,
  putWord,
  sectorBytes,
  stubError,
  wordAt,
} from './protocol.js';
import { securityInfo } from './security-info.js';
import { type WriteProblem, Writing } from './writing.js';

const syncAnswers = 8;
const maxReadBlock = 0x1000;

/** What is answered: status (0 = good), value, data; and what is done after it. */
interface Outcome {
  status?: number;
  value?: number;
  data?: Uint8Array;
  silent?: boolean;
  after?: () => Promise<void> | void;
}
const failed = (status: number): Outcome => ({ status });

interface Reading {
  offset: number;
  length: number;
  block: number;
  sent: number;
}

/**
 * esptool's flasher stub in RAM, version 2 or the older one that espflash 4.4 brings. Two status bytes, value 0;
 * blocks are acknowledged before they are written. Source: golden traces in test/golden/rom, esp32-probe-stub.
 */
export class StubLoader implements FrameProgram {
  private writing: Writing | null = null;
  /** Error of the block acknowledged last. */
  private pending = 0;
  private reading: Reading | null = null;
  private memoryLeft = 0;

  constructor(
    private readonly host: LoaderHost,
    readonly kind: StubKind,
  ) {}

  async handle(frame: Uint8Array): Promise<void> {
    if (this.reading) {
      this.continueReading(frame);
      return;
    }
    const code = frame[1] ?? 0;
    const outcome = await this.outcomeOf(frame, code);
    if (!outcome.silent) this.reply(code, outcome);
    await outcome.after?.();
  }

  end(): void {
    this.writing?.end();
    this.writing = null;
    this.reading = null;
  }

  private reply(code: number, { status = 0, value = 0, data = new Uint8Array(0) }: Outcome): void {
    const answer = new Uint8Array(headerBytes + data.length + 2);
    // The older stub forgets its status bytes in the length of this one answer.
    const forgets = this.kind === 'legacy' && code === op.securityInfo && status === 0;
    answer.set([1, code, data.length + (forgets ? 0 : 2), 0]);
    putWord(answer, 4, value);
    answer.set(data, headerBytes);
    answer[headerBytes + data.length] = status;
    const stuck = code === op.sync ? this.host.faults.strike('stuck-sync') : null;
    const times = code === op.sync ? (stuck ? (stuck.answers ?? 0) : syncAnswers) : 1;
    for (let time = 0; time < times; time++) this.host.send(answer);
  }

  private outcomeOf(frame: Uint8Array, code: number): Promise<Outcome> | Outcome {
    const size = wordAt(frame, 2) & 0xffff;
    if (frame.length < headerBytes || frame.length - headerBytes !== size) return failed(stubError.length);
    if (frame[0] !== 0) return failed(stubError.command);
    const request: Request = {
      code,
      size,
      frame,
      word: (index) => wordAt(frame, headerBytes + 4 * index),
    };
    return this.run(request);
  }

  private run(request: Request): Promise<Outcome> | Outcome {
    switch (request.code) {
      case op.sync:
        this.host.dropInput();
        return {};
      case op.readReg:
        return request.size === 4
          ? { value: this.host.registers.read(request.word(0)) }
          : failed(stubError.length);
      case op.writeReg:
        return this.writeReg(request);
      case op.memBegin:
        this.memoryLeft = request.word(0);
        return {};
      case op.memData:
        return this.memData(request);
      case op.memEnd:
        return this.memEnd(request);
      case op.flashBegin:
      case op.deflBegin:
        return this.begin(request);
      case op.flashData:
      case op.deflData:
        return this.data(request);
      case op.flashEnd:
      case op.deflEnd:
        return this.flashEnd(request);
      case op.spiAttach:
        return request.size === 4 || this.kind === 'legacy' ? {} : failed(stubError.length);
      case op.spiSetParams:
        return this.spiSetParams(request);
      case op.changeBaud:
        return { after: () => this.host.changeBaud(request.word(0)) };
      case op.flashMd5:
        return this.md5(request);
      case op.securityInfo:
        return this.host.identity.securityId === null
          ? failed(stubError.unsupported)
          : { data: securityInfo(this.host.identity, this.host.security) };
      case op.eraseFlash:
        return this.host.busy(this.host.flash.eraseAll()).then(() => ({}));
      case op.eraseRegion:
        return this.eraseRegion(request);
      case op.readFlash:
        return this.readFlash(request);
      case op.runUserCode:
        return {
          silent: true,
          after: () => (this.kind === 'legacy' ? this.host.restart('software') : undefined),
        };
      default:
        return failed(
          request.code >= 0xd4 && request.code <= 0xde ? stubError.unsupported : stubError.command,
        );
    }
  }

  private writeReg({ size, word }: Request): Outcome {
    if (size === 0 || size % 16 !== 0) return failed(stubError.length);
    for (let at = 0; at < size / 4; at += 4) this.host.registers.write(word(at), word(at + 1), word(at + 2));
    return {};
  }

  private memData({ size }: Request): Outcome {
    const bytes = size - blockHeaderBytes;
    if (bytes > this.memoryLeft) return failed(stubError.tooMuch);
    this.memoryLeft -= bytes;
    return {};
  }

  /** A stub uploaded into a running one, as espflash does: it starts over. */
  private memEnd({ word }: Request): Outcome {
    return word(0) === 0 && word(1) !== 0 ? { after: () => this.host.startStub(this.kind) } : {};
  }

  private spiSetParams({ size, word }: Request): Outcome {
    if (size !== 24) return failed(stubError.length);
    this.host.flashLimit = Math.min(word(1), this.host.flash.size);
    return {};
  }

  private begin({ code, size, word }: Request): Outcome {
    if (size !== 16 && size !== 20) return failed(stubError.length);
    this.end();
    this.pending = 0;
    const [bytes, offset] = [word(0), word(3)];
    if (offset + bytes > this.host.flash.size) return failed(stubError.spi);
    this.writing = new Writing(this.host.flash, {
      offset,
      size: bytes,
      compressed: code === op.deflBegin,
      eraseAhead: true,
    });
    return {};
  }

  private data({ code, size, frame }: Request): Outcome {
    const { writing } = this;
    if (!writing) return failed(stubError.notInFlashMode);
    const payload = frame.subarray(headerBytes + blockHeaderBytes);
    if (size < blockHeaderBytes || wordAt(frame, headerBytes) !== payload.length)
      return failed(stubError.length);
    if (checksumOf(payload) !== wordAt(frame, 4)) return failed(stubError.checksum);
    const fault = this.host.faults.strike('block-error', code);
    if (fault && !late.has(fault.error)) return failed(fault.error);
    const status = this.pending;
    this.pending = 0;
    if (status !== 0) return failed(status);
    if (fault) {
      this.pending = fault.error;
      return {};
    }
    return { after: () => this.write(writing, payload) };
  }

  private async write(writing: Writing, payload: Uint8Array): Promise<void> {
    if (this.host.faults.strike('stuck-flash')) {
      writing.written += payload.length;
      return;
    }
    const { ms, problem } = await writing.block(payload);
    await this.host.busy(ms);
    // A stub does not read back what it wrote: bits that stay are found by the MD5 alone.
    if (problem !== null && problem !== 'held') this.pending = problems[problem];
  }

  private flashEnd({ word }: Request): Outcome {
    const { writing } = this;
    if (!writing) return failed(stubError.notInFlashMode);
    const status = this.pending || (writing.complete ? 0 : this.notEnough());
    this.pending = 0;
    this.end();
    if (status !== 0) return failed(status);
    // Version 2 stays where it is when it is asked to restart.
    return word(0) === 0 && this.kind === 'legacy' ? { after: () => this.host.restart('software') } : {};
  }

  private notEnough(): number {
    return this.kind === 'legacy' ? stubError.notEnough : stubError.length;
  }

  private async md5({ word }: Request): Promise<Outcome> {
    const [offset, length] = [word(0), word(1)];
    if (offset + length > this.host.flash.size) return failed(stubError.spi);
    await this.host.busy((length / 1024) * norTimes.md5KiB);
    this.host.registers.flashWasRead();
    const sum = Uint8Array.from(this.host.flash.md5(offset, length));
    if (this.host.faults.strike('wrong-md5')) sum[0] = (sum[0] as number) ^ 1;
    return { data: sum };
  }

  private async eraseRegion({ word }: Request): Promise<Outcome> {
    const [offset, length] = [word(0), word(1)];
    if (offset % sectorBytes !== 0 || length % sectorBytes !== 0) return failed(stubError.length);
    if (offset + length > this.host.flash.size) return failed(stubError.spi);
    await this.host.busy(this.host.flash.erase(offset, length));
    return {};
  }

  private readFlash({ word }: Request): Outcome {
    const [offset, length, block] = [word(0), word(1), word(2)];
    if (block === 0 || block > maxReadBlock) return failed(stubError.length);
    if (offset + length > this.host.flash.size) return failed(stubError.spi);
    this.host.registers.flashWasRead();
    return {
      after: () => {
        this.reading = { offset, length, block, sent: 0 };
        this.sendBlock();
      },
    };
  }

  /** One block, then the host says how many bytes it has; behind the last one comes the MD5 of all. */
  private sendBlock(): void {
    const { reading } = this;
    if (!reading) return;
    const length = Math.min(reading.block, reading.length - reading.sent);
    const from = reading.offset + reading.sent;
    if (length === 0) {
      this.reading = null;
      this.host.send(Uint8Array.from(this.host.flash.md5(reading.offset, reading.length)));
      return;
    }
    reading.sent += length;
    const sent = this.host.faults.strike('short-read') ? length >> 1 : length;
    this.host.send(this.host.flash.bytes.slice(from, from + sent));
  }

  private continueReading(frame: Uint8Array): void {
    if (frame.length === 4 && wordAt(frame, 0) === this.reading?.sent) this.sendBlock();
    else this.reading = null;
  }
}

interface Request {
  code: number;
  size: number;
  frame: Uint8Array;
  word(index: number): number;
}

/** Errors of writing and inflating, which come after the block was acknowledged. */
const late: ReadonlySet<number> = new Set([stubError.spi, stubError.inflate, stubError.tooMuch]);

const problems: Record<WriteProblem, number> = {
  deflate: stubError.inflate,
  adler: stubError.inflate,
  'too-much': stubError.tooMuch,
  held: stubError.spi,
};
