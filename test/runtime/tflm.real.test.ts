import { describe, expect, it } from 'vitest';
import { type Random, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph, type OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { chanceInputs, long, tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { expectRecorded, operatorsOn } from '../support/judged.js';
import { motorFile } from '../support/motor-files.js';
import { cnn, mlp } from '../support/networks.js';
import { argMaxGraph, oneOpGraphs } from '../support/one-op-graphs.js';
import { inOneProcess } from '../support/one-process.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/** `runs` consecutive inputs: random bytes, or all 256 values for a tensor of that size. */
function chanceInput(graph: Graph, random: Random, runs: number): Int8Array {
  const size = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  if (size === 256) return Int8Array.from({ length: 256 }, (_, index) => index - 128);
  return Int8Array.from({ length: size * runs }, () => Math.floor(random() * 256) - 128);
}

function deviceOutput(graph: Graph, input: Int8Array): Int8Array {
  const interpreter = createInterpreter(graph);
  const size = elementCount(interpreter.inputTensors[0]!.shape);
  const outputs = new Int8Array((input.length / size) * elementCount(interpreter.outputTensors[0]!.shape));
  for (let at = 0, to = 0; at < input.length; at += size) {
    const output = interpreter.invoke(input.subarray(at, at + size));
    outputs.set(output, to);
    to += output.length;
  }
  return outputs;
}

describeReal('tflm', 'the device interpreter, compared with TFLite Micro', () => {
  const [files, runs] = long ? [100, 2000] : [40, 200];
  const operators = Object.keys(oneOpGraphs) as OperatorName[];
  const answersTo = inOneProcess(
    operators,
    (op) => {
      const random = seededRandom(11);
      const graphs = Array.from({ length: files }, () => oneOpGraphs[op]!(random));
      return graphs.map((graph) => ({ graph, input: chanceInput(graph, random, runs) }));
    },
    (jobs) => runInPython('tflm', jobs),
  );
  const judged: Graph[] = [];
  it.each(operators)(
    'matches bit for bit on %s',
    (op) => {
      answersTo(op).forEach(({ job, answer }, index) => {
        const got = Buffer.from(deviceOutput(job.graph, job.input).buffer);
        expect(got.equals(Buffer.from(answer.output.buffer)), `${op} ${index}`).toBe(true);
        judged.push(job.graph);
      });
    },
    // The first of these tests runs all tests' jobs in TFLite Micro.
    long ? 600_000 : 180_000,
  );

  it.each(['int8', 'float32'] as const)('matches on ARG_MAX of %s', (type) => {
    const random = seededRandom(12);
    const jobs = Array.from({ length: files }, () => {
      const made = argMaxGraph(random);
      const graph = type === 'int8' ? made : withRealValues(made);
      return { graph, input: chanceInputs(graph, random, 20) };
    });
    tensorsInTflm(jobs).forEach((want, index) => {
      expect(tensorsOnDevice(jobs[index]!).equals(want), `${index}`).toBe(true);
    });
    if (type === 'int8') judged.push(...jobs.map(({ graph }) => graph));
  });

  it('has judged the operators that docs/models.md lists', async () => {
    await expectRecorded('int8.TFLM.one-operator', operatorsOn('int8', judged, 20));
  });

  it('supports the integer types that TFLite Micro supports: it rejects the others, too', () => {
    const ops = ['ABS', 'NEG', 'SQRT', 'SQUARE', 'EXP', 'LOG'] as const;
    const jobs = (['int8', 'int16'] as const).flatMap((type) =>
      ops.map((op) => {
        const graph = oneOpGraphs.ABS!(seededRandom(3), type);
        graph.operators[0]!.op = op as 'ABS';
        const input = type === 'int8' ? new Int8Array(256).fill(9) : new Int16Array(256).fill(9);
        return { graph, input, inputs: 1, outputs: 1, guarded: true, op };
      }),
    );
    const answers = runInPython<{ refused?: string }>('tflm', jobs);
    expect(answers.map(({ report }) => report.refused !== undefined)).toEqual(
      jobs.map(({ op }) => op !== 'ABS'),
    );
    for (const { graph, op } of jobs.slice(0, ops.length)) {
      if (op === 'ABS') createInterpreter(graph);
      else expect(() => createInterpreter(graph), op).toThrow(/int8/);
    }
  });

  it('matches bit for bit on whole models, in every tensor', () => {
    const random = seededRandom(5);
    const networks = [mlp(random, [8, 24, 16, 5]), mlp(random, [36, 32, 16, 3]), cnn(random)];
    // Truncating a model after each operator exposes the output of that operator.
    const graphs = networks.flatMap((graph) =>
      graph.operators.map(({ outputs }, last) => ({
        ...graph,
        operators: graph.operators.slice(0, last + 1),
        outputs,
      })),
    );
    const jobs = graphs.map((graph) => ({ graph, input: chanceInput(graph, random, 100) }));
    const answers = runInPython('tflm', jobs);
    jobs.forEach(({ graph, input }, index) => {
      const where = `network ${index}, ${graph.operators.at(-1)!.op}`;
      expect(deviceOutput(graph, input), where).toEqual(answers[index]!.output);
    });
  });
});

describe('files from TensorFlow’s converter in the device interpreter', () => {
  describeReal('tflm', 'compared with TFLite Micro', () => {
    it.each(['int8', 'har_cnn_int8'])('match bit for bit: %s', (name) => {
      const file = motorFile(`${name}.tflite`);
      const graph = readTflite(file);
      const input = chanceInput(graph, seededRandom(3), 200);
      const [fromFile, rewritten] = runInPython('tflm', [
        { graph: file, input },
        { graph, input },
      ]);
      expect(rewritten!.output).toEqual(fromFile!.output);
      expect(deviceOutput(graph, input)).toEqual(fromFile!.output);
    });
  });
});
