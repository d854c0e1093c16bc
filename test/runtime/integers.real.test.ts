import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph, type TensorType } from '../../src/lib/formats/tflite/graph.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { chanceInputs, long, tensorsIn, tensorsOnDevice } from '../support/every-tensor.js';
import { embeddingNetwork, streamingNetwork } from '../support/float-network.js';
import { beyondMicroGraphs, embeddingGraph, integerOpGraphs } from '../support/integer-op-graphs.js';
import { expectRecorded, operatorsReading } from '../support/judged.js';
import { inOneProcess } from '../support/one-process.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const [files, runs] = long ? [100, 500] : [25, 20];

for (const [judge, name, graphs] of [
  ['tflm', 'TFLM', integerOpGraphs],
  ['litert', 'LiteRT', beyondMicroGraphs],
] as const)
  describeReal(judge, 'indices and conditions, as int32 and bool', () => {
    const answersTo = inOneProcess(
      Object.keys(graphs),
      (own) => {
        const random = seededRandom(51);
        return Array.from({ length: files }, (_, seed) => {
          const graph = graphs[own]!(random);
          return { graph, input: chanceInputs(graph, seededRandom(seed), runs) };
        });
      },
      (jobs) => tensorsIn(judge, jobs),
    );
    const judged: Graph[] = [];
    it.each(Object.keys(graphs))(
      `%s matches ${name} bit for bit`,
      (own) => {
        answersTo(own).forEach(({ job, answer }, index) => {
          expect(tensorsOnDevice(job).equals(answer), `${index}`).toBe(true);
          judged.push(job.graph);
        });
      },
      long ? 600_000 : 180_000,
    );

    it('has judged the operators that docs/models.md lists', async () => {
      const listed = (type: TensorType) => operatorsReading(type, judged, 20);
      if (judge === 'tflm') {
        await expectRecorded('int32.TFLM.integers', listed('int32'));
        await expectRecorded('bool.TFLM.integers', listed('bool'));
        await expectRecorded('int8.TFLM.integers', listed('int8'));
        await expectRecorded('int16.TFLM.integers', listed('int16'));
        await expectRecorded('float32.TFLM.integers', listed('float32'));
      } else {
        const own = (type: TensorType) => listed(type).filter((op) => names.has(`${op} ${type}`));
        await expectRecorded('int32.LiteRT.integers', own('int32'));
        await expectRecorded('bool.LiteRT.integers', own('bool'));
      }
    });
  });

const names = new Set(Object.keys(beyondMicroGraphs));

describeReal('tflm', 'quantized networks with an embedding or a variable', () => {
  it.each(['int8', 'int16x8'] as const)('match TFLite Micro bit for bit: %s', (mode) => {
    const jobs = Array.from({ length: long ? 60 : 20 }, (_, seed) => {
      const random = seededRandom(seed);
      const streams = mode === 'int16x8' || seed % 2 === 0;
      const words = 20 + seed;
      const float = streams
        ? streamingNetwork(random)
        : embeddingNetwork(random, { words, width: 5, length: 6 });
      const size = streams ? 4 : 6;
      const rows = Array.from({ length: 60 }, () =>
        Float32Array.from({ length: size }, () =>
          streams ? random() * 4 - 2 : Math.floor(random() * words),
        ),
      );
      const { graph } = quantizeGraph(float, rows, { mode, calibration: 'min-max' });
      const input = streams
        ? chanceInputs(graph, random, runs)
        : Int32Array.from(rows.flatMap((row) => [...row]));
      return { graph, input };
    });
    tensorsIn('tflm', jobs).forEach((want, index) => {
      expect(tensorsOnDevice(jobs[index]!).equals(want), `${index}`).toBe(true);
    });
  });
});

describeReal('litert', 'a file with int64 indices', () => {
  it('is read with int32 indices, and yields the same rows', () => {
    const random = seededRandom(61);
    const jobs = Array.from({ length: 20 }, () => {
      const graph = embeddingGraph(random, 'float32');
      const gather = graph.operators.at(-1)!;
      const size = graph.tensors[gather.inputs[0]!]!.shape[0]!;
      const x = graph.inputs[0]!;
      // The model's int64 input selects the rows directly.
      const tensors = graph.tensors.map((tensor, index) =>
        index === x ? { ...tensor, type: 'int64' as const } : tensor,
      );
      const operators = [{ ...gather, inputs: [gather.inputs[0]!, x] }] as Graph['operators'];
      const count = elementCount(tensors[x]!.shape);
      const indices = Int32Array.from({ length: count * runs }, () => Math.floor(random() * size));
      return { file: writeTflite({ ...graph, tensors, operators }), indices };
    });
    const answers = runInPython(
      'litert',
      jobs.map(({ file, indices }) => ({
        graph: file,
        input: BigInt64Array.from(indices, BigInt),
        reference: true,
      })),
    );
    jobs.forEach(({ file, indices }, index) => {
      const { graph, notes } = importTflite(file);
      expect(notes.join()).toContain('is int64 in the file, and int32 here');
      expect(
        tensorsOnDevice({ graph, input: indices }).equals(Buffer.from(answers[index]!.output.buffer)),
      ).toBe(true);
    });
  });
});

it('rejects a computed index that does not exist', () => {
  const graph = embeddingGraph(seededRandom(1), 'float32');
  const operators = graph.operators
    .slice(-1)
    .map((operator) => ({ ...operator, inputs: [operator.inputs[0]!, graph.inputs[0]!] }));
  const interpreter = createInterpreter({ ...graph, operators: operators as Graph['operators'] });
  const count = interpreter.inputTensors[0]!.shape[0]!;
  const size = interpreter.graph.tensors[operators[0]!.inputs[0]!]!.shape[0]!;
  for (const index of [-1, size])
    expect(() => interpreter.invoke(new Int32Array(count).fill(index))).toThrow(
      `operator 0 (GATHER): expected an index from 0 to ${size - 1}, got ${index}`,
    );
  interpreter.invoke(new Int32Array(count).fill(size - 1));
});
