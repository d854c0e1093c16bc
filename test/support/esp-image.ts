import { createHash } from 'node:crypto';
import { type ChipName, espChips } from '../../src/lib/formats/esp-image/chips.js';

export interface ImageRecipe {
  chip?: ChipName;
  /** Load address of the first segment, which is in RAM for a bootloader and in mapped flash for an app. */
  address?: number;
  /** Bytes at the start of the first segment. */
  starts?: number[];
  /** Length of the first segment in bytes. */
  bytes?: number;
  /** Code for the flash size; 2 = 4 MiB. */
  sizeCode?: number;
  hash?: boolean;
  /** major · 100 + minor */
  minRevision?: number;
}

/** esp_app_desc_t's magic word, at the start of an app. */
export const appMagic = [0x32, 0x54, 0xcd, 0xab];

/** The first bytes of an application, which contain its description. */
export function described(project: string, version: string, secureVersion = 0): number[] {
  const bytes = Buffer.alloc(256);
  bytes.set(appMagic, 0);
  bytes.writeUInt32LE(secureVersion, 4);
  bytes.write(version, 16);
  bytes.write(project, 48);
  return [...bytes];
}

/** A complete image with one segment, built by hand, with a correct checksum and hash. */
export function espImage(recipe: ImageRecipe = {}): Uint8Array {
  const {
    chip = 'esp32',
    address = 0x3fff_0000,
    starts = [],
    bytes = 512,
    sizeCode = 2,
    hash = true,
    minRevision = 0,
  } = recipe;
  const data = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) data[i] = starts[i] ?? (i * 31 + 7) & 0xff;
  const header = Buffer.alloc(24);
  header.set([0xe9, 1, 2, sizeCode << 4], 0);
  header.writeUInt32LE(address, 4);
  header[8] = 0xee;
  header.writeUInt16LE(espChips[chip].id, 12);
  header.writeUInt16LE(minRevision, 15);
  header.writeUInt16LE(0xffff, 17);
  header[23] = hash ? 1 : 0;
  const segment = Buffer.alloc(8);
  segment.writeUInt32LE(address, 0);
  segment.writeUInt32LE(bytes, 4);
  const end = 32 + bytes;
  const padded = Buffer.alloc(16 - (end % 16));
  padded[padded.length - 1] = data.reduce((sum, byte) => sum ^ byte, 0xef);
  const body = Buffer.concat([header, segment, data, padded]);
  return hash ? Buffer.concat([body, createHash('sha256').update(body).digest()]) : body;
}

/** An application for this chip. */
export function espApp(chip: ChipName = 'esp32', bytes = 2048): Uint8Array {
  return espImage({ chip, starts: appMagic, bytes, address: chip === 'esp32' ? 0x3f40_0020 : 0x3c00_0020 });
}

/** A second-stage bootloader for this chip. */
export function espBootloader(chip: ChipName = 'esp32', recipe: ImageRecipe = {}): Uint8Array {
  return espImage({
    chip,
    starts: [0x50, 0, 0, 0],
    address: chip === 'esp32' ? 0x3fff_0030 : 0x3fcd_5820,
    ...recipe,
  });
}
