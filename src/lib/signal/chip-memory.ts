import { frameCount, frameValues, type MelSpec, melWeightCount } from './mel.js';
import { microBinCount } from './microfrontend.js';
import { featureNames, inputShape, type SignalSpec } from './spec.js';

const double = 8;
const float = 4;
const pointer = 4;

/** Transforms with a larger prime factor are computed by Bluestein's method: AIOT_FACTOR_MAX in firmware/core/src/signal/stages.h. */
const largestFactor = 60;

/** Named sets in the order in which the firmware looks up a feature's name. */
const lookedUp = ['har', 'motion', 'spectral', 'raw'] as const;

/**
 * Bytes that the firmware's core allocates for the tables and buffers of a signal part, on a 32-bit chip. The members of its structures
 * and the gaps for alignment are left out, so the sum is at most the actual size. In C: `aiot_features_open` in
 * firmware/core/src/signal/features.c.
 */
export function signalBytes(spec: SignalSpec): number {
  const { fields, windowSamples: window, mel } = spec;
  const filter = spec.lowpassHz === null ? 0 : 2 * double * fields.length;
  const first = filter + double * fields.length;
  if (mel) return first + (spec.features === 'microfrontend' ? microBytes(spec, mel) : melBytes(spec, mel));
  const inputs = inputShape(spec).reduce((product, size) => product * size, 1);
  const used = setsOf(spec);
  const transform = used.some((set) => set !== 'raw') ? transformBytes(window) : 0;
  const sets = used.reduce((sum, set) => sum + setBytes(set, window), 0);
  return first + double * fields.length * window + transform + sets + pickBytes(spec, used) + float * inputs;
}

function melBytes(spec: SignalSpec, mel: MelSpec): number {
  const { frameSamples, fftSamples, bands, coefficients } = mel;
  const width = frameValues(mel);
  const filters = 2 * pointer * bands + double * melWeightCount(mel, spec.resampleHz);
  const frame = double * (2 * frameSamples + bands);
  const cosines = typeof coefficients === 'number' ? double * width * bands : 0;
  return filters + transformBytes(fftSamples) + frame + cosines + float * frameCount(spec, mel) * width;
}

/**
 * The micro front end: int16, except a level and a float for each value (firmware/core/src/signal/micro.c). A stream needs a level and a
 * noise estimate for each band instead of a level for each value.
 */
function microBytes(spec: SignalSpec, mel: MelSpec): number {
  const { frameSamples, fftSamples, bands, state } = mel;
  const half = fftSamples / 2;
  const transform = fftSamples + 2 * (half + 1) + 2 * half + half;
  const filters = bands + 1 + 2 * microBinCount(mel, spec.resampleHz);
  const values = frameCount(spec, mel) * bands;
  const levels = state === 'stream' ? 2 * bands : values;
  return 2 * (2 * frameSamples + transform + filters + 126 + 130) + float * (values + levels);
}

/** Sets whose features a spec uses. */
function setsOf(spec: SignalSpec): string[] {
  const { features } = spec;
  if (features === 'image') return ['raw'];
  if (!Array.isArray(features)) return [features];
  const left = new Set(features);
  return lookedUp.filter((set) => {
    const found = namesIn(spec, set).filter((name) => left.delete(name));
    return found.length > 0;
  });
}

/** Names of a set; none if it does not support these fields or this window. */
function namesIn(spec: SignalSpec, features: (typeof lookedUp)[number]): string[] {
  try {
    return featureNames({ ...spec, features });
  } catch {
    return [];
  }
}

/** For individual features: their places, and all features of each set that they come from. */
function pickBytes(spec: SignalSpec, used: readonly string[]): number {
  if (!Array.isArray(spec.features)) return 0;
  const all = used.reduce((sum, set) => sum + namesIn(spec, set as (typeof lookedUp)[number]).length, 0);
  return 2 * pointer * spec.features.length + float * all;
}

function setBytes(set: string, window: number): number {
  const bins = Math.floor(window / 2) + 1;
  if (set === 'har') return 3 * 2 * double * bins;
  if (set === 'motion') return double * window + bins;
  return set === 'spectral' ? double * window + bins : 0;
}

/** Tables and work space of a Fourier transform of this length: firmware/core/src/signal/fourier.c. */
function transformBytes(length: number): number {
  const own = 2 * double * length;
  if (Math.max(...factorsOf(length)) <= largestFactor) return own + stageBytes(length);
  const chirp = smoothFrom(2 * length - 1);
  return own + stageBytes(chirp) + double * (2 * length + 4 * chirp);
}

function stageBytes(length: number): number {
  const odd = factorsOf(length).filter((factor) => factor % 2 === 1 && factor !== 5);
  return double * (4 * length + 2 * Math.max(0, ...odd.map((factor) => factor - 1)));
}

/** Prime factors, the smallest first; [1] for 1. */
function factorsOf(n: number): number[] {
  const factors: number[] = [];
  let rest = n;
  for (let p = 2; p * p <= rest; p++) for (; rest % p === 0; rest /= p) factors.push(p);
  return rest > 1 || factors.length === 0 ? [...factors, rest] : factors;
}

/** The smallest product of twos and fives that is at least `least`. */
function smoothFrom(least: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let fives = 1; fives < 2 * least; fives *= 5) {
    let value = fives;
    while (value < least) value *= 2;
    best = Math.min(best, value);
  }
  return best;
}
