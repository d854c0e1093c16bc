import { AiotError } from '../../core/index.js';
import type { ChipName } from '../../formats/index.js';
import type { ChipInfo } from '../loader/types.js';
import { looksLike } from '../plan/looks.js';
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

/** Asked once for each board. */
export interface JobFor {
  (board: Pick<ChipInfo, 'chip' | 'mac'>): FlashJob;
  /** What it is all for, as identities and images tell; null = none of them does. */
  chip: ChipName | null;
}

/** Reads all files before any port is opened. */
export async function prepareJob(request: FlashRequest, record: readonly RecordRow[]): Promise<JobFor> {
  const { images, project, device, header, erase, verify, force } = request;
  const pieces: Piece[] = await piecesOf(images);
  if (project !== null) pieces.push(...(await projectImages(project)).pieces);
  const { identities, skipped } =
    device === undefined ? { identities: [], skipped: [] } : await readIdentities(device);
  const old = await oldPieces(request.diffWith, pieces);
  if (pieces.length === 0 && identities.length === 0) throw nothingToWrite();
  joinSectors(
    pieces.flatMap(({ place, ...piece }) => (typeof place === 'number' ? [{ ...piece, offset: place }] : [])),
  );
  const single = identities[0]?.folder === device;
  const assign = identities.length > 0 ? assignIdentities(identities, record, single) : () => null;
  const notes = skipped.map((folder) => `${folder} is left out: the identity of a computer, and of no chip`);
  const jobFor = (board: Pick<ChipInfo, 'chip' | 'mac'>): FlashJob => {
    const identity: DeviceIdentity | null = assign(board);
    const all = identity ? withIdentity(pieces, identity) : pieces;
    return { pieces: all, old, header, erase, verify, force, device: identity, notes };
  };
  return Object.assign(jobFor, { chip: chipOf(pieces, identities) });
}

/** Of the identities where all of them are for one chip, else of the images. */
function chipOf(pieces: readonly Piece[], identities: readonly DeviceIdentity[]): ChipName | null {
  const [first = null, ...others] = new Set(identities.flatMap(({ chip }) => chip ?? []));
  const [image = first] = pieces.flatMap(({ chip, data }) => chip ?? looksLike(data)?.chip ?? []);
  return others.length > 0 ? image : (first ?? image);
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
    next: 'aiot flash app.bin@0x10000, aiot flash --project DIR; aiot flash --help shows it all',
  });
}
