import type { Dataset, Finding, Recording } from '../types.js';
import { listIds } from './text.js';

/** A recording is compared with at least so many others of its label. */
const leastOthers = 3;
/** Fields beyond this are not three axes of a sensor, and the ways to exchange them too many. */
const mostFields = 4;

/**
 * Recordings whose axes are exchanged or turned round against the others of their label: level and correlation of the fields
 * lie far off, and come back to the others when the axes are put back. Where a label's recordings differ among themselves
 * (people lie in many ways) nothing can be said.
 */
export function checkSwapped({ recordings, fields }: Dataset): Finding[] {
  if (fields.length < 2 || fields.length > mostFields) return [];
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
    message: `${recording.id}: its axes do not lie as in the other recordings of ${recording.label}; with ${way} they do.`,
    advice: 'Look how the sensor was worn or wired, and exchange the columns, or record again.',
  }));
}

interface Hit {
  recording: Recording;
  way: string;
  before: number;
  after: number;
  reach: number;
}

function hitsAmong(own: Recording[], ways: Way[], fields: string[]): Hit[] {
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
  /** Level of each field, in parts of the size of all levels of the label. */
  level: number[];
  /** Correlation of each field with each other. */
  correlation: number[][];
}

/** Field i of the result is field from[i], times sign[i]. */
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
      // At rest, posture drifts and noise correlate by chance.
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

/** All ways to exchange fields and turn them round, but the one that leaves all as it is. */
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
