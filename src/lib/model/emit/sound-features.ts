import { frameCount, type MelSpec } from '../../signal/mel.js';
import { microTables, RealTransform } from '../../signal/microfrontend.js';
import type { SignalSpec } from '../../signal/spec.js';
import { type Helper, table } from './piece.js';
import type { UsagePart } from './usage.js';

/** Functions of the audio front end's operators that `soundPart` calls. */
export const soundHelpers: readonly Helper[] = [
  'wrapped',
  'bitsOf',
  'origin',
  'fourier',
  'root',
  'gain',
  'logarithm',
];

/** Whether generated C code computes the features: `microfrontend` of samples that no filter changes. */
export function hasSoundPart({ features, rateHz, resampleHz, lowpassHz }: SignalSpec): boolean {
  return features === 'microfrontend' && rateHz === resampleHz && lowpassHz === null;
}

/** A C function that computes the features of a window from its samples, like `microSet`. */
export function soundPart(signal: SignalSpec): UsagePart {
  const mel = signal.mel!;
  const { windowSamples, strideSamples } = signal;
  const { bands, fftSamples, frameSamples, hopSamples } = mel;
  const isStream = mel.state === 'stream';
  const frames = frameCount(signal, mel);
  const shared = isStream ? frames - strideSamples / hopSamples : 0;
  const about = isStream
    ? 'The noise estimate continues from window to window, so pass every window of a recording once, in order.'
    : 'Windows do not depend on each other.';
  const kept = `known * ${bands}`;
  const reuse = `  /* Frames that the previous window contains. */
  memcpy(features, known_rows, (size_t)(${kept}) * sizeof *features);
`;
  const keep = `  memcpy(known_rows, features + ${(frames - shared) * bands}, sizeof known_rows);
  known = ${shared};
`;
  return {
    declarations: [
      `#define MODEL_WINDOW_SAMPLES ${windowSamples}
/* Distance between the starts of consecutive windows. */
#define MODEL_STRIDE_SAMPLES ${strideSamples}
/*
 * Computes the features of a window of MODEL_WINDOW_SAMPLES samples of sound at ${signal.rateHz} Hz: MODEL_INPUT_COUNT values, for model_encode.
 * ${about}
 */
void model_features(const int16_t *samples, float *features);`,
    ],
    definitions: [
      tablesText(mel, signal.resampleHz),
      frameText(mel, signal.resampleHz),
      `${shared > 0 ? `static float known_rows[${shared * bands}];\nstatic int known;\n\n` : ''}void model_features(const int16_t *samples, float *features) {
${isStream ? '' : '  memset(sound_noise, 0, sizeof sound_noise);\n'}${shared > 0 ? reuse : ''}  for (int row = ${shared > 0 ? 'known' : '0'}; row < ${frames}; row++) sound_frame(samples + ${hopSamples} * row, features + ${bands} * row);
${shared > 0 ? keep : ''}}`,
    ],
    resets: isStream
      ? ['memset(sound_noise, 0, sizeof sound_noise);', ...(shared > 0 ? ['known = 0;'] : [])]
      : [],
    bytes: 2 * frameSamples + 2 * (fftSamples + 2) + 4 * bands + (shared > 0 ? 4 * shared * bands + 4 : 0),
  };
}

function tablesText(mel: MelSpec, rateHz: number): string {
  const { taper, bins, gains } = microTables(mel, rateHz);
  const { inner, outer } = new RealTransform(mel.fftSamples);
  const pairs = ({ re, im }: typeof inner) => Array.from(re, (value, i) => [value, im[i]!]).flat();
  const weights = (part: 'rising' | 'falling') => bins.flatMap((bin) => [...bin[part]]);
  const ends = bins.map(({ first, rising }) => first + rising.length);
  return `/* The audio front end's window, rotations, filters and gains. */
${table('int16_t', 'sound_window', taper)}
${table('int16_t', 'sound_inner', pairs(inner))}
${table('int16_t', 'sound_outer', pairs(outer))}
/* For each edge of a band, the bin after its last one, and the weights of its bins in the band above and below. */
${table('int16_t', 'sound_ends', ends)}
${table('int16_t', 'sound_rising', weights('rising'))}
${table('int16_t', 'sound_falling', weights('falling'))}
${table('int16_t', 'sound_gains', gains)}`;
}

function frameText(mel: MelSpec, rateHz: number): string {
  const { frameSamples, fftSamples, bands } = mel;
  const { bins, snrShift, correctionBits, noise, logScale } = microTables(mel, rateHz);
  const [even, odd] = [noise.shares[0]!, noise.shares[1]!];
  return `static int16_t sound_samples[${frameSamples}], sound_spectrum[${fftSamples + 2}];
static uint32_t sound_noise[${bands}];

/* The feature of a band, from its level. Removes the noise, whose estimate follows the level. */
static float sound_feature(uint32_t level, int band) {
  const uint32_t fresh = band % 2 ? ${odd[0]} : ${even[0]}, past = band % 2 ? ${odd[1]} : ${even[1]};
  const uint32_t scaled = level << ${noise.smoothingBits};
  const uint32_t estimate = (uint32_t)(((uint64_t)scaled * fresh + (uint64_t)sound_noise[band] * past) >> ${noise.shareBits});
  sound_noise[band] = estimate;
  const uint32_t rest = (scaled - (estimate < scaled ? estimate : scaled)) >> ${noise.smoothingBits};
  const uint32_t least = (uint32_t)((uint64_t)level * ${noise.remaining}u >> ${noise.shareBits});
  const uint64_t signal = rest > least ? rest : least;
  const uint64_t ratio = signal * (uint32_t)gain_of(estimate, sound_gains) >> ${snrShift};
  const uint32_t normal = ratio < 8192 ? shrunk((uint32_t)ratio) : (uint32_t)((ratio >> 6) - 64);
  const uint32_t value = normal << ${correctionBits};
  const uint32_t logarithm = value > 1 ? scaled_logarithm(value, ${logScale}) : 0;
  return (float)(logarithm < UINT16_MAX ? logarithm : UINT16_MAX);
}

static void sound_frame(const int16_t *x, float *y) {
  int32_t most = 0;
  for (int i = 0; i < ${frameSamples}; i++) {
    const int32_t sample = (x[i] * sound_window[i]) >> 12, size = wrapped(sample < 0 ? -sample : sample);
    sound_samples[i] = wrapped(sample);
    if (size > most) most = size;
  }
  const int shift = 15 - bits_of((uint32_t)most);
  for (int i = 0; i < ${frameSamples}; i++) sound_samples[i] = wrapped((int32_t)((uint32_t)(int32_t)sound_samples[i] << shift));
  fourier(sound_samples, ${frameSamples}, sound_spectrum, ${fftSamples / 2}, sound_inner, sound_outer);
  uint64_t falling = 0;
  int bin = ${bins[0]!.first};
  for (int edge = 0; edge <= ${bands}; edge++) {
    uint64_t sum = falling;
    falling = 0;
    for (; bin < sound_ends[edge]; bin++) {
      const int32_t re = sound_spectrum[2 * bin], im = sound_spectrum[2 * bin + 1];
      const uint64_t energy = (uint64_t)((int64_t)re * re + (int64_t)im * im);
      sum += (uint64_t)sound_rising[bin - ${bins[0]!.first}] * energy;
      falling += (uint64_t)sound_falling[bin - ${bins[0]!.first}] * energy;
    }
    if (edge > 0) y[edge - 1] = sound_feature(rounded_root(sum) >> shift, edge - 1);
  }
}`;
}
