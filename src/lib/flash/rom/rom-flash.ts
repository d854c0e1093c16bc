import { panicText } from './boot-text.js';
import { norTimes } from './nor.js';
import { op, romError, sectorBytes } from './protocol.js';
import { failed, kept, type RomCommand, type RomOutcome, type RomState } from './rom-state.js';
import { type WriteProblem, Writing } from './writing.js';

const slowReadBytes = 64;
const digestCharacters = 32;

const problems: Record<WriteProblem, number> = {
  deflate: romError.deflate,
  adler: romError.adler,
  'too-much': romError.deflate,
  held: romError.write,
};

function setParameters(rom: RomState, size: number): RomOutcome {
  if (size < 24) return failed(romError.message);
  rom.host.flashLimit = Math.min(rom.word(1), rom.host.flash.size);
  return kept;
}

/** Erases all that will be written; a compressed write rounds that up to whole blocks. */
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
 * Word 0 restarts the chip, another runs what is in flash. A request of one byte, as espflash 4.4 sends it, is read
 * with the three bytes that an earlier request left behind it.
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

/** One delimiter of a frame that never comes goes before the boot text. */
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

/** The ROM's commands for the flash. */
export const flashCommands: readonly [number, RomCommand][] = [
  [op.spiSetParams, setParameters],
  // Both lengths of it are taken; pins are not simulated.
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
