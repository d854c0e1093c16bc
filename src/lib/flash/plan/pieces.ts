import { AiotError, readBytes } from '../../core/index.js';
import { parsePlaced } from './place.js';
import type { Piece } from './types.js';

/** Files as they are named on a command line: `app.bin@0x10000`. @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND */
export async function piecesOf(words: readonly string[]): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for (const word of words) pieces.push(...(await piecesOfWord(word)));
  return pieces;
}

async function piecesOfWord(word: string): Promise<Piece[]> {
  const { file, place } = parsePlaced(word);
  const data = await readBytes(file);
  if (place !== null) return [{ name: file, data, place }];
  throw new AiotError('AIOT_USAGE', `${file}: expected where it goes, such as ${file}@0x10000`);
}
