import { gaussian, type Random } from '../core/numbers.js';
import { resampled } from './band-limited.js';

/** Kinds of generated noise: spectra that are flat, 1/f and 1/f², a machine's hum, and many voices at once. */
export const noiseKinds = ['white', 'pink', 'brown', 'hum', 'murmur'] as const;

export type NoiseKind = (typeof noiseKinds)[number];

/** Noise of one kind, with a mean power of 1. */
export function noiseOf(kind: NoiseKind, samples: number, rateHz: number, random: Random): Float64Array {
  const white = Float64Array.from({ length: samples }, () => gaussian(random));
  switch (kind) {
    case 'white':
      return atPower(white, 1);
    case 'pink':
      return atPower(pinkOf(white), 1);
    case 'brown':
      return atPower(brownOf(white, rateHz), 1);
    case 'hum':
      return atPower(humOf(white, rateHz, random), 1);
    case 'murmur':
      return atPower(murmurOf(white, rateHz, random), 1);
  }
}

/** White noise through three one-pole filters, which approximate 1/f within 0.5 dB at 44.1 kHz (P. Kellet, 1999). */
function pinkOf(white: Float64Array): Float64Array {
  let [a, b, c] = [0, 0, 0];
  return white.map((value) => {
    a = 0.99765 * a + 0.099046 * value;
    b = 0.963 * b + 0.2965164 * value;
    c = 0.57 * c + 1.0526913 * value;
    return a + b + c + 0.1848 * value;
  });
}

/** White noise through a first-order low-pass filter with a cutoff of 40 Hz; its power falls as 1/f² above that. */
function brownOf(white: Float64Array, rateHz: number): Float64Array {
  const keep = Math.exp((-2 * Math.PI * 40) / rateHz);
  let sum = 0;
  return white.map((value) => {
    sum = keep * sum + value;
    return sum;
  });
}

/** A tone of 40 to 70 Hz with harmonics of random strength, and a little noise. */
function humOf(white: Float64Array, rateHz: number, random: Random): Float64Array {
  const hz = 40 + 30 * random();
  const tones = Array.from({ length: 12 }, (_, i) => ({
    step: (2 * Math.PI * hz * (i + 1)) / rateHz,
    phase: 2 * Math.PI * random(),
    size: random() / (i + 1),
  }));
  return white.map(
    (value, n) =>
      0.1 * value + tones.reduce((sum, { step, phase, size }) => sum + size * Math.sin(phase + step * n), 0),
  );
}

/** Bands of noise at the first formants of vowels. Each band's loudness changes a few times a second, as in a room full of people. */
function murmurOf(white: Float64Array, rateHz: number, random: Random): Float64Array {
  const out = new Float64Array(white.length);
  const dull = pinkOf(white);
  for (let voice = 0; voice < 6; voice++) {
    const hz = Math.min(300 + 1700 * random(), 0.45 * rateHz);
    const [radius, turn] = [Math.exp((-Math.PI * 150) / rateHz), (2 * Math.PI * hz) / rateHz];
    const [syllable, phase] = [2 + 4 * random(), 2 * Math.PI * random()];
    let [before, last] = [0, 0];
    for (let n = 0; n < out.length; n++) {
      const now = 2 * radius * Math.cos(turn) * last - radius * radius * before + dull[n]!;
      [before, last] = [last, now];
      const loud = 0.5 + 0.5 * Math.sin(phase + (2 * Math.PI * syllable * n) / rateHz);
      out[n]! += now * loud * loud;
    }
  }
  return out;
}

/** Mean of the squared samples; 0 if there are none. */
export function powerOf(sound: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < sound.length; i++) sum += sound[i]! * sound[i]!;
  return sound.length === 0 ? 0 : sum / sound.length;
}

/** The sound scaled to a mean power; silence stays silent. */
function atPower(sound: Float64Array, power: number): Float64Array {
  const own = powerOf(sound);
  const factor = own > 0 ? Math.sqrt(power / own) : 0;
  return sound.map((value) => value * factor);
}

/**
 * Adds noise at a signal-to-noise ratio.
 * @param noise noise, at least as long as the sound @param power the signal's power: the mean over the sound, unless only part of the sound
 * is the signal
 */
export function mixedAtSnr(
  sound: Float64Array,
  noise: Float64Array,
  snrDb: number,
  power = powerOf(sound),
): Float64Array {
  const own = powerOf(noise);
  const factor = own > 0 ? Math.sqrt(power / own / 10 ** (snrDb / 10)) : 0;
  return sound.map((value, i) => value + factor * noise[i]!);
}

/** The sound shifted by a number of samples (later if positive). Both ends are filled with the end values. */
export function shifted(sound: Float64Array, samples: number): Float64Array {
  const last = sound.length - 1;
  return sound.map((_, i) => sound[Math.min(last, Math.max(0, i - samples))]!);
}

/** The sound played faster (above 1) or slower at the same rate, which changes its pitch and length. */
export function atSpeed(sound: Float64Array, speed: number): Float64Array {
  return resampled([sound], speed, 1)[0]!;
}

/** A sound of exactly this length: the middle of the sound, or the whole sound between copies of its end values. */
export function centered(sound: Float64Array, length: number): Float64Array {
  const from = Math.floor((sound.length - length) / 2);
  const last = sound.length - 1;
  return Float64Array.from({ length }, (_, i) => sound[Math.min(last, Math.max(0, i + from))]!);
}

/** Pulses per second in a generated room's impulse response: dense enough to sound smooth. */
const pulsesPerSecond = 1500;

/**
 * The sound in a generated room: the direct sound, and an exponentially decaying sequence of pulses with random signs and positions.
 * ("Velvet noise"; Karjalainen and Järveläinen, "Reverberation Modeling Using Velvet Noise", AES 30, 2007.)
 * @param seconds time until the reverberation has decayed by 60 dB
 * @param share power of the reverberation, as a share of the direct sound's power
 */
export function reverberated(
  sound: Float64Array,
  rateHz: number,
  { seconds, share, random }: { seconds: number; share: number; random: Random },
): Float64Array {
  const spacing = rateHz / pulsesPerSecond;
  const count = Math.floor(seconds * pulsesPerSecond);
  const pulses = Array.from({ length: count }, (_, i) => {
    const at = Math.max(1, Math.floor((i + random()) * spacing));
    const size = 10 ** ((-3 * at) / (seconds * rateHz));
    return { at, size: random() < 0.5 ? size : -size };
  });
  const power = pulses.reduce((sum, { size }) => sum + size * size, 0);
  const factor = power > 0 ? Math.sqrt(share / power) : 0;
  const out = sound.slice();
  for (const { at, size } of pulses)
    for (let n = at; n < out.length; n++) out[n]! += factor * size * sound[n - at]!;
  return out;
}
