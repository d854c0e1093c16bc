import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, readJson } from '../../core/files.js';
import { nearest, shellWord } from '../../core/text.js';
import { type ChipName, chipOfId, espChips } from '../../formats/esp-image/chips.js';
import { isMapped } from '../../formats/esp-image/memory.js';
import type { ByteRegion } from '../../formats/esp-image/regions.js';
import { readIntelHex } from '../../formats/intel-hex.js';
import { partitionTableOffset, sectorBytes } from '../../formats/partitions.js';
import { readUf2, type Uf2Family } from '../../formats/uf2.js';
import type { KnownTable, Piece } from './types.js';

/**
 * Reads files as given on a command line: `app.bin@0x10000`, `app.bin@ota_0`; HEX and UF2 files contain their addresses.
 * @throws AIOT_USAGE (a missing or superfluous place, or an ELF file), AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED
 */
export async function piecesOf(words: readonly string[]): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for (const word of words) pieces.push(...(await piecesOfWord(word)));
  return pieces;
}

async function piecesOfWord(word: string): Promise<Piece[]> {
  const { file, place } = parsePlaced(word);
  if (place === null) await requireNoCommand(file);
  const data = await readBytes(file);
  const { format, regions, chip, family } = contentsOf(data, file);
  if (format === 'elf') {
    throw new AiotError('AIOT_USAGE', `${file} is an ELF file, not a flashable image`, {
      next: `Create an image from it with \`aiot firmware image create ${file} --chip esp32 --out app.bin\`.`,
    });
  }
  if (family !== null && chip === null) {
    throw new AiotError(
      'AIOT_USAGE',
      `${file} is for ${family.title}, which has no serial loader of Espressif`,
      {
        next: `Start the UF2 bootloader of the board, and pass its drive: \`aiot flash ${shellWord(file)} --port DRIVE\` (see \`aiot board ports\`).`,
      },
    );
  }
  if (regions === null) {
    if (place !== null) return [{ name: file, data, place }];
    throw new AiotError('AIOT_USAGE', `${file}: expected an offset, such as ${file}@0x10000`);
  }
  if (place === null) {
    return regions.map((region) => ({ name: file, data: region.data, place: region.offset, chip }));
  }
  throw new AiotError('AIOT_USAGE', `${file} already contains its addresses`, {
    next: `Remove ${word.slice(file.length)} from the argument.`,
  });
}

/** Commands on a board's flash by the word that users try after `aiot flash`. */
const flashCommands = {
  verify: 'flash verify',
  read: 'board read',
  dump: 'board dump',
  erase: 'board erase',
};

/** @throws AIOT_USAGE if the word names no file, but is (nearly) the name of a command */
async function requireNoCommand(word: string): Promise<void> {
  const command = nearest(word, Object.keys(flashCommands)) as keyof typeof flashCommands | undefined;
  if (command === undefined || (await stat(word).catch(() => null)) !== null) return;
  throw new AiotError('AIOT_USAGE', `expected an image to flash, got ${word}, which is no file`, {
    next: `aiot ${flashCommands[command]} --help`,
  });
}

/** The images of a build in a firmware folder. */
interface FirmwareImages {
  /** The file that lists the images, or the folder that contains them. */
  from: string;
  pieces: Piece[];
}

/** Offsets of app and otadata in Arduino and PlatformIO, whose tables have nvs at 0x9000. */
const appOffset = 0x10000;

const otadataOffset = 0xe000;

/** Builds that a firmware folder may contain, for messages. */
const expectedBuilds =
  'build/flasher_args.json (ESP-IDF), .pio/build/ENV/firmware.bin (PlatformIO) or build/BOARD/NAME.ino.bin (Arduino)';

/**
 * Finds the images of the build in a firmware folder: ESP-IDF's `flasher_args.json` in `build` or (`aiot firmware build`) `build/TARGET`,
 * PlatformIO's `.pio/build/ENV`, or Arduino's `build/BOARD` (arduino-cli compile --export-binaries). The folder may also be the build
 * itself, or contain the sources of the ESP32 in `hal/esp32`, as after `aiot firmware init`.
 * @throws AIOT_FILE_NOT_FOUND if nothing is built, AIOT_USAGE if there are several builds, AIOT_FILE_MALFORMED
 */
export async function firmwareImages(folder: string): Promise<FirmwareImages> {
  const found = [...(await buildsOf(folder)), ...(await buildsOf(join(folder, 'hal', 'esp32')))];
  const [only, ...more] = found;
  if (only === undefined) throw await noBuild(folder);
  if (more.length > 0) {
    const choice = only.endsWith('.json') ? dirname(only) : only;
    throw new AiotError(
      'AIOT_USAGE',
      `the firmware folder ${folder} contains several builds: ${found.join(', ')}`,
      {
        next: `Choose one, as in \`aiot flash --project ${shellWord(choice)}\`.`,
      },
    );
  }
  if (only.endsWith('.json')) return await idfImages(only);
  return await binImages(only);
}

/** Targets of `aiot firmware build` whose programs only test the core. */
const testTargets: ReadonlySet<string> = new Set(['host', 'rv32', 'c3']);

async function noBuild(folder: string): Promise<AiotError> {
  const names = await readdir(folder).catch(() => null);
  const expected = `expected a firmware folder with a build: ${expectedBuilds}`;
  if (names === null)
    return new AiotError('AIOT_FILE_NOT_FOUND', `${folder} does not exist: ${expected}`, {
      next: 'To create a firmware folder for a project, run `aiot firmware init`.',
    });
  if (names.includes('aiot.yaml'))
    return new AiotError(
      'AIOT_FILE_NOT_FOUND',
      `${folder} is a project, not a firmware folder: ${expected}`,
      {
        next: `Create and build its firmware folder: \`aiot firmware init --project ${shellWord(folder)}\`, then \`aiot firmware build ${shellWord(join(folder, 'firmware'))} --target CHIP\` with your chip, such as esp32s3.`,
      },
    );
  const tests = (await readdir(join(folder, 'build')).catch(() => [])).filter((name) =>
    testTargets.has(name),
  );
  if (tests.length > 0) {
    const built = tests.sort().map((name) => `build/${name}`);
    const message = `${folder} contains only test programs (${built.join(', ')}), no firmware for a board: ${expected}`;
    return new AiotError('AIOT_FILE_NOT_FOUND', message, {
      next: `Build it with ESP-IDF or PlatformIO, for example for an ESP32-C3: \`aiot firmware build ${shellWord(folder)} --target esp32c3\`.`,
    });
  }
  return new AiotError('AIOT_FILE_NOT_FOUND', `${folder} contains no build: ${expected}`, {
    next: 'Build the firmware (`aiot firmware build --target esp32`, idf.py build, pio run, arduino-cli compile -e), or name the files: `aiot flash app.bin@0x10000`.',
  });
}

/** The builds in one folder. Each is a flasher_args.json or a folder of images. */
async function buildsOf(folder: string): Promise<string[]> {
  return [
    ...(await idfBuild(folder)),
    ...((await isBuild(folder)) ? [folder] : []),
    ...(await buildsIn(join(folder, '.pio', 'build'))),
    ...(await buildsIn(join(folder, 'build'))),
  ];
}

/** The file's entry flash_settings is ignored, because the images' headers already contain these settings. */
const flasherArgs = z.object({
  flash_files: z.record(z.string(), z.string()),
});

async function idfBuild(folder: string): Promise<string[]> {
  const places = [join(folder, 'build', 'flasher_args.json'), join(folder, 'flasher_args.json')];
  const there = await Promise.all(places.map(isFile));
  return places.filter((_, i) => there[i]).slice(0, 1);
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() === true;
}

async function idfImages(file: string): Promise<FirmwareImages> {
  const parsed = flasherArgs.safeParse(await readJson(file));
  if (!parsed.success) throw new AiotError('AIOT_FILE_MALFORMED', `${file} lists no flash_files`);
  const pieces: Piece[] = [];
  for (const [at, name] of Object.entries(parsed.data.flash_files)) {
    const place = offsetOf(at);
    if (place === null) throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${at} is not an offset`);
    const path = join(file, '..', name);
    pieces.push({ name: path, data: await readBytes(path), place });
  }
  return { from: file, pieces };
}

async function buildsIn(above: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await readdir(above).catch(() => [])).sort()) {
    const listed = join(above, name, 'flasher_args.json');
    if (await isFile(listed)) found.push(listed);
    else if (await isBuild(join(above, name))) found.push(join(above, name));
  }
  return found;
}

async function isBuild(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => name === 'firmware.bin' || isSketch(name));
}

function isSketch(name: string): boolean {
  return name.endsWith('.ino.bin');
}

/**
 * The images of a folder of .bin files. The bootloader goes to the chip's offset; the table, otadata and the app go to the offsets that the
 * default tables use.
 */
async function binImages(folder: string): Promise<FirmwareImages> {
  const names = await readdir(folder);
  const ending = (...endings: string[]) =>
    endings.flatMap((end) => names.filter((name) => name === end || name.endsWith(`.ino.${end}`)))[0];
  const parts: [string | undefined, number | string][] = [
    [ending('bootloader.bin'), 'bootloader'],
    [ending('partitions.bin'), partitionTableOffset],
    [ending('boot_app0.bin', 'ota_data_initial.bin'), otadataOffset],
    [names.find((name) => name === 'firmware.bin' || isSketch(name)), appOffset],
  ];
  const pieces: Piece[] = [];
  for (const [name, place] of parts) {
    if (name === undefined) continue;
    const path = join(folder, name);
    pieces.push({ name: path, data: await readBytes(path), place });
  }
  return { from: folder, pieces };
}

/** The highest 32-bit flash address. */
const lastOffset = 0xffff_ffff;

const multiples: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2 };

/** Parses a number of bytes such as `0x10000`, `65536`, `64K` or `1M`; null if it is not a number. */
export function offsetOf(text: string): number | null {
  const [, hex, decimal, unit = ''] = /^(?:(0x[0-9a-f]{1,8})|(\d{1,10})([KM]?))$/i.exec(text.trim()) ?? [];
  const value = hex === undefined ? Number(decimal) * (multiples[unit.toUpperCase()] ?? 1) : Number(hex);
  return Number.isSafeInteger(value) && value <= lastOffset ? value : null;
}

/**
 * Splits `app.bin@0x10000`, `app.bin@ota_0`, `fonts@2.bin@64K` into file and place. Without an `@`, the place is null, because HEX and UF2
 * files contain their addresses.
 * @throws AIOT_USAGE
 */
export function parsePlaced(text: string): { file: string; place: number | string | null } {
  const at = text.lastIndexOf('@');
  if (at < 0) return { file: text, place: null };
  const [file, place] = [text.slice(0, at), text.slice(at + 1)];
  const offset = offsetOf(place);
  if (file !== '' && offset !== null) return { file, place: offset };
  // A place that starts with a digit is meant as a number, so it is not accepted as a label.
  if (file !== '' && /^[A-Za-z_][\w.-]{0,15}$/.test(place)) return { file, place };
  throw new AiotError('AIOT_USAGE', `expected FILE@OFFSET such as app.bin@0x10000, got "${text}"`, {
    next: 'The offset is a number (0x10000, 65536, 64K) or a partition label: app.bin@ota_0',
  });
}

/** Resolves a place to an offset on this chip with this table. @throws AIOT_USAGE for a label that is not in the table */
export function resolvePlace(place: number | string, chip: ChipName, known: KnownTable | null): number {
  if (typeof place === 'number') return place;
  if (place === 'bootloader') return espChips[chip].bootloaderOffset;
  if (place === 'partition-table') return partitionTableOffset;
  const found = known?.table.partitions.find(({ label }) => label === place);
  if (found) return found.offset;
  const labels = known?.table.partitions.map(({ label }) => label).join(', ');
  throw new AiotError('AIOT_USAGE', `partition ${place} does not exist`, {
    next: labels
      ? `The table contains ${labels}.`
      : 'The board has no partition table. Write one too (table.bin@0x8000), or use a numeric offset.',
  });
}

/** The start of the sector that contains this offset. */
export function sectorOf(offset: number): number {
  return offset - (offset % sectorBytes);
}

/** Description of bytes to be flashed. Damaged images are described too, because they are also meant for a certain chip. */
export interface Looks {
  chip: ChipName;
  /** Kind of image. `image` is neither an app nor a bootloader, such as a bare program at the bootloader's offset. */
  kind: 'app' | 'bootloader' | 'image';
  /** Flash size according to the header, bytes; null = an unknown code. */
  flashBytes: number | null;
  /** Minimum chip revision, major · 100 + minor. */
  minRevision: number;
}

const magic = 0xe9;

const headerBytes = 24;

const mostSegments = 16;

/** Value of esp_app_desc_t.magic_word, the first word of an app's first segment (ESP-IDF, esp_app_desc.h). */
const appMagic = 0xabcd5432;

/** Value of esp_bootloader_desc_t.magic_byte, the first byte of a newer bootloader's first segment (esp_bootloader_desc.h). */
const bootloaderMagic = 0x50;

/** Describes an image by its first 24 bytes. The rest may be truncated or damaged. Null if it is not an image for a known chip. */
export function looksLike(data: Uint8Array): Looks | null {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < headerBytes || data[0] !== magic) return null;
  const segments = data[1] ?? 0;
  const chip = chipOfId(view.getUint16(12, true));
  if (segments < 1 || segments > mostSegments || chip === null) return null;
  const code = (data[3] ?? 0) >> 4;
  // Code 0 means 1 MiB, and each step doubles the size. The last defined code is 7, 128 MiB.
  const flashBytes = code <= 7 ? 2 ** (20 + code) : null;
  // In older images, the field at 14 contained only the major part (for a C3, the minor).
  const minRevision = view.getUint16(15, true) || (data[14] ?? 0) * (chip === 'esp32c3' ? 1 : 100);
  return { chip, kind: kindOf(view, segments, chip), flashBytes, minRevision };
}

function kindOf(view: DataView, segments: number, chip: ChipName): Looks['kind'] {
  const first = headerBytes + 8;
  if (view.byteLength >= first + 4 && view.getUint32(first, true) === appMagic) return 'app';
  let at = headerBytes;
  for (let i = 0; i < segments && at + 8 <= view.byteLength; i++) {
    // A ROM loads segments only into RAM, so segments that are mapped from flash need a bootloader.
    if (isMapped(chip, view.getUint32(at, true))) return 'app';
    at += 8 + view.getUint32(at + 4, true);
  }
  return view.byteLength > first && view.getUint8(first) === bootloaderMagic ? 'bootloader' : 'image';
}

/** Whether these bytes start like a partition table (ESP_PARTITION_MAGIC, bytes AA 50). */
export function looksLikeTable(data: Uint8Array): boolean {
  return data[0] === 0xaa && data[1] === 0x50;
}

/** The format of a firmware file, determined by its first bytes. */
export type FileFormat = 'image' | 'elf' | 'hex' | 'uf2' | 'raw';

const beginnings: readonly [FileFormat, readonly number[]][] = [
  ['elf', [0x7f, 0x45, 0x4c, 0x46]],
  ['uf2', [0x55, 0x46, 0x32, 0x0a]],
  ['image', [0xe9]],
];

function formatOf(bytes: Uint8Array): FileFormat {
  const found = beginnings.find(([, start]) => start.every((byte, index) => bytes[index] === byte));
  if (found !== undefined) return found[0];
  // A colon alone is not sufficient; in a HEX file, ten hex digits follow it.
  return /^:[0-9a-f]{10}/i.test(Buffer.from(bytes.subarray(0, 11)).toString('latin1')) ? 'hex' : 'raw';
}

export interface Contents {
  format: FileFormat;
  /** Target chip of the file; null = unknown or not in the file. */
  chip: ChipName | null;
  /** Target family of a UF2 file; null = the file specifies none, or has another format. */
  family: Uf2Family | null;
  /** Bytes with their offsets, if the file contains them (HEX, UF2); null = the user specifies the offset. */
  regions: ByteRegion[] | null;
}

/** The contents of a file. @throws AIOT_IMAGE_MALFORMED (a damaged HEX or UF2 file) */
export function contentsOf(bytes: Uint8Array, name: string): Contents {
  const format = formatOf(bytes);
  if (format === 'hex') return { format, chip: null, family: null, regions: readIntelHex(bytes, name) };
  if (format === 'uf2') return { format, ...readUf2(bytes, name) };
  return { format, chip: looksLike(bytes)?.chip ?? null, family: null, regions: null };
}

/** MD5 digests by data. They are cached, because the same image is written to many boards and compared more than once on each. */
const digests = new WeakMap<Uint8Array, string>();

/** MD5, 32 hex digits: the digest that the chips' loaders compute. */
export function md5Of(data: Uint8Array): string {
  const found = digests.get(data);
  if (found !== undefined) return found;
  const digest = createHash('md5').update(data).digest('hex');
  digests.set(data, digest);
  return digest;
}
