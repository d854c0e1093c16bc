import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { createPredictor, labelsOf } from '../../src/lib/model/bundle/predictor.js';
import type { Bundle, BundleInfo } from '../../src/lib/model/bundle/types.js';
import { emitted } from '../../src/lib/model/emit/emit.js';
import { windowFeatures } from '../../src/lib/signal/pipeline.js';
import { buildUsageC, runUsageC, type UsageStep } from '../support/emitted-usage.js';
import { firmwareBundles } from '../support/firmware-bundles.js';
import { describeReal } from '../support/real.js';
import { temporaryFolder } from './support.js';

/** The results of the code that is generated for a bundle's model and settings. */
async function inC({ info, model }: Bundle, folder: string, windows: readonly (Int16Array | Float32Array)[]) {
  await mkdir(folder, { recursive: true });
  const files = emitted('c', {
    ...{ out: folder, graph: readTflite(model), contents: model, name: info.name },
    ...{ classes: info.classes, usage: info },
  });
  for (const [path, text] of files) await writeFile(path, text);
  return await runUsageC(await buildUsageC(folder), info, windows);
}

type Prediction = Pick<UsageStep, 'index' | 'voted'>;

const short = (steps: readonly Prediction[]) => steps.map(({ index, voted }) => [index, voted]);

/** The same from the predictor that loops and virtual devices use. */
function inTypeScript(bundle: Bundle, rows: readonly Float32Array[]): Prediction[] {
  const predictor = createPredictor(bundle);
  const labels = labelsOf(bundle.info);
  return rows.map((features) => {
    const { index, voted } = predictor.answer(features);
    return { index: index!, voted: labels.indexOf(voted!) };
  });
}

/** The stream's windows, and random ones, some of them far away. */
function rowsFor({ signal, standardization: { mean, deviation } }: BundleInfo, stream: number[][]) {
  const random = seededRandom(5);
  const columns = signal.fields.map((_, f) => Float64Array.from(stream, (sample) => sample[f]!));
  const chance = Array.from({ length: 200 }, (_, row) =>
    Float32Array.from(
      mean,
      (value, i) => value + (row % 10 === 0 ? 20 : 1) * deviation[i]! * gaussian(random),
    ),
  );
  return [...windowFeatures(signal, columns), ...chance];
}

/** The bundles of the firmware's tests that decide, and more settings of decisions. */
function bundles() {
  const own = firmwareBundles().filter(
    ({ bundle }) => !['value', 'objects'].includes(bundle.info.answer.kind),
  );
  const changed = (name: string, change: (info: BundleInfo) => Partial<BundleInfo>, as: string) => {
    const found = own.find((each) => each.name === name)!;
    const info = { ...found.bundle.info, ...change(found.bundle.info) };
    return { ...found, name: as, bundle: { ...found.bundle, info } };
  };
  const withoutDistances = ({ answer }: BundleInfo): Partial<BundleInfo> => {
    if (answer.kind !== 'classes' || !answer.reject) throw new Error('expected a rejection');
    return {
      answer: { ...answer, reject: { ...answer.reject, radius: [], center: [], weight: [] } },
      vote: 'average:3',
    };
  };
  const threshold = (of: number) => (): Partial<BundleInfo> => ({
    answer: { kind: 'probability', threshold: of },
  });
  return [
    ...own,
    changed('strangers', withoutDistances, 'least-scores'),
    changed('strangers', () => ({ vote: 'average:5' }), 'average-strangers'),
    changed('motor', threshold(0.2), 'low-threshold'),
    changed('average-motor', threshold(0.85), 'high-threshold'),
  ];
}

describeReal('cc', "C code of a project, with the project's decision", () => {
  it('predicts like a loop on every kind of model: thresholds, costs, rejection, smoothing', async () => {
    const folder = await temporaryFolder();
    const all = bundles().filter(({ bundle }) => bundle.info.signal.features !== 'microfrontend');
    const found = new Map<string, { equal: boolean; predictions: number }>();
    const half = async (rest: number) => {
      for (const { name, bundle, stream } of all.filter((_, i) => i % 2 === rest)) {
        const rows = rowsFor(bundle.info, stream);
        const expected = inTypeScript(bundle, rows);
        const got = await inC(bundle, join(folder, name), rows);
        const equal = JSON.stringify(short(got)) === JSON.stringify(short(expected));
        found.set(name, { equal, predictions: new Set(expected.map(({ index }) => index)).size });
      }
    };
    await Promise.all([half(0), half(1)]);
    expect([...found].filter(([, { equal }]) => !equal)).toEqual([]);
    expect(found.size).toBeGreaterThanOrEqual(20);
    // All of them predict more than one class, otherwise a constant would pass.
    expect([...found].filter(([, { predictions }]) => predictions < 2)).toEqual([]);
  }, 240_000);

  it('computes the features of microfrontend from samples, with and without a state', async () => {
    const folder = await temporaryFolder();
    const random = seededRandom(11);
    for (const { name, bundle } of bundles()) {
      const { signal } = bundle.info;
      if (signal.features !== 'microfrontend') continue;
      // Noise of changing loudness, silence, and overdriven sound.
      const loudness = [0, 20, 3000, 0, 40_000, 300];
      const samples = Int16Array.from({ length: 40 * 60 }, (_, i) =>
        Math.max(-32_768, Math.min(32_767, Math.round(loudness[Math.floor(i / 400)]! * gaussian(random)))),
      );
      const rows = windowFeatures(signal, [Float64Array.from(samples, (value) => value / 32_768)]);
      const windows = rows.map((_, i) =>
        samples.subarray(i * signal.strideSamples, i * signal.strideSamples + signal.windowSamples),
      );
      const got = await inC(bundle, join(folder, name), windows);
      expect(new Set(rows.flatMap((row) => [...row])).size).toBeGreaterThan(50);
      expect(got.map(({ features }) => [...features])).toEqual(rows.map((row) => [...row]));
      expect(short(got)).toEqual(short(inTypeScript(bundle, rows)));
    }
  }, 60_000);
});
