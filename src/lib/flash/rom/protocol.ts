/** Commands of ROM loader and flasher stub. Source: esptool's protocol documentation, "Serial Protocol: Commands". */
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
  flashMd5: 0x13,
  securityInfo: 0x14,
  eraseFlash: 0xd0,
  eraseRegion: 0xd1,
  readFlash: 0xd2,
  runUserCode: 0xd3,
} as const;

/** Second status byte of a ROM that refused. Source: the same, "Status bytes". */
export const romError = {
  message: 0x05,
  failed: 0x06,
  checksum: 0x07,
  write: 0x08,
  read: 0x09,
  readLength: 0x0a,
  deflate: 0x0b,
  adler: 0x0c,
} as const;

/** First status byte of a stub that refused. */
export const stubError = {
  length: 0xc0,
  checksum: 0xc1,
  command: 0xc3,
  spi: 0xc4,
  notInFlashMode: 0xc6,
  inflate: 0xc7,
  notEnough: 0xc8,
  tooMuch: 0xc9,
  unsupported: 0xff,
} as const;

export const sectorBytes = 0x1000;
/** Bytes before the data of a request or an answer: direction, command, size, checksum or value. */
export const headerBytes = 8;
/** Words before the payload of a data command: length, sequence number and two zeros. */
export const blockHeaderBytes = 16;

/** XOR of the payload of a data command, from EF. */
export function checksumOf(payload: Uint8Array): number {
  let sum = 0xef;
  for (const byte of payload) sum ^= byte;
  return sum;
}

/** Little-endian word at `at`; bytes past the end are zero. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}

export function putWord(bytes: Uint8Array, at: number, value: number): void {
  for (let byte = 0; byte < 4; byte++) bytes[at + byte] = (value >>> (8 * byte)) & 0xff;
}
