import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import type { NetworkMode } from '../../src/lib/formats/manifest/manifest.js';
import { importTflite, readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { endOf } from '../../src/lib/model/bundle/ends.js';
import { unpackAny } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { metadataOf } from '../../src/lib/model/file-metadata.js';
import { guideNetwork, guideSavedModel, standardizing } from '../../src/lib/model/publish/guide.js';
import { networkBundle } from '../../src/lib/model/publish/push.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView } from '../../src/lib/runtime/litert.js';
import { tableBundle, tableNetwork, tableRows } from '../support/any-bundle.js';
import { tinyBundle } from '../support/bundle.js';
import { FloatNetwork } from '../support/float-network.js';
import { harBundle } from '../support/har-bundle.js';
import { motionSamples } from '../support/motion-bundle.js';

const rows = tableRows(50, 7);

function answers(tflite: Uint8Array, inputs: readonly (readonly number[])[]): number[] {
  const interpreter = createInterpreter(readTflite(tflite));
  return inputs.flatMap((input) => [...(interpreter.invoke(Float32Array.from(input)) as Float32Array)]);
}

function expectNear(got: readonly number[], expected: readonly number[]) {
  expect(got).toHaveLength(expected.length);
  expect(Math.max(...got.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-5);
}

describe('a model in the guide’s format', () => {
  it.each(['float32', 'float16', 'int8', 'int16x8', 'mixed'] as NetworkMode[])(
    'accepts raw readings in mode %s',
    (mode) => {
      const { bundle } = tableBundle('probability', mode);
      const predictor = createPredictor(bundle);
      const expected = rows.map((row) => predictor.answer(row).value!);
      const shown = guideNetwork(bundle);
      expectNear(answers(shown, rows), expected);
      // Standardized readings give different outputs.
      const { mean, deviation } = bundle.info.standardization;
      const standardized = rows.map((row) => row.map((x, i) => (x - mean[i]!) / deviation[i]!));
      const wrong = answers(shown, standardized).map((value, i) => Math.abs(value - expected[i]!));
      expect(Math.max(...wrong)).toBeGreaterThan(0.01);
      const names = (bytes: Uint8Array) => {
        const { tensors, inputs } = readTflite(bytes);
        return inputs.map((index) => tensors[index]!.name.replace('/float', ''));
      };
      expect(names(shown)).toEqual(names(bundle.model));
    },
  );

  it('accepts unstandardized features if its inputs are features', () => {
    const har = harBundle(motionSamples(1500));
    const network = new FloatNetwork(seededRandom(2));
    const input = network.float([1, 60]);
    const graph = network.graph(input, network.softmax(network.dense(network.dense(input, 8, 'relu'), 3)));
    const ends = { input: endOf(graph, 'inputs'), output: endOf(graph, 'outputs') };
    const { mean } = har.info.standardization;
    // In random motion, some features vary hardly more than single precision can distinguish.
    const deviation = har.info.standardization.deviation.map((d, i) => Math.max(d, Math.abs(mean[i]!) / 50));
    const info = { ...har.info, ...ends, standardization: { mean, deviation } };
    const bundle = { ...har, info, model: writeTflite(graph) };
    const random = seededRandom(4);
    const features = Array.from({ length: 20 }, () =>
      mean.map((m, i) => Math.fround(m + deviation[i]! * gaussian(random))),
    );
    const predictor = createPredictor(bundle);
    expectNear(
      answers(guideNetwork(bundle), features),
      features.flatMap((row) => predictor.answer(row).scores),
    );
  });

  it('gets no extra operators if nothing is standardized', () => {
    const tiny = unpackAny(tinyBundle());
    const alone = unpackAny(networkBundle('alone', writeTflite(tableNetwork('value')), 'alone.tflite'));
    for (const bundle of [tiny, alone]) {
      const plain = writeTflite(floatView(readTflite(bundle.model)));
      expect(guideNetwork(bundle).subarray(0, plain.length)).toEqual(plain);
      expect(Buffer.from(guideSavedModel(bundle)).includes('/standardized')).toBe(false);
    }
  });

  it('applies the standardization in a file’s metadata, and removes the metadata', () => {
    const { bundle } = tableBundle('value', 'float32');
    const { info, model } = bundle;
    const network = { output: { kind: 'value' } } as Parameters<typeof metadataOf>[0]['network'];
    const metadata = metadataOf({
      model: 'alone',
      classes: [],
      standardization: info.standardization,
      network,
    });
    const file = writeTflite(readTflite(model), { metadata });
    const alone = unpackAny(networkBundle('alone', file, 'alone.tflite'));
    const shown = guideNetwork(alone);
    const predictor = createPredictor(bundle);
    expectNear(
      answers(shown, rows),
      rows.map((row) => predictor.answer(row).value!),
    );
    expect(importTflite(shown).metadata).toBeNull();
    expect(Buffer.from(guideSavedModel(alone)).includes('/standardized')).toBe(true);
  });

  it('preserves a small deviation around a large mean', () => {
    const graph = tableNetwork('value');
    const [mean, deviation] = [
      [101_325, 101_325, 101_325, 101_325],
      [4, 4, 4, 4],
    ];
    const readings = rows.map((_, i) => [101_320 + (i % 11), 101_325, 101_329, 101_324.5]);
    expectNear(
      answers(writeTflite(standardizing(graph, { mean, deviation })), readings),
      answers(
        writeTflite(graph),
        readings.map((reading) => reading.map((x) => (x - 101_325) / 4)),
      ),
    );
  });
});
