import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readZip } from '../../src/lib/formats/zip.js';
import { packBundle, unpackAny } from '../../src/lib/model/bundle/pack.js';
import { networkBundle } from '../../src/lib/model/publish/push.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { standardize } from '../../src/lib/signal/spec.js';
import { tableBundle } from '../support/any-bundle.js';
import { pushTiny } from '../support/bundle.js';
import { root } from '../support/cli.js';
import { engineKinds } from '../support/engine-kinds.js';
import { ask, type TestGuide, testGuide } from '../support/guide.js';
import { harBundle } from '../support/har-bundle.js';
import { motionSamples } from '../support/motion-bundle.js';
import { motorBundle, motorReadings } from '../support/motor-bundle.js';
import { motorFolder } from '../support/motor-files.js';
import { runProgram, told } from '../support/programs.js';
import { describeReal, python } from '../support/real.js';

const image = engineKinds['kind ds-cnn over images'](seededRandom(5));
/**
 * Bundles for a motor's sensors and for motion, which standardize their inputs, and one for images, which does not, in float32, int8 and
 * float32. The shared motor model is included if it is available.
 */
const bundles: Record<string, Uint8Array> = {
  table: tableBundle('probability', 'float32').bytes,
  har: packBundle(harBundle(motionSamples(1500))),
  image: networkBundle('image', writeTflite(image), 'image.tflite'),
  ...(existsSync(motorFolder) ? { motor: packBundle(motorBundle('f32')) } : {}),
};

interface Quantized {
  zip: string;
  tflite: string;
  inputs: Record<string, number[]>;
  outputs: Record<string, number[]>;
}

/** Returns the inputs: readings of the motor, features of golden vectors, or a random image. */
function inputsOf(content: Uint8Array): Float32Array[] {
  const { info, golden } = unpackAny(content);
  if (info.name === 'motor')
    return motorReadings('test.csv')
      .rows.slice(0, 200)
      .map((row) => Float32Array.from(row));
  const random = seededRandom(1);
  if (golden.length === 0)
    return [Float32Array.from({ length: elementCount(info.input.shape) }, () => gaussian(random))];
  return golden.map(({ features }) => Float32Array.from(features));
}

/** Returns the outputs of our model as real numbers, after the preprocessing that its bundle requires. */
function expectedOf(content: Uint8Array): number[][] {
  const { info, model } = unpackAny(content);
  const ours = withRealValues(readTflite(model));
  return inputsOf(content).map((input) =>
    answer(
      ours,
      info.kind === 'model'
        ? standardize(input, info.standardization, new Float32Array(input.length))
        : input,
    ),
  );
}

function answer(graph: Graph, input: Float32Array): number[] {
  return [...(createInterpreter(graph).invoke(input) as Float32Array)];
}

describeReal('tensorflow', 'the guide’s quantize step on the platform’s trainings', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-guide-quantize-'));
  const at = (place: number, ...parts: string[]) => join(folder, `${place}`, ...parts);
  let own: TestGuide;
  let done: Quantized[];

  beforeAll(async () => {
    own = await testGuide();
    for (const [name, bundle] of Object.entries(bundles))
      await pushTiny(own.client, own.key, { name, bundle });
    await savedModels();
    const script = join(root, 'test/support/python/saved_models.py');
    const args = [script, join(folder, 'jobs.json'), own.urls.models];
    const ran = await runProgram(python('tensorflow'), args, { timeoutMs: 110_000 });
    expect(ran.code, told('python', args, ran)).toBe(0);
    done = JSON.parse(ran.stdout) as Quantized[];
  }, 120_000);
  afterAll(async () => {
    await own?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Extracts the SavedModel of each zip, so that TensorFlow can run it. */
  async function savedModels() {
    const { text } = await ask(own.urls.models, '/full/', { ca: own.ca });
    const zips = [...text.matchAll(/>([^<]+-model\.zip)</g)].map(([, zip]) => zip!);
    for (const [place, zip] of zips.entries()) {
      const { body } = await ask(own.urls.models, `/full/${zip}`, { ca: own.ca });
      const content = Object.values(bundles)[place]!;
      mkdirSync(at(place, 'model'), { recursive: true });
      const name = 'model/saved_model.pb';
      writeFileSync(at(place, name), readZip(body, [name]).get(name)!);
      const inputs = Float32Array.from(inputsOf(content).flatMap((input) => [...input]));
      writeFileSync(at(place, 'input'), new Uint8Array(inputs.buffer));
    }
    writeFileSync(join(folder, 'jobs.json'), JSON.stringify(zips.map((_, place) => at(place))));
  }

  it('finds a SavedModel in each zip, with the names and shapes of its inputs and outputs', () => {
    const classes = elementCount(image.tensors[image.outputs[0]!]!.shape);
    expect(done.slice(0, 3).map(({ inputs, outputs }) => ({ inputs, outputs }))).toEqual([
      { inputs: { t0: [1, 4] }, outputs: { t10: [1, 1] } },
      { inputs: { t0: [1, 60] }, outputs: { t7: [1, 3] } },
      { inputs: { input: image.tensors[image.inputs[0]!]!.shape }, outputs: { answer: [1, classes] } },
    ]);
  });

  it.each(Object.entries(bundles).map(([name, content], place) => ({ name, content, place })))(
    'reproduces the outputs of $name to 1e-5, as does the model it uploads as a version',
    async ({ content, place }) => {
      const expected = expectedOf(content);
      const served = new Float32Array(new Uint8Array(readFileSync(at(place, 'output'))).buffer);
      expectNear([...served], expected.flat());

      const { body } = await ask(own.urls.models, `/quantized/${done[place]!.tflite}`, { ca: own.ca });
      const theirs = readTflite(body);
      expectNear(
        inputsOf(content).flatMap((input) => answer(theirs, input)),
        expected.flat(),
      );
      // All of their names end in -model.tflite.
      expect(await own.client.models.get('model', place + 1)).toMatchObject({
        trusted: false,
        kind: 'upload',
        bytes: body.length,
      });
    },
  );
});

function expectNear(got: number[], expected: number[]) {
  expect(got).toHaveLength(expected.length);
  expect(Math.max(...got.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-5);
}
