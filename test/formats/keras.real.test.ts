import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { quantizeModes } from '../../src/lib/core/project-schema.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { prepareGraph, quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const rows = 16;

describeReal(
  'tensorflow',
  'float files converted by TensorFlow from Keras models with a dynamic batch size',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'aiot-keras-'));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    beforeAll(() => {
      const script = join(root, 'test', 'support', 'python', 'keras_files.py');
      execFileSync(python('tensorflow'), [script, folder], { stdio: 'pipe' });
    });
    const file = (name: string, kind: string) => readFileSync(join(folder, `${name}.${kind}`));
    const floats = (name: string, kind: string) => new Float32Array(new Uint8Array(file(name, kind)).buffer);
    const rowsOf = (values: Float32Array) =>
      Array.from({ length: rows }, (_, i) =>
        values.subarray((i * values.length) / rows, ((i + 1) * values.length) / rows),
      );

    const read: [name: string, operators: string][] = [
      ['mlp', 'FULLY_CONNECTED FULLY_CONNECTED LOGISTIC'],
      // Conv1D is EXPAND_DIMS, CONV_2D and RESHAPE in the file; the operators between layers are folded.
      ['conv1d', 'EXPAND_DIMS CONV_2D MAX_POOL_2D CONV_2D FULLY_CONNECTED SOFTMAX'],
      ['conv1d_float16', 'EXPAND_DIMS CONV_2D MAX_POOL_2D CONV_2D FULLY_CONNECTED SOFTMAX'],
      ['batch_norm', 'EXPAND_DIMS CONV_2D DEPTHWISE_CONV_2D CONV_2D RESHAPE MEAN FULLY_CONNECTED'],
      ['batch_norm_float16', 'EXPAND_DIMS CONV_2D DEPTHWISE_CONV_2D CONV_2D RESHAPE MEAN FULLY_CONNECTED'],
      ['norm_after_relu', 'FULLY_CONNECTED MUL ADD FULLY_CONNECTED'],
      ['conv2d', 'PAD CONV_2D LEAKY_RELU DEPTHWISE_CONV_2D TANH AVERAGE_POOL_2D FULLY_CONNECTED SOFTMAX'],
      // The file contains the shape of one step, although the model has ten.
      ['dense_on_steps', 'FULLY_CONNECTED FULLY_CONNECTED'],
      [
        'residual',
        'EXPAND_DIMS CONV_2D CONV_2D ADD RESHAPE MEAN REDUCE_MAX CONCATENATION FULLY_CONNECTED SOFTMAX',
      ],
      ['permute', 'TRANSPOSE RESHAPE CONV_2D FULLY_CONNECTED'],
      // The file contains SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND around the convolution.
      ['dilated', 'EXPAND_DIMS CONV_2D RESHAPE MEAN FULLY_CONNECTED'],
    ];

    it.each(read)(
      '%s is read and folded, and predicts the same as TensorFlow’s interpreter',
      (name, operators) => {
        const { graph, notes } = importTflite(file(name, 'tflite'));
        expect(notes[0]).toMatch(/has the dynamic shape \[-1,.*its batch is fixed to 1$/);
        const prepared = prepareGraph(graph);
        expect(prepared.operators.map(({ op }) => op).join(' ')).toBe(operators);
        const interpreter = createInterpreter(prepared);
        const answers = rowsOf(floats(name, 'x')).flatMap((row) => [...interpreter.invoke(row)]);
        const want = floats(name, 'y');
        expect(answers).toHaveLength(want.length);
        answers.forEach((value, i) => {
          expect(Math.abs(value - want[i]!)).toBeLessThan(1e-5);
        });
      },
    );

    it.each([
      [
        'lstm',
        /^operator \d+: CUSTOM \(part of an LSTM or GRU\) FlexTensorListReserve is not supported: use convolutions over time/,
      ],
      ['gelu', /^operator \d+: GELU is not supported: use RELU or LEAKY_RELU$/],
    ])('%s is rejected with the operator’s index, name and possible replacement', (name, message) => {
      expect(() => importTflite(file(name, 'tflite'))).toThrow(message);
    });

    describeReal('litert', 'quantized models in LiteRT', () => {
      it.each(quantizeModes)('run in %s with a sufficient signal-to-noise ratio', (mode) => {
        const jobs = read.map(([name]) => {
          const { graph } = importTflite(file(name, 'tflite'));
          const { graph: quantized } = quantizeGraph(graph, rowsOf(floats(name, 'x')), { mode });
          return { graph: writeTflite(quantized), input: floats(name, 'x'), real: true };
        });
        runInPython('litert', jobs).forEach(({ output }, at) => {
          const [name] = read[at]!;
          const [got, want] = [new Float32Array(output.slice().buffer), floats(name, 'y')];
          const noise = want.reduce((sum, value, i) => sum + (value - got[i]!) ** 2, 1e-20);
          const signal = want.reduce((sum, value) => sum + value ** 2, 0);
          expect(10 * Math.log10(signal / noise), `${name}, ${mode}`).toBeGreaterThan(
            mode === 'int8' ? 15 : 25,
          );
        });
      });
    });
  },
);
