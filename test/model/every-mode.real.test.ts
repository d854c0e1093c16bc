import { expect, it } from 'vitest';
import { gaussian, type Random, seededRandom } from '../../src/lib/core/numbers.js';
import { quantizeModes } from '../../src/lib/core/project-schema.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures } from '../support/architectures.js';
import { engineKinds } from '../support/engine-kinds.js';
import { FloatNetwork } from '../support/float-network.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const [networks, runs] = [3, 40];

/**
 * A network whose layers have more than 1,024 weights, because dynamic range leaves smaller ones unchanged.
 */
function wide(random: Random): Graph {
  const n = new FloatNetwork(random);
  let x = n.convolution(n.float([1, 1, 32, 6]), 48, { filter: [1, 5], stride: [1, 2] }, 'relu');
  x = n.depthwise(x, 1, { filter: [1, 23] }, 'relu');
  x = n.overImage(n.convolution(x, 64, { filter: [1, 1] }, 'relu'));
  return n.graph(0, n.softmax(n.dense(n.dense(x, 32, 'relu'), 4)));
}

const makers = { ...architectures, ...engineKinds, wide };
const kinds = Object.keys(makers) as (keyof typeof makers)[];

/** Float models with rows for calibration, and other rows to run. */
const cases = () =>
  kinds.flatMap((kind) =>
    Array.from({ length: networks }, (_, seed) => {
      const random = seededRandom(400 + seed);
      const float = makers[kind](random);
      const size = elementCount(float.tensors[float.inputs[0]!]!.shape);
      const row = () => Float32Array.from({ length: size }, () => gaussian(random));
      const rows = Array.from({ length: 60 }, row);
      const input = Float32Array.from(Array.from({ length: runs }, row).flatMap((values) => [...values]));
      return { kind, float, rows, input, size };
    }),
  );
type Case = ReturnType<typeof cases>[number];

/** The outputs of all runs of the float model. */
function floatAnswers({ float, input, size }: Case): Float32Array {
  const interpreter = createInterpreter(float);
  const answers: number[] = [];
  for (let at = 0; at < input.length; at += size)
    answers.push(...interpreter.invoke(input.subarray(at, at + size)));
  return Float32Array.from(answers);
}

/** Signal-to-noise ratio of `got` in decibels. */
function sqnr(want: Float32Array, got: Float32Array): number {
  const noise = want.reduce((sum, value, i) => sum + (value - got[i]!) ** 2, 1e-30);
  return 10 * Math.log10(want.reduce((sum, value) => sum + value ** 2, 0) / noise);
}

/** The lowest SQNR, in decibels, that each mode's arithmetic may have for any of these models. */
const least = { float32: 90, float16: 50, dynamic: 20, int8: 12, int16x8: 25 };

/** The files of one mode, each with int8 and (in integer modes) float32 inputs and outputs. */
function filesOf(mode: (typeof quantizeModes)[number], all: Case[]) {
  const ends = mode === 'int8' || mode === 'int16x8' ? (['int8', 'float32'] as const) : [undefined];
  return all.flatMap((one) =>
    ends.map((io) => ({ one, io, graph: quantizeGraph(one.float, one.rows, { mode, io }).graph })),
  );
}

const asJob = ({ one, graph }: { one: Case; graph: Graph }) => ({
  graph: writeTflite(graph),
  input: one.input,
  real: true,
});

function expectNearFloat(
  mode: keyof typeof least,
  files: ReturnType<typeof filesOf>,
  outputs: Int8Array[],
): void {
  outputs.forEach((output, index) => {
    const { one, io } = files[index]!;
    const where = `${one.kind} ${index}, ${mode}, ends ${io}`;
    const got = new Float32Array(output.slice().buffer);
    const want = floatAnswers(one);
    expect(got.length, where).toBe(want.length);
    expect(sqnr(want, got), where).toBeGreaterThan(least[mode]);
  });
}

describeReal('litert', 'every mode and model kind in Google’s native LiteRT', () => {
  const all = cases();
  it.each(quantizeModes)('%s loads and closely matches the float model', (mode) => {
    const files = filesOf(mode, all);
    const ran = runInPython('litert', files.map(asJob));
    expectNearFloat(
      mode,
      files,
      ran.map(({ output }) => output),
    );
  });
});

describeReal('tflm', 'every mode and model kind in TFLite Micro', () => {
  const all = cases();
  it.each(['float32', 'int8', 'int16x8'] as const)('%s loads and closely matches the float model', (mode) => {
    const files = filesOf(mode, all);
    const ran = runInPython<{ refused?: string }>('tflm', files.map(asJob));
    expect(ran.flatMap(({ report }) => report.refused ?? [])).toEqual([]);
    expectNearFloat(
      mode,
      files,
      ran.map(({ output }) => output),
    );
  });

  it.each(['float16', 'dynamic'] as const)('%s is rejected if any weight was converted to it', (mode) => {
    const smaller = filesOf(mode, all).filter(({ graph }) =>
      graph.tensors.some(({ type }) => type === (mode === 'float16' ? 'float16' : 'int8')),
    );
    expect(smaller.length).toBeGreaterThan(0);
    for (const { report } of runInPython<{ refused?: string }>('tflm', smaller.map(asJob)))
      expect(report.refused).toContain('failed to allocate tensors');
  });
});
