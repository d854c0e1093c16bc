import { percent, plural } from '../../core/index.js';
import type { Dataset, Finding, Recording, Split } from '../types.js';
import { listIds } from './text.js';

/** Files that must share a row with another side, and share of them. */
const leastFiles = 4;
const leastShare = 0.1;

/**
 * Files on two sides of a split that are neighbouring pieces of one take: windows that were cut from it and dealt out by
 * chance. Seen by the last row of one being the first of another, as windows cut with both ends are; and by names such as
 * walking1_3 and walking1_4. Windows that overlap by more are found as copies.
 */
export function checkNeighbours(dataset: Dataset, split: Split): Finding[] {
  return [...sharedEnds(dataset, split), ...sharedNames(dataset, split)];
}

function sharedEnds({ recordings }: Dataset, split: Split): Finding[] {
  const trainIds = new Set(split.train);
  const all = recordings.filter(({ columns }) => (columns[0]?.length ?? 0) >= 8);
  const tested = all.filter(({ id }) => !trainIds.has(id));
  const rowsOf = (pick: 'first' | 'last' | 'middle') =>
    new Map(
      all.filter(({ id }) => trainIds.has(id)).map((recording) => [rowKey(recording, pick), recording.id]),
    );
  const lasts = rowsOf('last');
  const firsts = rowsOf('first');
  const middles = rowsOf('middle');
  const hits = tested.flatMap((recording) => {
    const first = rowKey(recording, 'first');
    const last = rowKey(recording, 'last');
    // A coarse sensor shows the same row again and again.
    if (middles.has(first) || middles.has(last)) return [];
    const neighbour = lasts.get(first) ?? firsts.get(last);
    return neighbour === undefined ? [] : [{ id: recording.id, neighbour }];
  });
  const share = hits.length / Math.max(1, tested.length);
  if (hits.length < leastFiles || share < leastShare) return [];
  return [
    {
      kind: 'leak',
      severity: 'error',
      files: hits.map(({ id }) => id),
      evidence: {
        method: 'neighbours',
        windows: hits.length,
        share,
        pairs: hits.slice(0, 20).map(({ id, neighbour }) => `${neighbour} | ${id}`),
      },
      message: `${hits.length} of ${plural(tested.length, 'file')} that are not trained on (${percent(share)}) begin or end with the row at which a file that is trained on ends or begins, such as ${hits[0]!.neighbour} and ${hits[0]!.id}: the split is by window, and neighbours say nearly the same.`,
      advice: 'Split by take: all windows of one recording on one side.',
    },
  ];
}

function rowKey({ columns }: Recording, pick: 'first' | 'last' | 'middle'): string {
  const rows = columns[0]!.length;
  const at = pick === 'first' ? 0 : pick === 'last' ? rows - 1 : rows >> 1;
  return columns.map((column) => column[at]).join();
}

/** The take that a numbered piece is of, by its name: `walking1_3` is of walking1; null for other names. */
function takeOf(id: string): string | null {
  const name = id.split('/').at(-1)!;
  return /^(.*\d)[-_.]+[a-z]*\d+$/i.exec(name)?.[1] ?? null;
}

function sharedNames({ recordings }: Dataset, split: Split): Finding[] {
  const trainIds = new Set(split.train);
  const trained = new Set(recordings.filter(({ id }) => trainIds.has(id)).map(({ id }) => takeOf(id)));
  const tested = recordings.filter(({ id }) => !trainIds.has(id));
  const hits = tested.filter(({ id }) => takeOf(id) !== null && trained.has(takeOf(id)));
  if (hits.length < leastFiles || hits.length < tested.length / 2) return [];
  const takes = [...new Set(hits.map(({ id }) => takeOf(id)!))].sort();
  return [
    {
      kind: 'leak',
      severity: 'warning',
      files: hits.map(({ id }) => id),
      evidence: { method: 'names', windows: hits.length, takes },
      message: `${hits.length} files that are not trained on bear the name of a take that is trained on: ${listIds(takes)}. Pieces of one take say nearly the same.`,
      advice: 'If they are pieces of one take (or of one person), keep all of them on one side.',
    },
  ];
}
