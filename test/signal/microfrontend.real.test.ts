import { spawnSync } from 'node:child_process';
import { beforeAll, expect, it } from 'vitest';
import { gaussian, type Random, seededRandom } from '../../src/lib/core/numbers.js';
import { createPipeline, windowFeatures } from '../../src/lib/signal/pipeline.js';
import type { SignalSpec } from '../../src/lib/signal/spec.js';
import { temporaryFolder } from '../model/support.js';
import { describeReal, python } from '../support/real.js';
import { correctLogarithm } from '../support/wake-words.js';

/** pymicro-features runs TensorFlow Lite Micro's front end, with fixed settings, and multiplies its integers by 0.0390625. */
const script = `
import json, sys
from pymicro_features import MicroFrontend
import array

def judged(samples):
    front = MicroFrontend()
    audio = array.array("h", samples).tobytes()
    frames, at = [], 0
    while at < len(audio):
        out = front.process_samples(audio[at:at + 320])
        at += 2 * out.samples_read
        if out.features:
            frames.append([round(value / 0.0390625) for value in out.features])
    return frames

print(json.dumps([judged(sound) for sound in json.load(sys.stdin)]))
`;

const rateHz = 16_000;

/** One second each: speech-like glides, tones, clicks, noise, silence, and overdriven, quiet or offset sound. */
function sounds(random: Random): number[][] {
  const clip = (value: number) => Math.max(-32_768, Math.min(32_767, Math.round(value)));
  const of = (make: (i: number) => number) => Array.from({ length: rateHz }, (_, i) => clip(make(i)));
  const tone = (hz: number, i: number) => Math.sin((2 * Math.PI * hz * i) / rateHz);
  const speech = (level: number) => {
    const pitch = 90 + 150 * random();
    return of((i) => {
      const voiced = (i / rateHz) % 0.25 < 0.17 ? 1 : 0;
      const harmonics = [1, 2, 3, 5, 8, 13].reduce(
        (sum, k) => sum + tone(k * (pitch + (40 * i) / rateHz), i) / k,
        0,
      );
      return level * (voiced * harmonics + 0.02 * gaussian(random));
    });
  };
  return [
    ...[9000, 4000, 600, 40, 3, 60_000].map(speech),
    ...[100, 440, 1000, 3999, 7400].map((hz) => of((i) => 32_767 * tone(hz, i))),
    of((i) => (tone(700, i) > 0 ? 32_767 : -32_768)),
    of((i) => (i % 1600 === 0 ? 32_767 : 0)),
    of(() => 12_000 * gaussian(random)),
    of(() => 2 * gaussian(random)),
    of(() => 0),
    of(() => -32_768),
    of((i) => (i < 8000 ? 0 : 20_000 * tone(1500, i))),
    of((i) => 20_000 + 500 * tone(250, i)),
  ];
}

const spec: SignalSpec = {
  ...{ fields: ['sound'], rateHz, lowpassHz: null, resampleHz: rateHz },
  ...{ windowSamples: rateHz, strideSamples: rateHz, features: 'microfrontend' },
  mel: {
    ...{ frameSamples: 480, hopSamples: 160, fftSamples: 512, bands: 40 },
    ...{ lowHz: 125, highHz: 7500, coefficients: null },
  },
};

const all = [11, 12, 13].flatMap((seed) => sounds(seededRandom(seed)));

/** The original's frames for each sound. @param preload a library whose functions replace those of the C library */
function judge(preload?: string, sounds = all): number[][][] {
  const { stdout, stderr } = spawnSync(python('wakeword'), ['-c', script], {
    encoding: 'utf8',
    input: JSON.stringify(sounds),
    maxBuffer: 2 ** 28,
    env: { ...process.env, ...(preload && { LD_PRELOAD: preload }) },
  });
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout);
}

const featuresOf = (samples: number[]) =>
  Array.from(windowFeatures(spec, [Float64Array.from(samples, (value) => value / 32_768)])[0]!);

/** The values of one stream, in windows of some frames. */
function streamedIn(samples: readonly number[], frames: number, hops: number): number[] {
  const pipeline = createPipeline({
    ...spec,
    ...{ windowSamples: 480 + 160 * (frames - 1), strideSamples: 160 * hops },
    mel: { ...spec.mel!, state: 'stream' },
  });
  let before = 0;
  return samples.flatMap((sample) => {
    const window = pipeline.push([sample / 32_768]);
    if (!window) return [];
    const from = before++ === 0 ? 0 : (frames - hops) * 40;
    return Array.from(window.subarray(from));
  });
}

describeReal('wakeword', 'the micro front end, compared with that of TensorFlow Lite Micro', () => {
  it('differs at most by the logarithm of the C library, in one value of 10,000', () => {
    let [values, differing] = [0, 0];
    judge().forEach((frames, n) => {
      const own = featuresOf(all[n]!);
      expect(own).toHaveLength(frames.flat().length);
      frames.flat().forEach((value, i) => {
        values++;
        if (value !== own[i]) differing++;
      });
    });
    expect(values).toBe(98 * 40 * all.length);
    expect(differing).toBeLessThan(values / 10_000);
  });

  describeReal('cc', 'with a logarithm that is rounded correctly', () => {
    let library: string;

    beforeAll(async () => {
      library = correctLogarithm(await temporaryFolder());
    });

    it('computes the same integers for every kind of sound', () => {
      judge(library).forEach((frames, n) => {
        expect(featuresOf(all[n]!), `sound ${n}`).toEqual(frames.flat());
      });
    });

    it('computes the same integers over a stream of all sounds, in windows of any length', () => {
      const stream = all.flat();
      const [frames] = judge(library, [stream]);
      expect(frames).toHaveLength(1 + (stream.length - 480) / 160);
      for (const [count, hops] of [
        [3, 3],
        [98, 20],
      ] as const) {
        const own = streamedIn(stream, count, hops);
        expect(own.length).toBeGreaterThan((frames!.length - hops) * 40);
        expect(own).toEqual(frames!.flat().slice(0, own.length));
      }
    });
  });
});
