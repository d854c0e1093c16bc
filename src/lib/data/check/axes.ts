import { percent } from '../../core/index.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './text.js';

/** Seconds, and samples, that a field must stand still to be stuck. */
const stillSeconds = 1;
const stillSamples = 50;
/** How many times longer than in the other recordings it must be. */
const timesUsual = 10;

/** Fields that do not move, all the time or for a while, while other fields do. */
export function checkStuck(dataset: Dataset): Finding[] {
  const { recordings, fields } = dataset;
  if (fields.length < 2) return [];
  return fields.flatMap((field, f) => {
    const runs = recordings.map((recording) => longestRun(recording, f));
    const usual = [...runs].map(({ rows }) => rows).sort((a, b) => a - b)[runs.length >> 1] ?? 0;
    const everywhere = recordings.every(({ columns }) => isConstant(columns[f]!));
    const hits = recordings.flatMap((recording, r) => {
      const { rows, from } = runs[r]!;
      const samples = recording.columns[f]!.length;
      const whole = rows >= 0.9 * samples;
      const long = rows >= Math.max(stillSamples, stillSeconds * recording.rateHz, timesUsual * usual);
      const othersMove = recording.columns.some(
        (column, other) => other !== f && !isConstant(column.subarray(from, from + rows)),
      );
      return samples >= stillSamples && (everywhere || whole || long) && othersMove
        ? [{ id: recording.id, rows, from, samples, value: recording.columns[f]![from]! }]
        : [];
    });
    return hits.length === 0 ? [] : [stuckFinding(field, hits, everywhere)];
  });
}

interface Hit {
  id: string;
  rows: number;
  from: number;
  samples: number;
  value: number;
}

function stuckFinding(field: string, hits: Hit[], everywhere: boolean): Finding {
  const longest = hits.reduce((a, b) => (b.rows / b.samples > a.rows / a.samples ? b : a));
  const ids = hits.map(({ id }) => id);
  const share = longest.rows / longest.samples;
  const place = share < 0.9 ? ` from row ${longest.from + 1} on, for ${longest.rows} rows` : '';
  return {
    kind: 'stuck',
    severity: 'warning',
    files: ids,
    evidence: { field, value: longest.value, rows: longest.rows, from: longest.from + 1, share, everywhere },
    message: everywhere
      ? `${field} is ${longest.value} in every recording.`
      : `${field} stands at ${Number(longest.value.toPrecision(6))} in ${listIds(ids)}${hits.length > 1 && place ? ` (${longest.id}:${place})` : place}, while the other fields move (${percent(share)} of the recording).`,
    advice: everywhere
      ? 'It tells nothing: leave the field out, or look whether the sensor is connected.'
      : 'Look at the sensor and its wires, and record again.',
  };
}

function isConstant(column: Float64Array): boolean {
  for (let i = 1; i < column.length; i++) if (column[i] !== column[0]) return false;
  return true;
}

/** Rows of equal values of one field that lie side by side. */
function longestRun({ columns }: Recording, f: number): { rows: number; from: number } {
  const column = columns[f]!;
  let best = { rows: 0, from: 0 };
  let from = 0;
  for (let i = 1; i <= column.length; i++) {
    if (i < column.length && column[i] === column[i - 1]) continue;
    if (i - from > best.rows) best = { rows: i - from, from };
    from = i;
  }
  return best;
}
