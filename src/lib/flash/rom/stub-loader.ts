import { norTimes, type WriteProblem, Writing } from './flash-memory.js';
import type { FrameProgram, LoaderHost, StubKind } from './host.js';
import { securityInfo } from './identity.js';
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

const syncAnswers = 8;

/** Range of plugin commands. A stub without plugins rejects them with a separate error. */
const firstPlugin = 0xd4;

const lastPlugin = 0xde;
const failed = (status: number): StubOutcome => ({ status });

/** Stub commands that do not access the flash. */
const memoryCommands: readonly [number, StubCommand][] = [
  [op.sync, sync],
  [op.readReg, readRegister],
  [op.writeReg, writeRegisters],
  [op.memBegin, memoryBegin],
  [op.memData, memoryData],
  [op.memEnd, memoryEnd],
  [op.changeBaud, ({ host }, request) => ({ after: () => host.changeBaud(request.word(0)) })],
  [op.securityInfo, security],
  [op.runUserCode, runUserCode],
];

/** Errors of writing and inflating. They are reported after the block was acknowledged. */
const late: ReadonlySet<number> = new Set([stubError.spi, stubError.inflate, stubError.tooMuch]);

/** Error numbers for write problems. A stub does not read back the written data, so stuck bits are detected only by the MD5. */
const problems: Record<WriteProblem, number> = {
  deflate: stubError.inflate,
  adler: stubError.inflate,
  'too-much': stubError.tooMuch,
  held: 0,
};

const maxReadBlock = 0x1000;

/**
 * READ_FLASH: the stub sends a block, and the host answers with the number of bytes received. After the last block, the stub sends the MD5
 * of all blocks.
 */
class ReadStream {
  private sent = 0;

  constructor(
    private readonly host: LoaderHost,
    private readonly part: { offset: number; length: number; block: number },
  ) {}

  /** Sends the next block. Returns false when the stream is finished, which means that everything has been sent, including the MD5. */
  sendBlock(): boolean {
    const { offset, length, block } = this.part;
    const from = offset + this.sent;
    const bytes = Math.min(block, length - this.sent);
    if (bytes === 0) {
      const sum = Uint8Array.from(this.host.flash.md5(offset, length));
      if (this.host.faults.strike('wrong-md5', op.readFlash)) sum[0] = (sum[0] as number) ^ 1;
      this.host.send(sum);
      return false;
    }
    this.sent += bytes;
    const cut = this.host.faults.strike('short-read', op.readFlash) ? bytes >> 1 : bytes;
    this.host.send(this.host.flash.bytes.slice(from, from + cut));
    return true;
  }

  /**
   * Handles the host's acknowledgment, which is the number of bytes received. Returns false when the stream has ended, including
   * after a wrong count.
   */
  acknowledge(frame: Uint8Array): boolean {
    return frame.length === 4 && wordAt(frame, 0) === this.sent && this.sendBlock();
  }
}

/** Stub commands for the flash. */
const flashCommands: readonly [number, StubCommand][] = [
  [op.flashBegin, begin],
  [op.flashData, data],
  [op.flashEnd, end],
  [op.deflBegin, begin],
  [op.deflData, data],
  [op.deflEnd, end],
  [op.spiSetParams, setParameters],
  [op.spiAttach, ({ kind }, { size }) => (size === 4 || kind === 'legacy' ? {} : failed(stubError.length))],
  [op.flashMd5, md5],
  [op.eraseFlash, eraseAll],
  [op.eraseRegion, eraseRegion],
  [op.readFlash, readFlash],
];

const commands = new Map<number, StubCommand>([...memoryCommands, ...flashCommands]);

/**
 * esptool's flasher stub in RAM, version 2 or the older one included in espflash 4.4. Its answers have two status bytes and the value 0.
 * Blocks are acknowledged before they are written. Source: golden traces in test/golden/rom, esp32-probe-stub.
 */
export class StubLoader implements FrameProgram {
  private readonly state: StubState;

  constructor(
    private readonly host: LoaderHost,
    private readonly kind: StubKind,
  ) {
    this.state = new StubState(host, kind);
  }

  async handle(frame: Uint8Array): Promise<void> {
    const { state } = this;
    if (state.reading) {
      if (!state.reading.acknowledge(frame)) state.reading = null;
      return;
    }
    const request = new StubRequest(frame);
    const outcome = await this.outcomeOf(request);
    if (!outcome.silent) this.reply(request.code, outcome);
    await outcome.after?.();
  }

  end(): void {
    this.state.endWriting();
    this.state.reading = null;
  }

  private outcomeOf(request: StubRequest): Promise<StubOutcome> | StubOutcome {
    const { frame, code, size } = request;
    if (frame.length < headerBytes || frame.length - headerBytes !== size) return failed(stubError.length);
    if (frame[0] !== 0) return failed(stubError.command);
    const command = commands.get(code);
    if (command) return command(this.state, request);
    return failed(code >= firstPlugin && code <= lastPlugin ? stubError.unsupported : stubError.command);
  }

  private reply(code: number, { status = 0, value = 0, data = new Uint8Array(0) }: StubOutcome): void {
    const answer = new Uint8Array(headerBytes + data.length + 2);
    // The older stub omits its status bytes from the length of this one answer.
    const forgets = this.kind === 'legacy' && code === op.securityInfo && status === 0;
    answer.set([1, code, data.length + (forgets ? 0 : 2), 0]);
    putWord(answer, 4, value);
    answer.set(data, headerBytes);
    answer[headerBytes + data.length] = status;
    const times = code === op.sync ? this.syncAnswers() : 1;
    for (let time = 0; time < times; time++) this.host.send(answer);
  }

  private syncAnswers(): number {
    const stuck = this.host.faults.strike('stuck-sync');
    return stuck ? (stuck.answers ?? 0) : syncAnswers;
  }
}

/** The answer (status, 0 = success; value; data), and the action after it. */
interface StubOutcome {
  status?: number;
  value?: number;
  data?: Uint8Array;
  silent?: boolean;
  after?: () => Promise<void> | void;
}

/** A request. Bytes past its end are read as zero. */
class StubRequest {
  readonly code: number;
  /** Number of data bytes. */
  readonly size: number;

  constructor(readonly frame: Uint8Array) {
    this.code = frame[1] ?? 0;
    this.size = wordAt(frame, 2) & 0xffff;
  }

  word(index: number): number {
    return wordAt(this.frame, headerBytes + 4 * index);
  }
}

type StubCommand = (stub: StubState, request: StubRequest) => Promise<StubOutcome> | StubOutcome;

/** State that the stub keeps between requests. */
class StubState {
  writing: Writing | null = null;
  /** Error of the last acknowledged block. */
  pending = 0;
  reading: ReadStream | null = null;
  /** Number of bytes that remain of an upload to RAM. */
  memoryLeft = 0;

  constructor(
    readonly host: LoaderHost,
    readonly kind: StubKind,
  ) {}

  /** Returns and clears the pending error. */
  takePending(): number {
    const { pending } = this;
    this.pending = 0;
    return pending;
  }

  endWriting(): void {
    this.writing?.end();
    this.writing = null;
  }

  /** Rejects ranges beyond the flash. */
  outside(offset: number, length: number): StubOutcome | null {
    return offset + length > this.host.flash.size ? failed(stubError.spi) : null;
  }
}

function sync(stub: StubState) {
  stub.host.dropInput();
  return {};
}

function readRegister({ host }: StubState, request: StubRequest) {
  return request.size === 4 ? { value: host.registers.read(request.word(0)) } : failed(stubError.length);
}

function writeRegisters({ host }: StubState, request: StubRequest) {
  const { size } = request;
  if (size === 0 || size % 16 !== 0) return failed(stubError.length);
  for (let at = 0; at < size / 4; at += 4) {
    host.registers.write(request.word(at), request.word(at + 1), request.word(at + 2));
  }
  return {};
}

function memoryBegin(stub: StubState, request: StubRequest) {
  stub.memoryLeft = request.word(0);
  return {};
}

/** Accepts a block of an upload. Only the amount of data is checked, not the checksum or the number of the block. */
function memoryData(stub: StubState, { size }: StubRequest) {
  const bytes = size - blockHeaderBytes;
  if (bytes > stub.memoryLeft) return failed(stubError.tooMuch);
  stub.memoryLeft -= bytes;
  return {};
}

/** Ends an upload. If a stub is uploaded into a running one, as espflash does, the new stub is started. */
function memoryEnd({ host, kind }: StubState, request: StubRequest) {
  return request.word(0) === 0 && request.word(1) !== 0 ? { after: () => host.startStub(kind) } : {};
}

function security({ host }: StubState) {
  if (host.identity.securityId === null) return failed(stubError.unsupported);
  return { data: securityInfo(host.identity, host.security(), host.fuses) };
}

function runUserCode({ host, kind }: StubState) {
  return { silent: true, after: () => (kind === 'legacy' ? host.restart('software') : undefined) };
}

function begin(stub: StubState, request: StubRequest): StubOutcome {
  if (request.size !== 16 && request.size !== 20) return failed(stubError.length);
  const [size, offset] = [request.word(0), request.word(3)];
  stub.endWriting();
  stub.pending = 0;
  const refused = stub.outside(offset, size);
  if (refused) return refused;
  const compressed = request.code === op.deflBegin;
  stub.writing = new Writing(stub.host.flash, { offset, size, compressed, eraseAhead: true });
  return {};
}

/** Accepts a block. It is acknowledged first and then written, so errors are reported with the next answer. */
function data(stub: StubState, { code, size, frame }: StubRequest): StubOutcome {
  const { writing } = stub;
  if (!writing) return failed(stubError.notInFlashMode);
  const payload = frame.subarray(headerBytes + blockHeaderBytes);
  const whole = size >= blockHeaderBytes && wordAt(frame, headerBytes) === payload.length;
  if (!whole) return failed(stubError.length);
  if (checksumOf(payload) !== wordAt(frame, 4)) return failed(stubError.checksum);
  const fault = stub.host.faults.strike('block-error', code);
  if (fault && !late.has(fault.error)) return failed(fault.error);
  const status = stub.takePending();
  if (status !== 0) return failed(status);
  stub.pending = fault?.error ?? 0;
  return fault ? {} : { after: () => write(stub, writing, payload) };
}

async function write(stub: StubState, writing: Writing, payload: Uint8Array): Promise<void> {
  if (stub.host.faults.strike('stuck-flash')) {
    writing.skip(payload.length);
    return;
  }
  const { ms, problem } = await writing.block(payload);
  await stub.host.busy(ms);
  if (problem !== null) stub.pending = problems[problem];
}

function end(stub: StubState, request: StubRequest): StubOutcome {
  const { host, kind, writing } = stub;
  if (!writing) return failed(stubError.notInFlashMode);
  const missing = kind === 'legacy' ? stubError.notEnough : stubError.length;
  const status = stub.takePending() || (writing.complete ? 0 : missing);
  stub.endWriting();
  if (status !== 0) return failed(status);
  // Version 2 does not restart when requested.
  return request.word(0) === 0 && kind === 'legacy' ? { after: () => host.restart('software') } : {};
}

function setParameters({ host }: StubState, request: StubRequest): StubOutcome {
  if (request.size !== 24) return failed(stubError.length);
  host.flashLimit = Math.min(request.word(1), host.flash.size);
  return {};
}

async function md5(stub: StubState, request: StubRequest): Promise<StubOutcome> {
  const { host } = stub;
  const [offset, length] = [request.word(0), request.word(1)];
  const refused = stub.outside(offset, length);
  if (refused) return refused;
  await host.busy((length / 1024) * norTimes.md5KiB);
  host.registers.flashWasRead();
  const sum = Uint8Array.from(host.flash.md5(offset, length));
  if (host.faults.strike('wrong-md5', op.flashMd5)) sum[0] = (sum[0] as number) ^ 1;
  return { data: sum };
}

async function eraseAll({ host }: StubState): Promise<StubOutcome> {
  await host.busy(host.flash.eraseAll());
  return {};
}

async function eraseRegion(stub: StubState, request: StubRequest): Promise<StubOutcome> {
  const { host } = stub;
  const [offset, length] = [request.word(0), request.word(1)];
  if (offset % sectorBytes !== 0 || length % sectorBytes !== 0) return failed(stubError.length);
  const refused = stub.outside(offset, length);
  if (refused) return refused;
  await host.busy(host.flash.erase(offset, length));
  return {};
}

function readFlash(stub: StubState, request: StubRequest): StubOutcome {
  const [offset, length, block] = [request.word(0), request.word(1), request.word(2)];
  if (block === 0 || block > maxReadBlock) return failed(stubError.length);
  const refused = stub.outside(offset, length);
  if (refused) return refused;
  stub.host.registers.flashWasRead();
  const stream = new ReadStream(stub.host, { offset, length, block });
  return {
    after: () => {
      stub.reading = stream.sendBlock() ? stream : null;
    },
  };
}
