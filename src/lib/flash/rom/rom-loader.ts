import { norTimes, type WriteProblem, Writing } from './flash-memory.js';
import type { FrameProgram, LoaderHost, RamProgram, StubKind } from './host.js';
import { securityInfo } from './identity.js';
import { panicText } from './program.js';
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

const syncAnswers = 8;
const kept: RomOutcome = { keepsError: true };
const failed = (error: number, data = 0): RomOutcome => ({ error, data });

/** Entry points of esptool's older stub, which espflash 4.4 still includes, on ESP32, S3 and C3. Determined by measurement. */
const legacyEntries = [0x400be658, 0x40378c94, 0x403806d2];

/** Entry points of the newer stub, on ESP32, S3 and C3. */
const stubEntries = [0x400a902c, 0x40379524, 0x40380e9a, ...legacyEntries];

/** ROM commands that do not access the flash. */
const memoryCommands: readonly [number, RomCommand][] = [
  [op.sync, sync],
  [op.writeReg, writeRegisters],
  [op.readReg, readRegister],
  [op.memBegin, memoryBegin],
  [op.memData, memoryData],
  [op.memEnd, memoryEnd],
  [op.changeBaud, changeBaud],
  [op.securityInfo, security],
];

const problems: Record<WriteProblem, number> = {
  deflate: romError.deflate,
  adler: romError.adler,
  'too-much': romError.deflate,
  held: romError.write,
};

const digestCharacters = 32;
const slowReadBytes = 64;

/** ROM commands for the flash. */
const flashCommands: readonly [number, RomCommand][] = [
  [op.spiSetParams, setParameters],
  // Both lengths of the request are accepted. Pins are not simulated.
  [op.spiAttach, () => kept],
  [op.flashBegin, (rom, size) => begin(rom, size, false)],
  [op.flashData, data],
  [op.flashEnd, end],
  [op.deflBegin, (rom, size) => begin(rom, size, true)],
  [op.deflData, data],
  [op.deflEnd, end],
  [op.flashMd5, md5],
  [op.readFlashSlow, readSlowly],
];

const commands = new Map<number, RomCommand>([...memoryCommands, ...flashCommands]);

/** Commands that secure download mode allows, which are those that write flash. Source: ESP-IDF, "Secure download mode". */
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

/**
 * The loader in the mask ROM with its quirks. Requests share a buffer that keeps old contents. Responses contain values and status bytes of
 * earlier responses. A rejected block still advances the sequence number. Source: golden traces in test/golden/rom.
 */
export class RomLoader implements FrameProgram {
  /** Whether a command was recognized since the reset. */
  spoken = false;
  private readonly state: RomState;
  private error = 0;

  /** @param joint whether the loader listens on all ports at once */
  constructor(
    private readonly host: LoaderHost,
    joint: boolean,
  ) {
    this.state = new RomState(host, joint);
  }

  async handle(frame: Uint8Array): Promise<void> {
    const { state } = this;
    const { request } = state;
    request.set(frame.subarray(0, request.length));
    const code = request[1] as number;
    const command = request[0] === 0 ? this.commandOf(code) : undefined;
    // The answer contains the last known command, not the unknown one.
    if (!command) return this.reply(failed(romError.message));
    state.lastOp = code;
    this.spoken = true;
    const outcome = await command(state, (request[2] as number) | ((request[3] as number) << 8));
    if (!outcome.silent) this.reply(outcome);
    await outcome.after?.();
  }

  end(): void {
    this.state.endWriting();
  }

  private commandOf(code: number): RomCommand | undefined {
    const { identity } = this.host;
    if (code === op.securityInfo && identity.securityId === null) return undefined;
    if (this.host.security().secureDownload && !allowedInSecureDownload.has(code)) return undefined;
    return commands.get(code);
  }

  private reply({ data = 0, error, keepsError }: RomOutcome): void {
    const { answer, lastOp, value } = this.state;
    if (error !== undefined) this.error = error;
    else if (!keepsError) this.error = 0;
    const at = headerBytes + data;
    answer.set([1, lastOp, data + 4, 0]);
    putWord(answer, 4, value);
    answer.set([error === undefined ? 0 : 1, this.error], at);
    const times = lastOp === op.sync ? this.syncAnswers() : 1;
    for (let time = 0; time < times; time++) this.host.send(answer.slice(0, at + 4));
  }

  private syncAnswers(): number {
    const stuck = this.host.faults.strike('stuck-sync');
    return stuck ? (stuck.answers ?? 0) : syncAnswers;
  }
}

/** Maximum length of a request, bytes. Longer ones are truncated, as by a receive buffer. */
const bufferBytes = 0x8000;

/** Result of a request: number of data bytes before the status, error, and the action after the answer. */
interface RomOutcome {
  data?: number;
  error?: number;
  /** Whether the second status byte keeps its old value, as it does with most ROM commands. */
  keepsError?: boolean;
  silent?: boolean;
  after?: () => Promise<void> | void;
}

type RomCommand = (rom: RomState, size: number) => Promise<RomOutcome> | RomOutcome;

/** State that the ROM loader keeps between requests. It retains more state than it should, and hosts must handle that. */
class RomState {
  /** Buffer for requests. After a short request, it still contains the rest of an earlier one. */
  readonly request = new Uint8Array(bufferBytes);
  /** Buffer for answers. Its reserved bytes are those of an earlier answer. */
  readonly answer = new Uint8Array(headerBytes + 256);
  /** Value of the last READ_REG or SYNC. */
  value = 0;
  lastOp = 0;
  /** Number of the expected block. */
  sequence = 0;
  /** Whether an upload to RAM has begun. */
  memory = false;
  /** Uploads to RAM since the last start of a program. */
  readonly uploads: RamProgram['segments'] = [];
  writing: Writing | null = null;

  /** @param joint whether the loader listens on all ports at once; this affects the values of SYNC that the ROM keeps */
  constructor(
    readonly host: LoaderHost,
    readonly joint: boolean,
  ) {}

  word(index: number): number {
    return wordAt(this.request, headerBytes + 4 * index);
  }

  /** Stores an answer's data in the send buffer. */
  put(data: Uint8Array): void {
    this.answer.set(data, headerBytes);
  }

  /** The payload of a data command, or the reason for its rejection. A block with a wrong checksum also advances the sequence number. */
  block(size: number): { payload: Uint8Array } | RomOutcome {
    const payload = this.request.subarray(headerBytes + blockHeaderBytes, headerBytes + size);
    const due = this.word(0) === size - blockHeaderBytes && this.word(1) === this.sequence;
    if (!due) return failed(romError.message);
    this.sequence++;
    if (checksumOf(payload) !== wordAt(this.request, 4)) return failed(romError.checksum);
    const fault = this.host.faults.strike('block-error', this.lastOp);
    return fault ? failed(fault.error) : { payload };
  }

  endWriting(): void {
    this.writing?.end();
    this.writing = null;
  }
}

function sync(rom: RomState) {
  rom.value = rom.word(0);
  if (!rom.joint || rom.host.identity.securityId === null) return {};
  return {
    after: () => {
      rom.value = 0;
    },
  };
}

function writeRegisters(rom: RomState, size: number) {
  for (let at = 0; (at + 4) * 4 <= size; at += 4) {
    rom.host.registers.write(rom.word(at), rom.word(at + 1), rom.word(at + 2));
  }
  return {};
}

function readRegister(rom: RomState) {
  rom.value = rom.host.registers.read(rom.word(0));
  return {};
}

function memoryBegin(rom: RomState) {
  rom.sequence = 0;
  rom.memory = true;
  rom.uploads.push({ address: rom.word(3), bytes: new Uint8Array(0) });
  return kept;
}

function memoryData(rom: RomState, size: number) {
  if (!rom.memory) return failed(romError.message);
  const block = rom.block(size);
  if (!('payload' in block)) return block;
  const upload = rom.uploads.at(-1);
  if (upload) upload.bytes = Buffer.concat([upload.bytes, block.payload]);
  return kept;
}

function memoryEnd(rom: RomState) {
  const entry = rom.word(1);
  const uploads = rom.uploads.splice(0);
  rom.memory = false;
  if (rom.word(0) !== 0 || entry === 0) return kept;
  const isLoaded = uploads.some(({ address, bytes }) => entry >= address && entry < address + bytes.length);
  const isStub = stubEntries.includes(entry) || uploads.some(({ bytes }) => greets(bytes));
  const after = () =>
    isStub || !isLoaded
      ? rom.host.startStub(stubOfEntry(entry))
      : rom.host.startRamProgram({ entry, segments: uploads });
  return { ...kept, after };
}

/**
 * Whether code contains the word with which every flasher stub greets: as a literal, or as the upper half in a LUI instruction of RISC-V.
 * Any other uploaded code is an independent program.
 */
const greets = (code: Uint8Array) =>
  /OHAI|[\x37\xb7][\x50-\x5f]\x41\x49/.test(Buffer.from(code).toString('latin1'));

function changeBaud(rom: RomState) {
  const baud = rom.word(0);
  // The ROM divides by the speed, so it crashes for 0.
  if (baud === 0) return { silent: true, after: () => rom.host.crash('') };
  return { ...kept, after: () => rom.host.changeBaud(baud) };
}

function security(rom: RomState) {
  const info = securityInfo(rom.host.identity, rom.host.security(), rom.host.fuses);
  rom.put(info);
  return { ...kept, data: info.length };
}

function setParameters(rom: RomState, size: number): RomOutcome {
  if (size < 24) return failed(romError.message);
  rom.host.flashLimit = Math.min(rom.word(1), rom.host.flash.size);
  return kept;
}

/** Erases the whole range to be written. For a compressed write, the range is rounded up to whole blocks. */
async function begin(rom: RomState, size: number, compressed: boolean): Promise<RomOutcome> {
  const { host } = rom;
  if (size < host.identity.beginWords * 4) return failed(romError.message);
  const [bytes, block, offset] = [rom.word(0), Math.max(1, rom.word(2)), rom.word(3)];
  rom.endWriting();
  rom.sequence = 0;
  if (offset % sectorBytes !== 0 || offset + bytes > host.flashLimit) return failed(romError.failed);
  const erased = compressed ? Math.ceil(bytes / block) * block : bytes;
  await host.busy(host.flash.erase(offset, erased));
  rom.writing = new Writing(host.flash, { offset, size: bytes, compressed, eraseAhead: false });
  return kept;
}

async function data(rom: RomState, size: number): Promise<RomOutcome> {
  if (!rom.writing) return failed(romError.message);
  const block = rom.block(size);
  if (!('payload' in block)) return block;
  if (rom.host.faults.strike('stuck-flash')) return failed(romError.write);
  const { ms, problem } = await rom.writing.block(block.payload);
  await rom.host.busy(ms);
  return problem === null ? kept : failed(problems[problem]);
}

/**
 * Word 0 restarts the chip; any other word runs the image in flash. A one-byte request, which espflash 4.4 sends, is read with the three
 * bytes that an earlier request left behind.
 */
function end(rom: RomState): RomOutcome {
  const { host } = rom;
  const run = rom.word(0) !== 0;
  rom.endWriting();
  if (!run) return { after: () => restart(rom) };
  const bootable = host.flash.bytes[host.identity.bootloaderOffset] === 0xe9;
  if (bootable) return { after: () => host.startProgram() };
  const crash = `user code done\r\n${panicText(host.identity, 'Instruction access fault')}`;
  return { error: romError.failed, after: () => host.crash(crash) };
}

/** Restarts the chip. One delimiter of an unfinished frame is sent before the boot text. */
function restart({ host }: RomState): Promise<void> {
  host.sendRaw(Uint8Array.of(0xc0));
  return host.restart('software');
}

async function md5(rom: RomState): Promise<RomOutcome> {
  const { host } = rom;
  const [offset, length] = [rom.word(0), rom.word(1)];
  if (offset + length > host.flashLimit) return failed(romError.read, digestCharacters);
  await host.busy((length / 1024) * norTimes.md5KiB);
  host.registers.flashWasRead();
  const sum = host.flash.md5(offset, length);
  if (host.faults.strike('wrong-md5', op.flashMd5)) sum[0] = (sum[0] as number) ^ 1;
  rom.put(new TextEncoder().encode(Buffer.from(sum).toString('hex')));
  return { data: digestCharacters };
}

function readSlowly(rom: RomState): RomOutcome {
  const { host } = rom;
  const [offset, length] = [rom.word(0), rom.word(1)];
  if (length > slowReadBytes) return failed(romError.readLength, slowReadBytes);
  if (offset + length > host.flashLimit) return failed(romError.read, slowReadBytes);
  host.registers.flashWasRead();
  rom.put(host.flash.bytes.subarray(offset, offset + length));
  return { data: slowReadBytes };
}

/** The uploaded stub. An unknown stub is treated as the newer version. */
function stubOfEntry(entry: number): StubKind {
  return legacyEntries.includes(entry) ? 'legacy' : 'v2';
}
