import { op, romError } from './protocol.js';
import { failed, kept, type RomCommand, type RomState } from './rom-state.js';
import { securityInfo } from './security-info.js';
import { stubOfEntry } from './stubs.js';

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
  return kept;
}

/** What is uploaded is not kept: of a stub only the entry point counts. */
function memoryData(rom: RomState, size: number) {
  if (!rom.memory) return failed(romError.message);
  const block = rom.block(size);
  return 'payload' in block ? kept : block;
}

function memoryEnd(rom: RomState) {
  const entry = rom.word(1);
  rom.memory = false;
  if (rom.word(0) !== 0 || entry === 0) return kept;
  return { ...kept, after: () => rom.host.startStub(stubOfEntry(entry)) };
}

function changeBaud(rom: RomState) {
  const baud = rom.word(0);
  // It divides by it.
  if (baud === 0) return { silent: true, after: () => rom.host.crash('') };
  return { ...kept, after: () => rom.host.changeBaud(baud) };
}

function security(rom: RomState) {
  const info = securityInfo(rom.host.identity, rom.host.security);
  rom.put(info);
  return { ...kept, data: info.length };
}

/** The ROM's commands that leave the flash alone. */
export const memoryCommands: readonly [number, RomCommand][] = [
  [op.sync, sync],
  [op.writeReg, writeRegisters],
  [op.readReg, readRegister],
  [op.memBegin, memoryBegin],
  [op.memData, memoryData],
  [op.memEnd, memoryEnd],
  [op.changeBaud, changeBaud],
  [op.securityInfo, security],
];
