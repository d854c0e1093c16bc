import { norTimes } from './nor.js';
import { blockHeaderBytes, checksumOf, headerBytes, op, sectorBytes, stubError, wordAt } from './protocol.js';
import { ReadStream } from './stub-reading.js';
import {
  failed,
  type StubCommand,
  type StubOutcome,
  type StubRequest,
  type StubState,
} from './stub-state.js';
import { type WriteProblem, Writing } from './writing.js';

const maxReadBlock = 0x1000;

/** Errors of writing and inflating, which come after the block was acknowledged. */
const late: ReadonlySet<number> = new Set([stubError.spi, stubError.inflate, stubError.tooMuch]);

/** A stub does not read back what it wrote: bits that stay are found by the MD5 alone. */
const problems: Record<WriteProblem, number> = {
  deflate: stubError.inflate,
  adler: stubError.inflate,
  'too-much': stubError.tooMuch,
  held: 0,
};

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

/** Acknowledged first, written then: what goes wrong comes with the next answer. */
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
  // Version 2 stays where it is when it is asked to restart.
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

/** The stub's commands for the flash. */
export const flashCommands: readonly [number, StubCommand][] = [
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
