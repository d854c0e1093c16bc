import { percent } from '../../core/figures.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './report.js';

/** Seconds, and samples, that a field must stay constant to count as stuck. */
const stillSeconds = 1;

const stillSamples = 50;

/** Minimum factor by which the constant run must be longer than in the other recordings. */
const timesUsual = 10;

/** Finds fields that are constant, throughout or for a while, while other fields move. */
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

interface StillField {
  id: string;
  rows: number;
  from: number;
  samples: number;
  value: number;
}

function stuckFinding(field: string, hits: StillField[], everywhere: boolean): Finding {
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
      : `${field} stays at ${Number(longest.value.toPrecision(6))} in ${listIds(ids)}${hits.length > 1 && place ? ` (${longest.id}:${place})` : place}, while the other fields move (${percent(share)} of the recording).`,
    advice: everywhere
      ? 'It contains no information: omit the field, or check that the sensor is connected.'
      : 'Check the sensor and its wiring, and record again.',
  };
}

function isConstant(column: Float64Array): boolean {
  for (let i = 1; i < column.length; i++) if (column[i] !== column[0]) return false;
  return true;
}

/** Consecutive rows with equal values of one field. */
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

type End = 'highest' | 'lowest';

/** Consecutive equal values that form a plateau: longer than the runs of a recorder that repeats rows. */
const plateauRows = 5;

const leastSamples = 20;

/** Above this count, the findings of fields are merged into one. */
const mostFindings = 6;

/**
 * Finds fields that pile up at one end: a sensor driven past its full scale. The end value must be more frequent than everything in the adjacent
 * tenth of the scale, which only clipping does to a value that varies. Checks all recordings together, and each recording whose end differs.
 */
export function checkClipping(dataset: Dataset): Finding[] {
  const findings: Finding[] = [];
  dataset.fields.forEach((field, f) => {
    for (const end of ['highest', 'lowest'] as const) {
      const sign = end === 'highest' ? 1 : -1;
      const all = piled(
        dataset.recordings.map(({ columns }) => columns[f]!),
        sign,
      );
      const atCommonEnd = all
        ? dataset.recordings.filter(({ columns }) => columns[f]!.some((value) => sign * value === all.top))
        : [];
      if (all) findings.push(findingOf(field, end, sign, all, atCommonEnd));
      const own = dataset.recordings.flatMap((recording) => {
        if (atCommonEnd.includes(recording)) return [];
        const found = piled([recording.columns[f]!], sign);
        return found && plateaus(recording.columns[f]!, sign * found.top) >= 2 ? [{ recording, found }] : [];
      });
      for (const top of new Set(own.map(({ found }) => found.top))) {
        const alike = own.filter(({ found }) => found.top === top);
        const sum = (pick: 'atEnd' | 'nearEnd' | 'samples') =>
          alike.reduce((total, { found }) => total + found[pick], 0);
        const piles = { top, atEnd: sum('atEnd'), nearEnd: sum('nearEnd'), samples: sum('samples') };
        findings.push(
          findingOf(
            field,
            end,
            sign,
            piles,
            alike.map(({ recording }) => recording),
          ),
        );
      }
    }
  });
  return findings.length > mostFindings ? [joined(findings)] : findings;
}

/** Many such fields are bounded quantities rather than clipping sensors: they are reported in one sentence. */
function joined(findings: Finding[]): Finding {
  const fields = [...new Set(findings.map(({ evidence }) => String(evidence.field)))];
  return {
    kind: 'saturation',
    severity: 'info',
    files: [...new Set(findings.flatMap(({ files }) => files))].sort(),
    evidence: { fields, values: findings.map(({ evidence }) => Number(evidence.value)) },
    message: `${fields.length} fields are often at one end of their range: ${listIds(fields)}.`,
    advice: 'If they are measured, set the sensors to a wider range.',
  };
}

interface Pile {
  top: number;
  atEnd: number;
  nearEnd: number;
  samples: number;
}

function findingOf(field: string, end: End, sign: number, pile: Pile, recordings: Recording[]): Finding {
  const { top, atEnd, nearEnd, samples } = pile;
  const files = recordings.map(({ id }) => id);
  return {
    kind: 'saturation',
    severity: 'warning',
    files,
    evidence: { field, end, value: sign * top, samples: atEnd, share: atEnd / samples, near: nearEnd },
    message: `${field} stops at ${Number((sign * top).toPrecision(6))}, its ${end} value, in ${atEnd} samples (${percent(atEnd / samples)}) of ${listIds(files)}: clipped.`,
    advice: 'Set the sensor to a wider range, and record the clipped data again.',
  };
}

function piled(columns: Float64Array[], sign: number): Pile | null {
  const { top, bottom } = extent(columns, sign);
  if (fewValues(columns)) return null;
  const near = top - (top - bottom) / 10;
  let atEnd = 0;
  let nearEnd = 0;
  let samples = 0;
  for (const column of columns) {
    samples += column.length;
    for (const value of column) {
      if (sign * value === top) atEnd++;
      else if (sign * value > near) nearEnd++;
    }
  }
  return atEnd < leastSamples || atEnd <= nearEnd ? null : { top, atEnd, nearEnd, samples };
}

function plateaus(column: Float64Array, value: number): number {
  let found = 0;
  let run = 0;
  for (let i = 0; i <= column.length; i++) {
    if (i < column.length && column[i] === value) run++;
    else {
      if (run >= plateauRows) found++;
      run = 0;
    }
  }
  return found;
}

function extent(columns: Float64Array[], sign: number): { top: number; bottom: number } {
  let top = Number.NEGATIVE_INFINITY;
  let bottom = Number.POSITIVE_INFINITY;
  for (const column of columns) {
    for (const value of column) {
      if (sign * value > top) top = sign * value;
      if (sign * value < bottom) bottom = sign * value;
    }
  }
  return { top, bottom };
}

/** Whether the field has at most 32 different values, like a switch or counter, whose values reach the ends of their range by nature. */
function fewValues(columns: Float64Array[]): boolean {
  const seen = new Set<number>();
  for (const column of columns) {
    for (const value of column) {
      seen.add(value);
      if (seen.size > 32) return false;
    }
  }
  return true;
}

/** Minimum number of other recordings of its label that a recording is compared with. */
const leastOthers = 3;

/** More fields than this are not the three axes of a sensor, and there are too many permutations to try. */
const mostAxes = 4;

/**
 * Finds recordings whose axes are swapped or inverted compared with the others of their label. Their levels and correlations are far off,
 * but match the others once the axes are restored. If a label's recordings vary among themselves (people rest in many positions), no
 * conclusion is possible.
 */
export function checkSwapped({ recordings, fields }: Dataset): Finding[] {
  if (fields.length < 2 || fields.length > mostAxes) return [];
  const ways = waysOf(fields.length);
  const byLabel = new Map<string, Recording[]>();
  for (const recording of recordings) {
    if (recording.label === null || (recording.columns[0]?.length ?? 0) < 2) continue;
    byLabel.set(recording.label, [...(byLabel.get(recording.label) ?? []), recording]);
  }
  const hits = [...byLabel.values()].flatMap((own) => hitsAmong(own, ways, fields));
  return hits.map(({ recording, way, before, after, reach }) => ({
    kind: 'swapped',
    severity: 'warning',
    files: [recording.id],
    evidence: { way, distance: before, distanceAfter: after, others: reach },
    message: `${recording.id}: its axes are oriented differently from the other recordings of ${recording.label}; with ${way} they match.`,
    advice: 'Check how the sensor was worn or wired. Swap the columns, or record again.',
  }));
}

interface TurnedRecording {
  recording: Recording;
  way: string;
  before: number;
  after: number;
  reach: number;
}

function hitsAmong(own: Recording[], ways: Way[], fields: string[]): TurnedRecording[] {
  if (own.length <= leastOthers) return [];
  const levels = own.map(({ columns }) => columns.map(mean));
  const size = Math.hypot(...fields.map((_, f) => median(levels.map((level) => level[f]!)))) || 1;
  const shapes = own.map(({ columns }, r) => shapeOf(columns, levels[r]!, size));
  return own.flatMap((recording, r) => {
    const others = shapes.filter((_, i) => i !== r);
    const middle = middleOf(others);
    const distances = others.map((shape) => distance(shape, middle)).sort((a, b) => a - b);
    const reach = distances[Math.min(distances.length - 1, Math.floor(0.9 * distances.length))]!;
    const before = distance(shapes[r]!, middle);
    if (before < 0.6 || before < 2.5 * reach) return [];
    const tried = ways.map((way) => ({ way, after: distance(turned(shapes[r]!, way), middle) }));
    const best = tried.reduce((a, b) => (b.after < a.after ? b : a));
    if (best.after > Math.max(1.2 * reach, 0.15) || best.after > 0.4 * before) return [];
    return [{ recording, way: wordsOf(best.way, fields), before, after: best.after, reach }];
  });
}

interface Shape {
  /** Level of each field, relative to the magnitude of all levels of the label. */
  level: number[];
  /** Correlation between each pair of fields. */
  correlation: number[][];
}

/** Field i of the result is field from[i], multiplied by sign[i]. */
interface Way {
  from: number[];
  sign: number[];
}

function shapeOf(columns: Float64Array[], levels: number[], size: number): Shape {
  const deviations = columns.map((column, f) =>
    Math.sqrt(covariance(column, column, levels[f]!, levels[f]!)),
  );
  const correlation = columns.map((a, i) =>
    columns.map((b, j) => {
      const scale = deviations[i]! * deviations[j]!;
      // Correlations at rest are ignored, because posture drifts and noise correlates at random.
      const still = Math.min(deviations[i]!, deviations[j]!) < 0.05 * size;
      return i === j || scale === 0 || still ? 0 : covariance(a, b, levels[i]!, levels[j]!) / scale;
    }),
  );
  return { level: levels.map((level) => level / size), correlation };
}

function covariance(a: Float64Array, b: Float64Array, meanA: number, meanB: number): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - meanA) * (b[i]! - meanB);
  return sum / a.length;
}

function distance(a: Shape, b: Shape): number {
  let sum = 0;
  for (let i = 0; i < a.level.length; i++) {
    sum += (a.level[i]! - b.level[i]!) ** 2;
    for (let j = 0; j < i; j++) sum += (a.correlation[i]![j]! - b.correlation[i]![j]!) ** 2;
  }
  return Math.sqrt(sum);
}

function turned({ level, correlation }: Shape, { from, sign }: Way): Shape {
  return {
    level: from.map((f, i) => sign[i]! * level[f]!),
    correlation: from.map((f, i) => from.map((g, j) => sign[i]! * sign[j]! * correlation[f]![g]!)),
  };
}

function middleOf(shapes: Shape[]): Shape {
  const fields = shapes[0]!.level.map((_, f) => f);
  return {
    level: fields.map((f) => median(shapes.map(({ level }) => level[f]!))),
    correlation: fields.map((f) =>
      fields.map((g) => median(shapes.map(({ correlation }) => correlation[f]![g]!))),
    ),
  };
}

/** All permutations and sign changes of the fields, except the identity. */
function waysOf(fields: number): Way[] {
  const orders = permutations(Array.from({ length: fields }, (_, i) => i));
  const signs = Array.from({ length: 2 ** fields }, (_, bits) =>
    Array.from({ length: fields }, (__, i) => ((bits >> i) & 1 ? -1 : 1)),
  );
  const ways = orders.flatMap((from) => signs.map((sign) => ({ from, sign })));
  return ways.filter(({ from, sign }) => from.some((f, i) => f !== i) || sign.includes(-1));
}

function permutations(items: number[]): number[][] {
  if (items.length <= 1) return [items];
  return items.flatMap((item, i) =>
    permutations(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]),
  );
}

function wordsOf({ from, sign }: Way, fields: string[]): string {
  const changed = from.flatMap((f, i) =>
    f !== i || sign[i] === -1 ? [`${fields[i]} = ${sign[i] === -1 ? '−' : ''}${fields[f]}`] : [],
  );
  return listIds(changed);
}

function mean(column: Float64Array): number {
  let sum = 0;
  for (const value of column) sum += value;
  return sum / column.length;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
