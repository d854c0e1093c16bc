import type { Finding } from '../types.js';
import {
  type Comparison,
  figureText,
  leastPeers,
  type Profile,
  pooledSigma,
  type Sensor,
  usual,
} from './profiles.js';

/**
 * Minimum distance from the peers, in standard deviations. Among 100 recordings with 10 fields, normally distributed values reach 4
 * standard deviations, and real values exceed that.
 */
const unitSigmas = 6;

const offsetSigmas = 6;

/** A conversion between two units that are commonly confused. */
interface Conversion {
  /** Unit in the deviating recording, and in the other recordings. */
  found: string;
  usual: string;
  /** Converts a deviating value to the usual unit: (value − shift) · factor. */
  factor: number;
  shift: number;
  /** Kind of sensors with these units: three axes, single fields, or either. */
  of: 'axes' | 'field' | 'any';
}

/** Standard gravity in m/s² (CGPM 1901). */
const standardGravity = 9.80665;

const conversions: Conversion[] = (
  [
    { found: 'm/s²', usual: 'g', factor: 1 / standardGravity, shift: 0, of: 'axes' },
    { found: 'rad/s', usual: 'deg/s', factor: 180 / Math.PI, shift: 0, of: 'axes' },
    { found: 'thousandths (such as mg or mA)', usual: 'whole units', factor: 1 / 1000, shift: 0, of: 'any' },
    { found: 'millionths', usual: 'whole units', factor: 1e-6, shift: 0, of: 'field' },
    { found: '°F', usual: '°C', factor: 1 / 1.8, shift: 32, of: 'field' },
    { found: 'K', usual: '°C', factor: 1, shift: 273.15, of: 'field' },
  ] satisfies Conversion[]
).flatMap((one): Conversion[] => [
  one,
  {
    ...one,
    found: one.usual,
    usual: one.found,
    factor: 1 / one.factor,
    shift: one.shift === 0 ? 0 : -one.shift * one.factor,
  },
]);

/**
 * Range of each unit of temperature: from absolute zero to the hottest thermocouple (type C, ASTM E988, 2320 °C). A level outside this
 * range, such as the counts of a light sensor, is not a temperature.
 */
const temperatures: Record<string, readonly [number, number]> = {
  '°C': [-273.15, 2320],
  '°F': [-459.67, 4208],
  K: [0, 2593.15],
};

function isPossible(unit: string, level: number): boolean {
  const [low, high] = temperatures[unit] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  return level >= low && level <= high;
}

/**
 * Finds recordings whose unit differs from that of other recordings of the label. Such recordings differ from their peers by far more than
 * the peers differ from each other, but their level and spread match after a known conversion.
 */
export function checkUnits(comparison: Comparison, explained: ReadonlySet<string>): Finding[] {
  const hits = comparison.sensors.flatMap((sensor) => unitHits(comparison, sensor, explained));
  const groups = new Map<string, UnitHit[]>();
  for (const hit of hits) {
    const key = `${hit.sensor.name}\n${hit.conversion.found}\n${hit.conversion.usual}`;
    groups.set(key, [...(groups.get(key) ?? []), hit]);
  }
  return [...groups.values()].map(unitFinding);
}

interface UnitHit {
  sensor: Sensor;
  profile: Profile;
  conversion: Conversion;
  /** Magnitude or level of the recording, of its peers, and of the recording after the conversion. */
  size: number;
  usualSize: number;
  converted: number;
  sigmas: number;
}

function unitHits({ peers }: Comparison, sensor: Sensor, explained: ReadonlySet<string>): UnitHit[] {
  const logSize = (profile: Profile) => Math.log(sizeOf(profile, sensor) + Number.MIN_VALUE);
  const level = (profile: Profile) => profile.level[sensor.fields[0]!]!;
  const [pooledLog, pooledLevel] = [pooledSigma(peers, logSize), pooledSigma(peers, level)];
  return peers.flatMap(({ profiles }) => {
    if (profiles.length < leastPeers) return [];
    const sizes = usual(profiles.map(logSize));
    const levels = usual(profiles.map(level));
    const spreads = usual(profiles.map((profile) => Math.log(spreadOf(profile, sensor) + Number.MIN_VALUE)));
    return profiles.flatMap((profile): UnitHit[] => {
      if (explained.has(profile.recording.id)) return [];
      const spread = Math.log(spreadOf(profile, sensor) + Number.MIN_VALUE);
      const tried = conversions.flatMap((conversion): UnitHit[] => {
        if (conversion.of !== 'any' && (conversion.of === 'axes') !== sensor.fields.length > 1) return [];
        const affine = conversion.shift !== 0;
        const own = affine ? level(profile) : logSize(profile);
        const known = affine ? levels : sizes;
        const sigma = Math.max(known.sigma, affine ? pooledLevel : pooledLog);
        const moved = affine
          ? (own - conversion.shift) * conversion.factor
          : own + Math.log(conversion.factor);
        if (affine && !(isPossible(conversion.found, own) && isPossible(conversion.usual, known.middle)))
          return [];
        const away = Math.abs(own - known.middle);
        const tolerance = Math.max(2 * sigma, 0.15 * away);
        const fits = moved >= known.low - tolerance && moved <= known.high + tolerance;
        const outside = own < known.low - 0.5 * away || own > known.high + 0.5 * away;
        // A conversion also multiplies the spread by its factor. The tolerance is wide, because the spreads of slow quantities vary
        // greatly.
        const spreadAfter = spread + Math.log(conversion.factor);
        const spreadFits = Math.abs(spreadAfter - spreads.middle) <= Math.max(4 * spreads.sigma, 1.2);
        if (away < unitSigmas * sigma || !outside || !fits || !spreadFits) return [];
        return [
          {
            sensor,
            profile,
            conversion,
            size: affine ? own : Math.exp(own),
            usualSize: affine ? known.middle : Math.exp(known.middle),
            converted: affine ? moved : Math.exp(moved),
            sigmas: sigma > 0 ? away / sigma : Number.POSITIVE_INFINITY,
          },
        ];
      });
      const distance = (hit: UnitHit) => Math.abs(Math.log(Math.abs(hit.converted / hit.usualSize)));
      return tried.sort((a, b) => distance(a) - distance(b)).slice(0, 1);
    });
  });
}

function unitFinding(hits: UnitHit[]): Finding {
  const { sensor, conversion, size, usualSize, converted, sigmas } = hits[0]!;
  const files = hits.map(({ profile }) => profile.recording.id);
  return {
    kind: 'unit',
    severity: 'error',
    confidence: 'likely',
    files,
    evidence: {
      field: sensor.name,
      unit: conversion.found,
      usualUnit: conversion.usual,
      value: size,
      usual: usualSize,
      converted,
      deviations: Math.min(sigmas, 1e6),
    },
    message: `${sensor.name} of ${nameList(files)} seems to be in ${conversion.found} instead of ${conversion.usual}: ${figureText(size)}, which is ${figureText(converted)} after conversion; the others of its label have ${figureText(usualSize)}.`,
    advice: `Convert these recordings to ${conversion.usual}, or correct the recorder's setting and record again.`,
  };
}

function nameList(files: string[]): string {
  return files.length <= 3
    ? files.join(', ')
    : `${files.slice(0, 2).join(', ')} and ${files.length - 2} more`;
}

/** Magnitude over all axes, from level and spread. */
export function sizeOf({ level, spread }: Profile, { fields }: Sensor): number {
  return Math.hypot(...fields.map((f) => Math.hypot(level[f]!, spread[f]!)));
}

function spreadOf({ spread }: Profile, { fields }: Sensor): number {
  return Math.hypot(...fields.map((f) => spread[f]!));
}

/**
 * Minimum offset, relative to the level. Smaller differences between specimens are normal. The offset must also be at least as large as the
 * signal's spread.
 */
const leastShift = 0.25;

/** The norm of gravity varies by at most this share in a dataset whose acceleration is in one unit. */
const gravityShare = 0.15;

/**
 * Finds constant offsets. An offset in acceleration changes the norm of gravity, which is the same in any orientation. In any other field,
 * an offset moves the level far from the peers' level. A level that all of a device's recordings share comes from the device's location,
 * not from a defect.
 */
export function checkOffsets(comparison: Comparison, explained: ReadonlySet<string>): Finding[] {
  const found = new Map<string, Finding>();
  for (const finding of [...gravityOffsets(comparison), ...levelOffsets(comparison)]) {
    const [id] = finding.files;
    if (!explained.has(id!) && !found.has(id!)) found.set(id!, finding);
  }
  return [...found.values()];
}

function normOf({ level }: Profile, { fields }: Sensor): number {
  return Math.hypot(...fields.map((f) => level[f]!));
}

/**
 * Whether the means of a sensor's axes have the same norm in all recordings, as those of accelerometers do. Vibration sensors without
 * gravity do not.
 */
export function hasGravity(sensor: Sensor, profiles: Profile[]): boolean {
  if (sensor.fields.length < 3) return false;
  const { sigma, middle } = usual(profiles.map((profile) => normOf(profile, sensor)));
  const still = profiles.filter((profile) => spreadOf(profile, sensor) < normOf(profile, sensor));
  return sigma <= gravityShare * middle && still.length >= profiles.length / 2;
}

function gravityOffsets({ sensors, peers, profiles, dataset }: Comparison): Finding[] {
  if (profiles.length < 2 * leastPeers) return [];
  return sensors.flatMap((sensor) => {
    if (!hasGravity(sensor, profiles)) return [];
    const norm = (profile: Profile) => normOf(profile, sensor);
    const known = usual(profiles.map(norm));
    return profiles.flatMap((profile): Finding[] => {
      const away = Math.abs(norm(profile) - known.middle);
      if (away < offsetSigmas * known.sigma || away < 0.5 * known.middle) return [];
      const own = peers.find(({ profiles: list }) => list.includes(profile))!;
      const shifts = sensor.fields.map(
        (f) => profile.level[f]! - usual(own.profiles.map(({ level }) => level[f]!)).middle,
      );
      const most = shifts.reduce(
        (best, shift, i) => (Math.abs(shift) > Math.abs(shifts[best]!) ? i : best),
        0,
      );
      return [
        offsetFinding(
          profile,
          dataset.fields[sensor.fields[most]!]!,
          shifts[most]!,
          away / Math.max(known.sigma, 1e-9),
          {
            text: `its mean acceleration is ${figureText(norm(profile))}, that of the others ${figureText(known.middle)} in any orientation`,
            level: norm(profile),
            usual: known.middle,
          },
        ),
      ];
    });
  });
}

function levelOffsets({ sensors, peers, profiles: all, dataset }: Comparison): Finding[] {
  const found = sensors.flatMap((sensor) => {
    // The levels of an accelerometer's axes depend on its orientation, so `gravityOffsets` checks their norm instead.
    if (hasGravity(sensor, all)) return [];
    return sensor.fields.flatMap((f) => {
      const level = (profile: Profile) => profile.level[f]!;
      const pooled = pooledSigma(peers, level);
      const shifts = new Map<Profile, number>();
      for (const { profiles } of peers) {
        const { middle } = usual(profiles.map(level));
        for (const profile of profiles) shifts.set(profile, level(profile) - middle);
      }
      return peers.flatMap(({ profiles }): { sigmas: number; finding: Finding }[] => {
        if (profiles.length <= leastPeers) return [];
        const levels = usual(profiles.map(level));
        const spreads = usual(profiles.map(({ spread }) => Math.log(spread[f]! + Number.MIN_VALUE)));
        const sigma = Math.max(levels.sigma, pooled);
        return profiles.flatMap((profile) => {
          const shift = level(profile) - levels.middle;
          const beyond = Math.max(levels.low - level(profile), level(profile) - levels.high);
          const spread = Math.log(profile.spread[f]! + Number.MIN_VALUE);
          const least = Math.max(leastShift * Math.abs(levels.middle), profile.spread[f]!);
          if (Math.abs(shift) < Math.max(offsetSigmas * sigma, least)) return [];
          if (sigma === 0 || beyond < levels.high - levels.low) return [];
          if (!hasUsualSpread(spread - spreads.middle, spreads.sigma, level(profile) / levels.middle))
            return [];
          if (isOfDevice(profile, shift, shifts)) return [];
          const finding = offsetFinding(profile, dataset.fields[f]!, shift, Math.abs(shift) / sigma, {
            text: `its level is ${figureText(level(profile))}, that of the others ${figureText(levels.low)} to ${figureText(levels.high)}, with the same variation`,
            level: level(profile),
            usual: levels.middle,
          });
          return [{ sigmas: Math.abs(shift) / sigma, finding }];
        });
      });
    });
  });
  return found.sort((a, b) => b.sigmas - a.sigmas).map(({ finding }) => finding);
}

/** Whether an offset explains the recording's spread better than a factor does. The logarithm of the spread differs by `change`. */
function hasUsualSpread(change: number, sigma: number, factor: number): boolean {
  if (Math.abs(change) > Math.min(0.7, Math.max(2.5 * sigma, 0.35))) return false;
  return !(factor > 0) || Math.abs(change) < Math.abs(change - Math.log(factor));
}

/** Whether at least half of the device's other recordings have a similar shift. */
function isOfDevice({ recording }: Profile, shift: number, shifts: Map<Profile, number>): boolean {
  if (recording.device === null) return false;
  const others = [...shifts].filter(
    ([{ recording: other }]) => other.device === recording.device && other !== recording,
  );
  const alike = others.filter(([, own]) => own * Math.sign(shift) > 0.4 * Math.abs(shift));
  return others.length > 0 && alike.length >= others.length / 2;
}

function offsetFinding(
  { recording }: Profile,
  field: string,
  shift: number,
  sigmas: number,
  { text, level, usual: usualLevel }: { text: string; level: number; usual: number },
): Finding {
  return {
    kind: 'offset',
    severity: 'warning',
    confidence: 'likely',
    files: [recording.id],
    evidence: { field, offset: shift, level, usual: usualLevel, deviations: Math.min(sigmas, 1e6) },
    message: `${recording.id}: ${field} seems to have an offset of about ${figureText(shift)}: ${text}.`,
    advice: `Check the zero point of the sensor. Subtract the offset, or record again.`,
  };
}
