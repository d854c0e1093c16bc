import { type ChipName, chipOfId } from '../../formats/esp-image/chips.js';
import { isMapped } from '../../formats/esp-image/memory.js';
import type { ByteRegion } from '../../formats/esp-image/regions.js';
import { readIntelHex } from '../../formats/intel-hex.js';
import { readUf2 } from '../../formats/uf2.js';

/** What bytes look like that are to go into flash; lenient, for a damaged image is still one for a certain chip. */
export interface Looks {
  chip: ChipName;
  /** `image`: one that tells neither, such as a bare program in the bootloader's place. */
  kind: 'app' | 'bootloader' | 'image';
  /** Bytes of flash that the header counts on; null = a code that is not known here. */
  flashBytes: number | null;
  /** Oldest revision of the chip that it runs on, major · 100 + minor. */
  minRevision: number;
}

const magic = 0xe9;
const headerBytes = 24;
const mostSegments = 16;

/** esp_app_desc_t.magic_word, first in the first segment of an app (ESP-IDF, esp_app_desc.h). */
const appMagic = 0xabcd5432;

/** esp_bootloader_desc_t.magic_byte, first in the first segment of a newer bootloader (esp_bootloader_desc.h). */
const bootloaderMagic = 0x50;

/** null: no image of a chip that is known here. Needs the header's 24 bytes; the rest may be cut or damaged. */
export function looksLike(data: Uint8Array): Looks | null {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < headerBytes || data[0] !== magic) return null;
  const segments = data[1] ?? 0;
  const chip = chipOfId(view.getUint16(12, true));
  if (segments < 1 || segments > mostSegments || chip === null) return null;
  const code = (data[3] ?? 0) >> 4;
  // 0 = 1 MiB and doubling: 7 = 128 MiB is the last that is defined.
  const flashBytes = code <= 7 ? 2 ** (20 + code) : null;
  // Before it, the field at 14 held the major part alone (of a C3, the minor).
  const minRevision = view.getUint16(15, true) || (data[14] ?? 0) * (chip === 'esp32c3' ? 1 : 100);
  return { chip, kind: kindOf(view, segments, chip), flashBytes, minRevision };
}

function kindOf(view: DataView, segments: number, chip: ChipName): Looks['kind'] {
  const first = headerBytes + 8;
  if (view.byteLength >= first + 4 && view.getUint32(first, true) === appMagic) return 'app';
  let at = headerBytes;
  for (let i = 0; i < segments && at + 8 <= view.byteLength; i++) {
    // A ROM loads into RAM alone: what is mapped from flash needs a bootloader.
    if (isMapped(chip, view.getUint32(at, true))) return 'app';
    at += 8 + view.getUint32(at + 4, true);
  }
  return view.byteLength > first && view.getUint8(first) === bootloaderMagic ? 'bootloader' : 'image';
}

/** Whether these bytes begin as a partition table does (ESP_PARTITION_MAGIC, 0x50AA). */
export function looksLikeTable(data: Uint8Array): boolean {
  return data[0] === 0xaa && data[1] === 0x50;
}

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
