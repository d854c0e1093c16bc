import { AiotError } from '../../core/index.js';
import type { ChipInfo } from '../loader/types.js';
import { piecesOf } from '../plan/pieces.js';
import { parsePlaced } from '../plan/place.js';
import { projectImages } from '../plan/project.js';
import { joinSectors } from '../plan/sectors.js';
import type { Piece } from '../plan/types.js';
import { assignIdentities } from './assign.js';
import type { FlashJob } from './flash-board.js';
import { type DeviceIdentity, readIdentities } from './identity.js';
import type { RecordRow } from './record.js';
import type { FlashRequest } from './request.js';

/** Reads all files before any port is opened; what comes back is asked once for each board. */
export async function prepareJob(
  request: FlashRequest,
  record: readonly RecordRow[],
): Promise<(chip: Pick<ChipInfo, 'chip' | 'mac'>) => FlashJob> {
  const { images, project, device, header, erase, verify, force } = request;
  const pieces: Piece[] = await piecesOf(images);
  if (project !== null) pieces.push(...(await projectImages(project)).pieces);
  const identities = device === undefined ? [] : await readIdentities(device);
  const old = await oldPieces(request.diffWith, pieces);
  if (pieces.length === 0 && identities.length === 0) throw nothingToWrite();
  joinSectors(
    pieces.flatMap(({ place, ...piece }) => (typeof place === 'number' ? [{ ...piece, offset: place }] : [])),
  );
  const assign = identities.length > 0 ? assignIdentities(identities, record) : () => null;
  return (chip) => {
    const identity: DeviceIdentity | null = assign(chip);
    const all = identity ? withIdentity(pieces, identity) : pieces;
    return { pieces: all, old, header, erase, verify, force, device: identity };
  };
}

/** The identity's table counts: its NVS lies where that says. */
function withIdentity(pieces: readonly Piece[], identity: DeviceIdentity): Piece[] {
  const own = new Set(identity.pieces.map(({ place }) => place));
  return [
    ...pieces.filter(({ place }) => !own.has(place) && place !== 'partition-table'),
    ...identity.pieces,
  ];
}

async function oldPieces(words: readonly string[], pieces: readonly Piece[]): Promise<Piece[]> {
  const old: Piece[] = [];
  for (const word of words) {
    const { file, place } = parsePlaced(word);
    const [only, ...more] = pieces;
    if (place === null && (only === undefined || more.length > 0)) {
      throw new AiotError(
        'AIOT_USAGE',
        `--diff-with ${word}: expected where it is, since ${pieces.length} images are written`,
        {
          next: `--diff-with ${file}@0x10000`,
        },
      );
    }
    old.push(...(await piecesOf([place === null ? `${file}@${String(only?.place)}` : word])));
  }
  return old;
}

function nothingToWrite(): AiotError {
  return new AiotError('AIOT_USAGE', 'expected what is to be written', {
    next: 'aiot flash app.bin@0x10000, aiot flash --project DIR, or aiot flash --slot next --firmware app.bin',
  });
}
