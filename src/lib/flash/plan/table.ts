import { AiotError } from '../../core/errors.js';
import {
  type PartitionTable,
  partitionProblems,
  partitionTableBytes,
  partitionTableOffset,
  readPartitionTable,
} from '../../formats/partitions.js';
import type { Loader, Region } from '../loader/types.js';
import { looksLikeTable } from './looks.js';
import type { KnownTable, Objection } from './types.js';

/**
 * The table that will be in force once the regions are written: that of a region which holds it, else the board's. One
 * that is damaged, or goes past the flash's end, is an objection.
 */
export function tableInForce(
  regions: readonly Region[],
  board: PartitionTable | null,
  flashBytes: number | null,
): { known: KnownTable | null; objections: Objection[] } {
  const own: KnownTable | null = board && { table: board, from: 'board' };
  const holder = regions.find(
    ({ offset, data }) => offset <= partitionTableOffset && offset + data.length > partitionTableOffset,
  );
  if (!holder) return { known: own, objections: [] };
  const at = partitionTableOffset - holder.offset;
  const bytes = holder.data.subarray(at, at + partitionTableBytes);
  // What begins at the table's place is meant to replace it; what merely runs over it destroys the board's.
  if (!looksLikeTable(bytes)) return { known: at === 0 ? null : own, objections: [] };
  const object = (message: string): Objection => ({ rule: 'table', region: holder.name, message });
  try {
    const table = readPartitionTable(padded(bytes));
    const problems = partitionProblems(table, flashBytes);
    return {
      known: { table, from: 'written' },
      objections: problems.map((problem) => object(`${holder.name}: ${problem}`)),
    };
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    return { known: null, objections: [object(`${holder.name}: ${error.message}`)] };
  }
}

/** Nearly every table is shorter. */
const probeBytes = 512;
/** Without a stub 64 bytes are read at a time: most tables end in the second of such pieces, and a blank board in the first. */
const romProbeBytes = 128;
const rowBytes = 32;

/** The board's own table; null where there is none, or a damaged one. @throws what reading flash throws */
export async function readBoardTable(loader: Pick<Loader, 'read' | 'stub'>): Promise<PartitionTable | null> {
  const pieceBytes = loader.stub ? probeBytes : romProbeBytes;
  let bytes = await loader.read(partitionTableOffset, pieceBytes);
  if (!looksLikeTable(bytes)) return null;
  const ended = () => bytes.subarray(-rowBytes).every((byte) => byte === 0xff);
  while (!ended() && bytes.length < probeBytes) {
    const more = await loader.read(partitionTableOffset + bytes.length, pieceBytes);
    bytes = Buffer.concat([bytes, more]);
  }
  if (!ended()) bytes = await loader.read(partitionTableOffset, partitionTableBytes);
  try {
    return readPartitionTable(padded(bytes));
  } catch (error) {
    if (error instanceof AiotError) return null;
    throw error;
  }
}

/** Up to a table's length as erased flash reads. */
function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(partitionTableBytes).fill(0xff);
  whole.set(bytes);
  return whole;
}
