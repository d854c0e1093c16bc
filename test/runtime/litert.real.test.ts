import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { createInterpreter, hasKernel } from '../../src/lib/runtime/interpreter/interpreter.js';
import { chanceInputs } from '../support/every-tensor.js';
import { GraphBuilder } from '../support/graph-builder.js';
import { motorFile } from '../support/motor-files.js';
import { cnn, mlp } from '../support/networks.js';
import { batchGraph, oneOpGraphs } from '../support/one-op-graphs.js';
import { inOneProcess } from '../support/one-process.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

interface Signatures {
  signatures: Record<string, { inputs: string[]; outputs: string[] }>;
}

describeReal('litert', 'files written by aiot, in Google’s native LiteRT', () => {
  // Number of steps that LiteRT's reference kernels may differ by, because they round FC and the tables in floating point.
  const steps = (op: OperatorName) =>
    op === 'FULLY_CONNECTED' || op === 'LOGISTIC' || op === 'TANH' ? 1 : 0;

  // LiteRT's SUM wraps where TFLite Micro saturates, and its reference resolver does not register this use of ELU. For an
  // integer LSTM, LiteRT needs intermediate tensors, which TFLite Micro does not use and aiot's files do not have. LiteRT
  // does not run an integer SVDF without a fused RELU.
  const different: OperatorName[] = ['ELU', 'SUM', 'SVDF', 'UNIDIRECTIONAL_SEQUENCE_LSTM'];
  const operators = (Object.keys(oneOpGraphs) as OperatorName[]).filter((op) => !different.includes(op));
  const answersTo = inOneProcess(
    operators,
    (op) => {
      const random = seededRandom(21);
      return Array.from({ length: 25 }, () => {
        const graph = oneOpGraphs[op]!(random);
        return { graph, input: chanceInputs(graph, random, 1), reference: true };
      });
    },
    (jobs) => runInPython<Signatures>('litert', jobs),
  );
  it.each(operators)('%s loads and gives the device’s outputs within one step', (op) => {
    answersTo(op).forEach(({ job, answer }, index) => {
      const want = createInterpreter(job.graph).invoke(job.input);
      const worst = Math.max(...answer.output.map((value, i) => Math.abs(value - want[i]!)));
      expect(worst, `${op} ${index}`).toBeLessThanOrEqual(steps(op));
    });
  });

  it('a padded SPACE_TO_BATCH_ND has the zero point around the image', () => {
    const random = seededRandom(24);
    const jobs = Array.from({ length: 25 }, () => {
      const graph = batchGraph(new GraphBuilder(random), 'SPACE_TO_BATCH_ND', true);
      return { graph, input: chanceInputs(graph, random, 1) as Int8Array, reference: true };
    });
    runInPython('litert', jobs).forEach(({ output }, index) => {
      const { graph, input } = jobs[index]!;
      expect([...output], `${index}`).toEqual([...createInterpreter(graph).invoke(input)]);
    });
  });

  // Operators that can differ because of floating point in FC, single-precision ratios, or a different exponential.
  const wideSteps = ['FULLY_CONNECTED', 'LEAKY_RELU', 'RELU', 'SOFTMAX', 'MUL'];
  // LiteRT has no int16 kernel for SQUARED_DIFFERENCE. Its RSQRT on int16 interpolates in a table, unlike TFLite Micro's, which is exact.
  const beyond: OperatorName[] = ['SQUARED_DIFFERENCE', 'RSQRT'];
  const wide = operators.filter((op) => hasKernel(op, 'int16') && !beyond.includes(op));
  const wideAnswersTo = inOneProcess(
    wide,
    (op) => {
      const random = seededRandom(22);
      return Array.from({ length: 12 }, () => {
        const graph = oneOpGraphs[op]!(random, 'int16');
        return { graph, input: chanceInputs(graph, random, 1), reference: true };
      });
    },
    (jobs) => runInPython<Signatures>('litert', jobs),
  );
  it.each(wide)('%s with int16 loads and gives the device’s outputs within one step', (op) => {
    wideAnswersTo(op).forEach(({ job, answer }, index) => {
      const want = createInterpreter(job.graph).invoke(job.input);
      const got = new Int16Array(answer.output.buffer);
      expect(got.length).toBe(want.length);
      const worst = Math.max(...got.map((value, i) => Math.abs(value - want[i]!)));
      expect(worst, `${op} ${index}`).toBeLessThanOrEqual(wideSteps.includes(op) ? 1 : 0);
    });
  });

  it('whole models load with their signature', () => {
    const random = seededRandom(1);
    const jobs = [mlp(random, [8, 24, 5]), cnn(random)].map((graph) => {
      const size = elementCount(graph.tensors[0]!.shape);
      return { graph, input: Int8Array.from({ length: size * 50 }, () => Math.floor(random() * 256) - 128) };
    });
    runInPython<Signatures>('litert', jobs).forEach(({ output, report }, index) => {
      const { graph, input } = jobs[index]!;
      expect(report.signatures).toEqual({
        serving_default: { inputs: ['t0'], outputs: [graph.tensors[graph.outputs[0]!]!.name] },
      });
      const interpreter = createInterpreter(graph);
      const size = input.length / 50;
      const device = Array.from({ length: 50 }, (_, run) => [
        ...interpreter.invoke(input.subarray(run * size, (run + 1) * size)),
      ]).flat();
      const same = output.filter((value, i) => Math.abs(value - device[i]!) <= 1).length;
      expect(same / output.length).toBeGreaterThan(0.95);
    });
  });
});

describe('rewritten third-party files', () => {
  describeReal('litert', 'in native LiteRT', () => {
    it.each(['f32', 'dyn', 'f16', 'int8', 'i16x8', 'har_cnn_f32', 'har_cnn_int8'])(
      '%s gives the same output bytes as before',
      (name) => {
        const file = motorFile(`${name}.tflite`);
        const graph = readTflite(file);
        const { shape, type } = graph.tensors[graph.inputs[0]!]!;
        const random = seededRandom(9);
        const count = elementCount(shape) * 50;
        const floats = Float32Array.from({ length: count }, () => random() * 6 - 3);
        const bytes = Int8Array.from(
          { length: count * (type === 'int16' ? 2 : 1) },
          () => random() * 256 - 128,
        );
        const input = type === 'float32' ? floats : bytes;
        const [before, after] = runInPython<Signatures>('litert', [
          { graph: file, input },
          { graph, input },
        ]);
        expect(after!.output).toEqual(before!.output);
      },
    );
  });
});
