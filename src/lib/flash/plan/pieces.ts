import { AiotError, readBytes } from '../../core/index.js';
import { contentsOf } from '../images/contents.js';
import { parsePlaced } from './place.js';
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
