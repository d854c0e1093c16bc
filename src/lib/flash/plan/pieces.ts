import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, readJson } from '../../core/files.js';
import { partitionTableOffset } from '../../formats/partitions.js';
import { contentsOf } from './looks.js';
import { offsetOf, parsePlaced } from './place.js';
import type { Piece } from './types.js';

/**
 * Files as they are named on a command line: `app.bin@0x10000`, `app.bin@ota_0`; HEX and UF2 files hold their addresses.
 * @throws AIOT_USAGE (no place, or one too many, or an ELF file), AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED
 */
export async function piecesOf(words: readonly string[]): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for (const word of words) pieces.push(...(await piecesOfWord(word)));
  return pieces;
}

async function piecesOfWord(word: string): Promise<Piece[]> {
  const { file, place } = parsePlaced(word);
  const data = await readBytes(file);
  const { format, regions, chip } = contentsOf(data, file);
  if (format === 'elf') {
    throw new AiotError('AIOT_USAGE', `${file} is an ELF file, and no image yet`, {
      next: `aiot firmware image create ${file} --chip esp32 --out app.bin`,
    });
  }
  if (regions === null) {
    if (place !== null) return [{ name: file, data, place }];
    throw new AiotError('AIOT_USAGE', `${file}: expected where it goes, such as ${file}@0x10000`);
  }
  if (place === null) {
    return regions.map((region) => ({ name: file, data: region.data, place: region.offset, chip }));
  }
  throw new AiotError('AIOT_USAGE', `${file} says itself where its bytes go`, {
    next: `Leave out the ${word.slice(file.length)}.`,
  });
}

/** What a project's build left to be written. */
interface ProjectImages {
  /** The file or folder that says so. */
  from: string;
  pieces: Piece[];
}

/** Where Arduino and PlatformIO put app and otadata; their tables have nvs at 0x9000. */
const appOffset = 0x10000;

const otadataOffset = 0xe000;

/**
 * The images of a built project: ESP-IDF's `build/flasher_args.json`, PlatformIO's `.pio/build/ENV`, or Arduino's
 * `build/BOARD` (arduino-cli compile --export-binaries).
 * @throws AIOT_FILE_NOT_FOUND when nothing is built, AIOT_USAGE when more than one thing is, AIOT_FILE_MALFORMED
 */
export async function projectImages(folder: string): Promise<ProjectImages> {
  const found = [
    ...(await idfBuild(folder)),
    ...((await isBuild(folder)) ? [folder] : []),
    ...(await buildsIn(join(folder, '.pio', 'build'))),
    ...(await buildsIn(join(folder, 'build'))),
  ];
  const [only, ...more] = found;
  if (only === undefined) {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `nothing is built in ${folder}`, {
      next: 'Build it (idf.py build, pio run, arduino-cli compile -e), or name the files: aiot flash app.bin@0x10000',
    });
  }
  if (more.length > 0) {
    throw new AiotError('AIOT_USAGE', `${folder} has several builds: ${found.join(', ')}`, {
      next: `Name one of them: aiot flash --project ${only}`,
    });
  }
  if (only.endsWith('.json')) return await idfImages(only);
  return await binImages(only);
}

/** Its flash_settings are in the images' headers already. */
const flasherArgs = z.object({
  flash_files: z.record(z.string(), z.string()),
});

async function idfBuild(folder: string): Promise<string[]> {
  const places = [join(folder, 'build', 'flasher_args.json'), join(folder, 'flasher_args.json')];
  const there = await Promise.all(places.map((path) => stat(path).catch(() => null)));
  return places.filter((_, i) => there[i]?.isFile()).slice(0, 1);
}

async function idfImages(file: string): Promise<ProjectImages> {
  const parsed = flasherArgs.safeParse(await readJson(file));
  if (!parsed.success) throw new AiotError('AIOT_FILE_MALFORMED', `${file} names no flash_files`);
  const pieces: Piece[] = [];
  for (const [at, name] of Object.entries(parsed.data.flash_files)) {
    const place = offsetOf(at);
    if (place === null) throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${at} is no offset`);
    const path = join(file, '..', name);
    pieces.push({ name: path, data: await readBytes(path), place });
  }
  return { from: file, pieces };
}

async function buildsIn(above: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await readdir(above).catch(() => [])).sort()) {
    if (await isBuild(join(above, name))) found.push(join(above, name));
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

/** Bootloader and table stand where the chip looks for them, the app where the default tables have it. */
async function binImages(folder: string): Promise<ProjectImages> {
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
