import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Operator } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { membersOf, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { bundleInfoSchema } from '../../src/lib/model/bundle/schema.js';
import { interfaceOf } from '../../src/lib/model/bundle/signed-bundle.js';
import { root } from '../support/cli.js';
import { answerTables, firmwareBundles } from '../support/firmware-bundles.js';

const folder = join(root, 'firmware', 'test');

it('the firmware’s bundles and predictions match freshly generated ones (npm run golden)', () => {
  const made = firmwareBundles();
  expect(readdirSync(join(folder, 'fixtures', 'bundles')).sort()).toEqual(
    made.map(({ name }) => `${name}.aiot`).sort(),
  );
  for (const { name, bundle, bytes } of made) {
    expect(readFileSync(join(folder, 'fixtures', 'bundles', `${name}.aiot`)).equals(bytes), name).toBe(true);
    expect(checkGolden(bundle).failures).toEqual([]);
  }
  expect(readFileSync(join(folder, 'answers.inc'), 'utf8') === answerTables(made)).toBe(true);
});

it('a quantized model with float32 inputs and outputs needs interface 11, decision trees do not', () => {
  const needed = new Map(firmwareBundles().map(({ name, bundle }) => [name, interfaceOf(bundle)]));
  expect(needed.get('float-ends')).toBe(11);
  expect(needed.get('wide-float-ends')).toBe(11);
  expect(needed.get('costs')).toBe(9);
  expect(needed.get('trees')).toBe(3);
});

it('a quantized model with an operator on float32 needs interface 14', () => {
  const { bundle } = firmwareBundles().find(({ name }) => name === 'float-ends')!;
  const graph = readTflite(bundle.model);
  const made = graph.tensors.length;
  const tensors = [...graph.tensors, { ...graph.tensors[graph.outputs[0]!]!, name: 'negated' }];
  const negate: Operator = { op: 'NEG', inputs: graph.outputs, outputs: [made], options: {} };
  const model = writeTflite({ ...graph, tensors, operators: [...graph.operators, negate], outputs: [made] });
  expect(interfaceOf({ ...bundle, model })).toBe(14);
});

it('a network whose state starts anew in each window needs interface 15', () => {
  const needed = new Map(firmwareBundles().map(({ name, bundle }) => [name, interfaceOf(bundle)]));
  expect(needed.get('window-state')).toBe(15);
  expect(needed.get('stream-state')).toBe(1);
});

it('features of sound whose noise estimate continues in the stream need interface 16, decision trees on them 17', () => {
  const bundles = new Map(firmwareBundles().map(({ name, bundle }) => [name, bundle]));
  expect(interfaceOf(bundles.get('wake')!)).toBe(6);
  const stream = bundles.get('wake-stream')!;
  expect(interfaceOf(stream)).toBe(16);
  expect(interfaceOf({ ...stream, model: bundles.get('trees')!.model })).toBe(17);
});

it('readers that do not know the state of a stream reject its bundle, because it has no coefficients', () => {
  const bundles = new Map(firmwareBundles().map(({ name, bundle }) => [name, bundle]));
  const { signal } = bundleInfoSchema.shape;
  const stream = JSON.parse(JSON.stringify(bundles.get('wake-stream')!.info.signal));
  const window = JSON.parse(JSON.stringify(bundles.get('wake')!.info.signal));
  expect([signal.safeParse(stream).success, signal.safeParse(window).success]).toEqual([true, true]);
  expect(stream.mel).not.toHaveProperty('coefficients');
  const { state: _, ...unknown } = stream.mel;
  for (const mel of [unknown, { ...stream.mel, coefficients: null }, { ...window.mel, state: 'stream' }])
    expect(signal.safeParse({ ...stream, mel }).success).toBe(false);
});

it('a long window of samples needs interface 13, and stores the mean of each field once', () => {
  const { bundle, bytes } = firmwareBundles().find(({ name }) => name === 'long-raw')!;
  expect(interfaceOf(bundle)).toBe(13);
  expect(bundle.info.standardization.mean).toHaveLength(4 * 1025);
  const stored = JSON.parse(Buffer.from(membersOf(bundle)[0]!.data).toString());
  expect(stored.standardization.mean).toEqual(bundle.info.standardization.mean.slice(0, 4));
  expect(unpackBundle(bytes).info.standardization).toEqual(bundle.info.standardization);
});
