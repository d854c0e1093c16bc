import { type ByteRegion, type ChipName, readIntelHex, readUf2 } from '../../formats/index.js';
import { looksLike } from '../plan/looks.js';

/** What a firmware file is, by its first bytes. */
export type FileFormat = 'image' | 'elf' | 'hex' | 'uf2' | 'raw';

const beginnings: readonly [FileFormat, readonly number[]][] = [
  ['elf', [0x7f, 0x45, 0x4c, 0x46]],
  ['uf2', [0x55, 0x46, 0x32, 0x0a]],
  ['image', [0xe9]],
];

export function formatOf(bytes: Uint8Array): FileFormat {
  const found = beginnings.find(([, start]) => start.every((byte, index) => bytes[index] === byte));
  if (found !== undefined) return found[0];
  // A colon alone could begin anything: a HEX file goes on with ten digits.
  return /^:[0-9a-f]{10}/i.test(Buffer.from(bytes.subarray(0, 11)).toString('latin1')) ? 'hex' : 'raw';
}

export interface Contents {
  format: FileFormat;
  /** The chip that the file names; null = none, or it does not say. */
  chip: ChipName | null;
  /** Bytes with their offsets, where the file itself says them (HEX, UF2); null = they go where the user says. */
  regions: ByteRegion[] | null;
}

/** @throws AIOT_IMAGE_MALFORMED (a damaged HEX or UF2 file) */
export function contentsOf(bytes: Uint8Array, name: string): Contents {
  const format = formatOf(bytes);
  if (format === 'hex') return { format, chip: null, regions: readIntelHex(bytes, name) };
  if (format === 'uf2') return { format, ...readUf2(bytes, name) };
  return { format, chip: looksLike(bytes)?.chip ?? null, regions: null };
}
