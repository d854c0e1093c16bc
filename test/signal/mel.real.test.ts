import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { MelSpec } from '../../src/lib/signal/mel.js';
import { windowFeatures } from '../../src/lib/signal/pipeline.js';
import type { SignalSpec } from '../../src/lib/signal/spec.js';
import { describeReal, python } from '../support/real.js';

/**
 * librosa centers a frame in its transform. Here, the samples around the frame are silence, which leaves the power
 * unchanged.
 */
const script = `
import json, sys
import librosa
import numpy as np

def judged(job):
    mel = job["mel"]
    spare = mel["fftSamples"] - mel["frameSamples"]
    y = np.pad(np.array(job["samples"], dtype=np.float64), (spare // 2, spare - spare // 2))
    power = librosa.feature.melspectrogram(
        y=y, sr=job["rate"], n_fft=mel["fftSamples"], win_length=mel["frameSamples"], hop_length=mel["hopSamples"],
        window="hann", center=False, n_mels=mel["bands"], fmin=mel["lowHz"], fmax=mel["highHz"], dtype=np.float64)
    levels = librosa.power_to_db(power, top_db=None)
    if mel["coefficients"] is not None:
        levels = librosa.feature.mfcc(S=levels, n_mfcc=mel["coefficients"])
    return levels.T.tolist()

print(json.dumps([judged(job) for job in json.load(sys.stdin)]))
`;

interface Job {
  rate: number;
  mel: MelSpec;
  samples: number[];
}

/** Settings of every kind, with sound like speech: a few harmonics that glide, pauses, noise, and an offset. */
function jobs(count: number): Job[] {
  const random = seededRandom(34);
  const whole = (from: number, to: number) => Math.round(from + random() * (to - from));
  return Array.from({ length: count }, (_, n) => {
    const rate = [8000, 16_000, 22_050, 44_100][n % 4]!;
    const frameSamples = whole(rate / 100, rate / 25);
    const bands = whole(8, 40);
    const mel: MelSpec = {
      frameSamples,
      hopSamples: whole(frameSamples / 4, 1.5 * frameSamples),
      fftSamples:
        n % 3 === 0
          ? frameSamples + whole(rate / 40, rate / 30)
          : 2 ** Math.ceil(Math.log2(2 * frameSamples)),
      bands,
      lowHz: n % 2 === 0 ? 0 : whole(10, 300),
      highHz: n % 2 === 0 ? rate / 2 : whole(3000, rate / 2),
      coefficients: n % 2 === 0 ? whole(1, bands) : null,
    };
    const [pitch, glide, offset] = [80 + 200 * random(), 100 * random(), 0.02 * random()];
    const samples = Array.from({ length: Math.round(0.6 * rate) }, (_, i) => {
      const t = i / rate;
      const voiced = t % 0.2 < 0.13 ? 0.3 : 0;
      const harmonics = [1, 2, 3, 5, 8].reduce(
        (sum, k) => sum + Math.sin(2 * Math.PI * k * (pitch * t + glide * t * t)) / k,
        0,
      );
      return Math.round(2 ** 15 * (voiced * harmonics + 0.01 * (random() - 0.5) + offset)) / 2 ** 15;
    });
    return { rate, mel, samples };
  });
}

describeReal('librosa', 'mel features, compared with librosa', () => {
  it('match within 1e-6 dB plus single-precision rounding, for any settings', () => {
    const all = jobs(40).filter(({ rate, mel, samples }) => {
      const spec = specOf(rate, mel, samples.length);
      try {
        windowFeatures(spec, [new Float64Array(samples.length)]);
        return true;
      } catch {
        return false;
      }
    });
    expect(all.length).toBeGreaterThan(20);
    const { stdout, stderr } = spawnSync(python('librosa'), ['-c', script], {
      encoding: 'utf8',
      input: JSON.stringify(all),
      maxBuffer: 2 ** 28,
    });
    expect(stdout, stderr).not.toBe('');
    const judged = JSON.parse(stdout) as number[][][];
    let values = 0;
    all.forEach(({ rate, mel, samples }, n) => {
      const [window] = windowFeatures(specOf(rate, mel, samples.length), [Float64Array.from(samples)]);
      const expected = judged[n]!.flat();
      expect(window!.length).toBe(expected.length);
      expected.forEach((value, i) => {
        values++;
        expect(Math.abs(window![i]! - value), `job ${n}, value ${i}`).toBeLessThan(
          1e-6 + 1.2e-7 * Math.abs(value),
        );
      });
    });
    expect(values).toBeGreaterThan(10_000);
  });
});

function specOf(rate: number, mel: MelSpec, length: number): SignalSpec {
  return {
    fields: ['sound'],
    rateHz: rate,
    lowpassHz: null,
    resampleHz: rate,
    windowSamples: length,
    strideSamples: length,
    features: mel.coefficients === null ? 'logmel' : 'mfcc',
    mel,
  };
}
