import type { Dataset } from '../types.js';
import { nearCopies } from './near-copies.js';
import { partialCopies } from './partial-copies.js';
import { pictureCopies } from './picture-copies.js';
import { stretchedCopies } from './stretched-copies.js';

export interface CopyPair {
  a: string;
  b: string;
  /**
   * `exact`: share of the shorter recording's samples that the other recording also contains. `near`: correlation of their outlines.
   * `part`: correlation of a stretch that both contain. `stretched`: correlation after scaling both to one length. `picture`: correlation
   * of their details.
   */
  kind: 'exact' | 'near' | 'part' | 'stretched' | 'picture';
  share: number;
  /** For a stretch: its duration, and its start in a and in b, all in seconds. */
  seconds?: number;
  fromA?: number;
  fromB?: number;
  /** For stretched copies: length of b divided by length of a. */
  factor?: number;
}

const known = new WeakMap<Dataset, CopyPair[]>();

/** Finds recordings that are copies of each other, or of parts of each other, exact copies first. Computed once per dataset. */
export function copiesIn(dataset: Dataset): CopyPair[] {
  const before = known.get(dataset);
  if (before) return before;
  if (dataset.recordings.length > 0 && dataset.recordings.every(({ size }) => size)) {
    const copies = pictureCopies(dataset).map((pair): CopyPair => ({ ...pair, kind: 'picture' }));
    known.set(dataset, copies);
    return copies;
  }
  const ids = dataset.recordings.map(({ id }) => id);
  const pairs = new Map<string, CopyPair>();
  const add = (pair: CopyPair) => {
    const key = `${pair.a}\n${pair.b}`;
    if (!pairs.has(key)) pairs.set(key, pair);
  };
  for (const pair of exactCopies(dataset)) add({ ...pair, kind: 'exact' });
  for (const pair of nearCopies(dataset)) add({ ...pair, kind: 'near' });
  for (const { a, b, share, factor } of stretchedCopies(dataset)) {
    add({ a: ids[a]!, b: ids[b]!, kind: 'stretched', share, factor });
  }
  // Known pairs are not compared again.
  const apart = (a: number, b: number) => !pairs.has(`${ids[a]}\n${ids[b]}`);
  for (const { a, b, seconds, fromA, fromB, correlation } of partialCopies(dataset, apart)) {
    add({ a: ids[a]!, b: ids[b]!, kind: 'part', share: correlation, seconds, fromA, fromB });
  }
  const list = [...pairs.values()];
  known.set(dataset, list);
  return list;
}

/**
 * Number of rows per fingerprint. Large enough that equal fingerprints are not coincidental, and small enough to find one-second excerpts.
 */
const shingleRows = 16;

/** Fingerprints to keep of all recordings together. Hours of sound at 16 kHz have more rows than a Map has room for. */
const mostShingles = 2 ** 22;

/**
 * Finds recordings that contain the same samples, at any offset. Each run of rows is hashed. Exact repeats of a row count once, because
 * some recorders produce them. If two recordings have a tenth of their runs in common, one contains copied samples.
 * @param most fingerprints to keep, about; of a longer dataset, a smaller share of its runs is compared
 * @returns pairs of IDs, and the share of the shorter recording's runs that the other recording also contains
 */
export function exactCopies(
  dataset: Dataset,
  most = mostShingles,
): { a: string; b: string; share: number }[] {
  const rows = dataset.recordings.reduce((sum, { columns }) => sum + (columns[0]?.length ?? 0), 0);
  const bits = Math.max(3, Math.ceil(Math.log2(rows / most)));
  const owners = new Map<number, number[]>();
  const counts = new Map<string, number>();
  const runs = dataset.recordings.map(({ columns }, r) => {
    const hashes = shingles(columns, bits);
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

/**
 * Rolling hashes of `shingleRows` distinct rows. Only one hash in 2^bits is used, and the first one. It is selected by its value, so copies
 * use the same hashes.
 */
function shingles(columns: Float64Array[], bits: number): Set<number> {
  const rows = distinctRowHashes(columns);
  const kept = new Set<number>();
  const base = 0x01000193;
  let top = 1;
  for (let i = 0; i < shingleRows; i++) top = Math.imul(top, base);
  let hash = 0;
  for (let i = 0; i < rows.length; i++) {
    hash = (Math.imul(hash, base) + rows[i]!) | 0;
    if (i >= shingleRows) hash = (hash - Math.imul(top, rows[i - shingleRows]!)) | 0;
    if (i < shingleRows - 1 || (hash >>> (32 - bits) !== 0 && i > shingleRows - 1)) continue;
    // Runs of a coarse sensor that alternates between few values are ignored, because they also occur in unrelated recordings.
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
    if (!repeat) out.push(mixed(hash));
  }
  return out;
}

/**
 * Mixes all bits of a hash (MurmurHash3's finalizer). Values with few significant bits, such as quiet 16-bit sound, differ only in the
 * upper bits. A rolling hash never mixes these into the lower bits. Unrelated recordings would then have hashes in common.
 */
function mixed(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
