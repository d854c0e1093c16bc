import type { Session } from './session.js';

/**
 * Requests of the ROM loader and of the flasher stub. Source: Espressif, "Serial Protocol" in the documentation of
 * esptool; the stub's own begin at 0xd0.
 */
export const op = {
  flashBegin: 0x02,
  flashData: 0x03,
  flashEnd: 0x04,
  memBegin: 0x05,
  memEnd: 0x06,
  memData: 0x07,
  sync: 0x08,
  writeReg: 0x09,
  readReg: 0x0a,
  spiSetParams: 0x0b,
  spiAttach: 0x0d,
  readFlashSlow: 0x0e,
  changeBaud: 0x0f,
  deflBegin: 0x10,
  deflData: 0x11,
  deflEnd: 0x12,
  md5: 0x13,
  securityInfo: 0x14,
  eraseFlash: 0xd0,
  eraseRegion: 0xd1,
  readFlash: 0xd2,
} as const;

export const sectorBytes = 0x1000;

/** 32-bit little-endian words, as all requests are made of. */
export function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value >>> 0, true);
  return bytes;
}

/** XOR of the payload, begun with 0xef. */
export function checksum(payload: Uint8Array): number {
  let sum = 0xef;
  for (const byte of payload) sum ^= byte;
  return sum;
}

/** A block of data with its sub-header: length, sequence number, two zeros. */
export function block(payload: Uint8Array, sequence: number): Uint8Array {
  const data = new Uint8Array(16 + payload.length);
  data.set(words(payload.length, sequence, 0, 0));
  data.set(payload, 16);
  return data;
}

/** For requests that a chip answers at once, and that may be asked twice: a lost one costs a second, a late one none. */
export const quick = { timeoutMs: 1000, tries: 4 } as const;

/** Time for work on so many bytes of flash, at `secondsPerMB`, never below 3 s. */
export function flashTimeMs(bytes: number, secondsPerMB: number): number {
  return Math.max(3000, (secondsPerMB * bytes) / 1000);
}

export const hex = (value: number) => `0x${value.toString(16)}`;

/**
 * The words of FLASH_BEGIN and FLASH_DEFL_BEGIN. The fifth says whether what comes is to be encrypted: an ESP32's ROM
 * does not know it, all later ROMs insist on it, and stubs take either.
 */
export function beginWords(
  { chip, stub }: Pick<Session, 'chip' | 'stub'>,
  { size, blocks, blockBytes, offset }: { size: number; blocks: number; blockBytes: number; offset: number },
): Uint8Array {
  const four = [size, blocks, blockBytes, offset];
  return chip.chip === 'esp32' && !stub ? words(...four) : words(...four, 0);
}
