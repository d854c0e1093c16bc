import type { Finding } from '../types.js';
import { type Comparison, comparable, type Profile, pooledSigma, usual } from './profiles.js';
import { listIds } from './report.js';
import { hasGravity } from './units.js';

/**
 * Maximum number of fields that are treated as axes if their names do not contain x, y and z. More fields would have too many permutations.
 */
const mostAxes = 4;

/**
 * Deviations below these limits count as normal, even if the peers differ less. `level` is a share of the magnitude, `spread` a difference
 * of logarithms.
 */
const floors = { level: 0.06, spread: 0.1, correlation: 0.12 };

/**
 * Minimum spread, as a share of the magnitude. Below this limit, the recording is at rest, and the axes depend on how a person lies or
 * sits.
 */
const restShare = 0.01;

/**
 * Minimum distance at which a recording is examined, in standard deviations over all values, and relative to the peers' usual distance.
 */
const leastDistance = 5;

const timesPeers = 1.15;

/** Maximum distance after the axes are restored, in standard deviations, or as a share of the original distance, whichever is larger. */
const mostAfter = 5;

const veryLargeShare = 0.35;

/** Upper limit for the remaining share of the distance in all cases. */
const mostShare = 0.5;

/** Distances below this limit must shrink to a smaller share. */
const large = 8;

const mostShareOfSmall = 0.4;

/**
 * Minimum length of the mean of the peers' gravity directions, as unit vectors. The length is 1 if the sensor is always mounted in the same
 * way. For eight recordings in random orientations, such as a phone in a pocket, it is about 0.3, and no orientation is unusual.
 */
const leastAlignment = 0.8;

/**
 * Finds recordings whose axes are swapped or inverted compared with other recordings of the label. Levels, spreads and correlations differ
 * greatly from the others, but match once the axes are restored. If a label's recordings vary among themselves (people rest in many
 * positions), nothing is reported.
 */
export function checkSwapped(comparison: Comparison, explained: ReadonlySet<string>): Finding[] {
  const { dataset, sensors } = comparison;
  const triads = sensors.filter(({ fields }) => fields.length === 3).map(({ fields }) => fields);
  const all = dataset.fields.map((_, f) => f);
  const groups = triads.length > 0 ? triads : all.length >= 2 && all.length <= mostAxes ? [all] : [];
  const hits = groups.flatMap((fields) => turnedIn(comparison, fields));
  const byId = new Map<string, TurnedRecording[]>();
  for (const hit of hits) {
    const { id } = hit.profile.recording;
    if (!explained.has(id)) byId.set(id, [...(byId.get(id) ?? []), hit]);
  }
  // A board's sensors are turned together. If only one sensor seems to be turned, its axes must match better.
  const isPlausible = (own: TurnedRecording[]) =>
    groups.length === 1 || own.length > 1 || own[0]!.after <= mostShareOfSmall * own[0]!.before;
  return [...byId]
    .filter(([, own]) => isPlausible(own))
    .map(([id, own]): Finding => {
      const { before, after, profile } = own[0]!;
      const way = listIds(own.flatMap(({ ways }) => ways));
      return {
        kind: 'swapped',
        severity: 'warning',
        confidence: 'likely',
        files: [id],
        evidence: { way, distance: before, distanceAfter: after },
        message: `${id}: its axes are oriented differently from the other recordings of ${profile.recording.label}; with ${way} they match.`,
        advice: 'Check how the sensor was worn or wired. Swap the columns, or record again.',
      };
    });
}

interface TurnedRecording {
  profile: Profile;
  ways: string[];
  before: number;
  after: number;
}

function turnedIn(
  { dataset, peers, profiles: all, sensors }: Comparison,
  fields: number[],
): TurnedRecording[] {
  const ways = waysOf(fields.length);
  const names = fields.map((f) => dataset.fields[f]!);
  const labelled = peers.filter(({ label }) => label !== null);
  const gravity = hasGravity({ name: '', fields }, all);
  const isTriad = sensors.some((sensor) => sensor.fields === fields);
  const pooled = fields.map((f, i) => ({
    level: pooledSigma(labelled, ({ level }) => level[f]!),
    spread: pooledSigma(labelled, (profile) => relativeSpreads(profile, fields, sizeOf(profile, fields))[i]!),
  }));
  return comparable(labelled).flatMap(({ profiles }) => {
    const size =
      Math.hypot(
        ...fields.map(
          (f) => usual(profiles.map(({ level, spread }) => Math.hypot(level[f]!, spread[f]!))).middle,
        ),
      ) || 1;
    const shapes = profiles.map((profile) => shapeOf(profile, fields, size));
    const distances = shapes.map((shape, own) => {
      const others = shapes.filter((_, i) => i !== own);
      const model = modelOf(
        others,
        pooled.map(({ level, spread }) => ({ level: level / size, spread })),
      );
      return { before: distance(shape, model), byLevel: levelDistance(shape, model), model };
    });
    return profiles.flatMap((profile, own): TurnedRecording[] => {
      const { before, byLevel, model } = distances[own]!;
      if (gravity) {
        const others = profiles.filter((other) => other !== profile);
        if (alignmentOf(others, fields) < leastAlignment) return [];
        // A turned accelerometer usually changes the direction of gravity. Without that, the movement must differ greatly.
        if (byLevel < leastDistance && before < large) return [];
      }
      const peer = usual(distances.filter((_, i) => i !== own).map((other) => other.before)).high;
      if (before < leastDistance || before < timesPeers * peer) return [];
      // Fields without axis names are usually different quantities, which are rarely swapped.
      if (!isTriad && before < large) return [];
      if (fields.every((f) => profile.spread[f]! < restShare * size)) return [];
      const tried = ways.map((way) => ({ way, after: distance(turned(shapes[own]!, way), model) }));
      const least = Math.min(...tried.map(({ after }) => after));
      // The candidates are sorted by their number of changes. The first one that fits about as well as the best is the likeliest.
      const best = tried.find(({ after }) => after <= least + 0.5)!;
      if (
        best.after > Math.max(mostAfter, veryLargeShare * before) ||
        best.after > (before < large ? mostShareOfSmall : mostShare) * before
      )
        return [];
      return [{ profile, ways: wordsOf(best.way, names), before, after: best.after }];
    });
  });
}

/** Magnitude over all fields of a recording, from level and spread. */
function sizeOf({ level, spread }: Profile, fields: number[]): number {
  return Math.hypot(...fields.map((f) => Math.hypot(level[f]!, spread[f]!))) || 1;
}

interface Shape {
  /** Level of each field, relative to the magnitude over all fields of the label. */
  level: number[];
  /** Logarithm of each field's spread, minus the mean over the fields: movements differ in strength, but hardly in direction. */
  spread: number[];
  /** Correlation between each pair of fields. */
  correlation: number[][];
}

function relativeSpreads({ spread }: Profile, fields: number[], size: number): number[] {
  // Below a thousandth of the magnitude, the spread is the sensor's resolution.
  const logs = fields.map((f) => Math.log(Math.max(spread[f]! / size, 1e-3)));
  const mean = logs.reduce((sum, value) => sum + value, 0) / logs.length;
  return logs.map((value) => value - mean);
}

function shapeOf(profile: Profile, fields: number[], size: number): Shape {
  const { recording, level } = profile;
  const columns = fields.map((f) => recording.columns[f]!);
  const means = columns.map(mean);
  const deviations = columns.map((column, i) => Math.sqrt(covariance(column, column, means[i]!, means[i]!)));
  const correlation = columns.map((a, i) =>
    columns.map((b, j) => {
      const scale = deviations[i]! * deviations[j]!;
      // Correlations at rest are ignored, because posture drifts, and noise correlates at random.
      const still = Math.min(deviations[i]!, deviations[j]!) < 0.05 * size;
      return i === j || scale === 0 || still ? 0 : covariance(a, b, means[i]!, means[j]!) / scale;
    }),
  );
  return {
    level: fields.map((f) => level[f]! / size),
    spread: relativeSpreads(profile, fields, size),
    correlation,
  };
}

/** Typical shape of a label's recordings, with the standard deviation of each value. */
interface ShapeModel {
  middle: Shape;
  sigma: Shape;
}

function modelOf(shapes: Shape[], pooled: { level: number; spread: number }[]): ShapeModel {
  const fields = shapes[0]!.level.map((_, f) => f);
  const level = fields.map((f) => usual(shapes.map((shape) => shape.level[f]!)));
  const spread = fields.map((f) => usual(shapes.map((shape) => shape.spread[f]!)));
  const correlation = fields.map((f) =>
    fields.map((g) => usual(shapes.map((shape) => shape.correlation[f]![g]!))),
  );
  return {
    middle: {
      level: level.map(({ middle }) => middle),
      spread: spread.map(({ middle }) => middle),
      correlation: correlation.map((row) => row.map(({ middle }) => middle)),
    },
    sigma: {
      level: level.map(({ sigma }, f) => Math.max(sigma, pooled[f]!.level, floors.level)),
      spread: spread.map(({ sigma }, f) => Math.max(sigma, pooled[f]!.spread, floors.spread)),
      correlation: correlation.map((row) => row.map(({ sigma }) => Math.max(sigma, floors.correlation))),
    },
  };
}

/** Euclidean distance over all values, in standard deviations. */
function distance(shape: Shape, { middle, sigma }: ShapeModel): number {
  let sum = 0;
  for (let i = 0; i < shape.level.length; i++) {
    sum += ((shape.level[i]! - middle.level[i]!) / sigma.level[i]!) ** 2;
    sum += ((shape.spread[i]! - middle.spread[i]!) / sigma.spread[i]!) ** 2;
    for (let j = 0; j < i; j++) {
      sum += ((shape.correlation[i]![j]! - middle.correlation[i]![j]!) / sigma.correlation[i]![j]!) ** 2;
    }
  }
  return Math.sqrt(sum);
}

/** The part of the distance that is due to the levels. */
function levelDistance({ level }: Shape, { middle, sigma }: ShapeModel): number {
  return Math.hypot(...level.map((value, i) => (value - middle.level[i]!) / sigma.level[i]!));
}

/** Length of the mean of the recordings' gravity directions; 1 if all are the same. */
function alignmentOf(profiles: Profile[], fields: number[]): number {
  const sums = fields.map((f) =>
    profiles.reduce(
      (sum, { level }) => sum + level[f]! / (Math.hypot(...fields.map((g) => level[g]!)) || 1),
      0,
    ),
  );
  return Math.hypot(...sums) / profiles.length;
}

/** Field i of the result is field from[i], multiplied by sign[i]. */
interface Way {
  from: number[];
  sign: number[];
}

function turned({ level, spread, correlation }: Shape, { from, sign }: Way): Shape {
  return {
    level: from.map((f, i) => sign[i]! * level[f]!),
    spread: from.map((f) => spread[f]!),
    correlation: from.map((f, i) => from.map((g, j) => sign[i]! * sign[j]! * correlation[f]![g]!)),
  };
}

/** All permutations and sign changes of the fields, except the identity. Those with the fewest changes come first. */
function waysOf(fields: number): Way[] {
  const orders = permutations(Array.from({ length: fields }, (_, i) => i));
  const signs = Array.from({ length: 2 ** fields }, (_, bits) =>
    Array.from({ length: fields }, (__, i) => ((bits >> i) & 1 ? -1 : 1)),
  );
  const changes = ({ from, sign }: Way) =>
    from.filter((f, i) => f !== i).length + sign.filter((s) => s < 0).length;
  return orders
    .flatMap((from) => signs.map((sign) => ({ from, sign })))
    .filter((way) => changes(way) > 0)
    .sort((a, b) => changes(a) - changes(b));
}

function permutations(items: number[]): number[][] {
  if (items.length <= 1) return [items];
  return items.flatMap((item, i) =>
    permutations(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]),
  );
}

function wordsOf({ from, sign }: Way, fields: string[]): string[] {
  return from.flatMap((f, i) =>
    f !== i || sign[i] === -1 ? [`${fields[i]} = ${sign[i] === -1 ? '−' : ''}${fields[f]}`] : [],
  );
}

function covariance(a: Float64Array, b: Float64Array, meanA: number, meanB: number): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - meanA) * (b[i]! - meanB);
  return sum / a.length;
}

function mean(column: Float64Array): number {
  let sum = 0;
  for (const value of column) sum += value;
  return sum / column.length;
}
