import type { Dataset } from '../types.js';

/** Rows that one fingerprint covers: long enough that chance does not repeat it, short enough for a cut of a second. */
const shingleRows = 16;

/**
 * Recordings that hold the same samples, at whatever offset: each run of rows is hashed (exact repeats of a row, which
 * recorders make, count once), and two recordings with a tenth of their runs in common hold a copy of each other.
 * @returns pairs of ids, and the share of the shorter one's runs that the other has too
 */
export function exactCopies(dataset: Dataset): { a: string; b: string; share: number }[] {
  const owners = new Map<number, number[]>();
  const counts = new Map<string, number>();
  const runs = dataset.recordings.map(({ columns }, r) => {
    const hashes = shingles(columns);
    for (const hash of hashes) {
      const list = owners.get(hash);
      if (list) list.push(r);
      else owners.set(hash, [r]);
    }
    return hashes.size;
  });
  for (const list of owners.values()) {
    for (let i = 0; i < list.length; i++) {
      for (let j = i + 1; j < list.length; j++) {
        const key = `${list[i]},${list[j]}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
  }
  const pairs: { a: string; b: string; share: number }[] = [];
  for (const [key, count] of counts) {
    const [i = 0, j = 0] = key.split(',').map(Number);
    const share = count / Math.min(runs[i]!, runs[j]!);
    if (share >= 0.1) pairs.push({ a: dataset.recordings[i]!.id, b: dataset.recordings[j]!.id, share });
  }
  return pairs.sort((p, q) => q.share - p.share);
}

/** Rolling hashes of `shingleRows` distinct rows; only one in eight is kept (by its value: the same ones in a copy). */
function shingles(columns: Float64Array[]): Set<number> {
  const rows = distinctRowHashes(columns);
  const kept = new Set<number>();
  const base = 0x01000193;
  let top = 1;
  for (let i = 0; i < shingleRows; i++) top = Math.imul(top, base);
  let hash = 0;
  for (let i = 0; i < rows.length; i++) {
    hash = (Math.imul(hash, base) + rows[i]!) | 0;
    if (i >= shingleRows) hash = (hash - Math.imul(top, rows[i - shingleRows]!)) | 0;
    if (i < shingleRows - 1 || (hash >>> 29 !== 0 && i > shingleRows - 1)) continue;
    // A coarse sensor goes to and fro between few values: that two recordings do so is no copy.
    if (new Set(rows.slice(i - shingleRows + 1, i + 1)).size >= shingleRows - 4) kept.add(hash);
  }
  return kept;
}

function distinctRowHashes(columns: Float64Array[]): number[] {
  const words = columns.map(
    ({ buffer, byteOffset, length }) => new Int32Array(buffer, byteOffset, 2 * length),
  );
  const out: number[] = [];
  const n = columns[0]?.length ?? 0;
  for (let i = 0; i < n; i++) {
    let repeat = i > 0;
    let hash = 0x811c9dc5;
    for (let f = 0; f < columns.length; f++) {
      if (repeat && columns[f]![i] !== columns[f]![i - 1]) repeat = false;
      hash = Math.imul(hash ^ words[f]![2 * i]!, 0x01000193);
      hash = Math.imul(hash ^ words[f]![2 * i + 1]! ^ (hash >>> 15), 0x01000193);
    }
    if (!repeat) out.push(hash);
  }
  return out;
}
