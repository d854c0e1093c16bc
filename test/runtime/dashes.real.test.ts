import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph, type OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { operatorRows } from '../../src/lib/formats/tflite/operators.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { hasKernel, hasMicroKernel } from '../../src/lib/runtime/interpreter/interpreter.js';
import { GraphBuilder } from '../support/graph-builder.js';
import { inWholeNumbers } from '../support/integer-op-graphs.js';
import { expectRecorded } from '../support/judged.js';
import { argMaxGraph, constantSelectGraph, oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/** The columns of docs/models.md that are types. */
const types = ['float32', 'int8', 'int16', 'int32', 'bool'] as const;
type Type = (typeof types)[number];

/** Operators whose types docs/models.md describes in sentences, and those that no other runtime has. */
const described = new Set(['CAST', 'QUANTIZE', 'DEQUANTIZE', 'FOREST']);
const names = Object.keys(operatorRows) as OperatorName[];
const operators = names.filter((op) => !op.startsWith('SIGNAL_') && !described.has(op));
const dashes = types.flatMap((type) =>
  operators.flatMap((op) => (hasKernel(op, type) ? [] : [{ op, type }])),
);

const arrays = {
  float32: Float32Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  bool: Uint8Array,
};
const scaled = { quantization: { scale: [0.25], zeroPoint: [0], axis: 0 } };

/** A comparison, or AND, OR or NOT, of two values of this type. */
function conditionOn(op: OperatorName, type: Type): Graph {
  const b = new GraphBuilder(seededRandom(3));
  const own = { type, shape: [1, 4], ...((type === 'int8' || type === 'int16') && scaled) };
  const [x, y] = [b.add(own), b.add({ type: 'bool', shape: [1, 4] })];
  const inputs = op === 'LOGICAL_NOT' ? [x] : [x, b.add({ ...own, data: arrays[type].of(0, 1, 1, 0) })];
  return b.graph(x, b.op({ op, inputs, outputs: [y], options: {} } as Parameters<typeof b.op>[0]));
}

/** A model of one operator on int8 or int16. Operators that only support float32 take the place of similar ones. */
function quantized(op: OperatorName, type: 'int8' | 'int16'): Graph {
  const random = seededRandom(3);
  if (op === 'ARG_MAX' || op === 'ARG_MIN') {
    const graph = argMaxGraph(random);
    const position = { ...graph.operators[0]!, op } as (typeof graph.operators)[0];
    const tensors = graph.tensors.map((tensor) =>
      tensor.quantization ? { ...tensor, ...scaled, type } : tensor,
    );
    return { ...graph, tensors, operators: [position], outputs: position.outputs };
  }
  if (op === 'SELECT_V2') return constantSelectGraph(random, type);
  const make = oneOpGraphs[op] ?? (op === 'DIV' || op === 'FLOOR_MOD' ? oneOpGraphs.ADD! : oneOpGraphs.ABS!);
  const graph = make(random, type);
  return oneOpGraphs[op]
    ? graph
    : { ...graph, operators: [{ ...graph.operators[0]!, op } as (typeof graph.operators)[0]] };
}

function modelOf(op: OperatorName, type: Type): Graph {
  if (/^(LESS|GREATER|EQUAL|NOT_EQUAL|LOGICAL)/.test(op)) return conditionOn(op, type);
  if (type === 'int8' || type === 'int16') return quantized(op, type);
  const graph = quantized(op, 'int8');
  return type === 'float32' ? withRealValues(graph) : inWholeNumbers(graph, type);
}

/** The model of ASSIGN_VARIABLE also adds. That of READ_VARIABLE assigns without adding. */
const addsToo = (op: OperatorName, type: Type) => op === 'ASSIGN_VARIABLE' && type === 'bool';

/** The uses that TFLite Micro accepts. Each model runs in its own process, because some make it crash. */
function acceptedOf(uses: readonly { op: OperatorName; type: Type }[]): string[] {
  const jobs = uses.map(({ op, type }) => {
    const graph = modelOf(op, type);
    const { shape, type: own } = graph.tensors[graph.inputs[0]!]!;
    return { graph, input: new arrays[own as Type](elementCount(shape)).fill(1), guarded: true };
  });
  const answers = runInPython<{ refused?: string }>('tflm', jobs);
  const accepted = uses.filter((_, index) => answers[index]!.report.refused === undefined);
  return accepted.map(({ op, type }) => `${op} ${type}`);
}

describeReal('tflm', 'the dashes in docs/models.md', () => {
  it('are uses that TFLite Micro rejects, too, except for those that the page names', {
    timeout: 120_000,
  }, async () => {
    const accepted = acceptedOf(dashes);
    process.stderr.write(
      `TFLite Micro rejects ${dashes.length - accepted.length} of ${dashes.length} dashes\n`,
    );
    expect(dashes.length).toBeGreaterThan(100);
    await expectRecorded('beyond.TFLM.dashes', accepted as OperatorName[]);
  });

  it('are found with models that TFLite Micro accepts if it has the kernel', { timeout: 120_000 }, () => {
    const supported = types.flatMap((type) =>
      operators.flatMap((op) => (hasMicroKernel(op, type) && !addsToo(op, type) ? [{ op, type }] : [])),
    );
    expect(acceptedOf(supported)).toEqual(supported.map(({ op, type }) => `${op} ${type}`));
  });
});
