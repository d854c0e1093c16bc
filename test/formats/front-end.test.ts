import { describe, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph, Operator, Tensor } from '../../src/lib/formats/tflite/graph.js';
import { outlineTflite } from '../../src/lib/formats/tflite/outline.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { emitC } from '../../src/lib/model/emit/emit-c.js';
import { inspectNetwork } from '../../src/lib/model/inspect/inspect.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { frontEndGraphs, soundInputs } from '../support/front-end-graphs.js';
import { motorBundle } from '../support/motor-bundle.js';

const whole = () => frontEndGraphs.whole!(seededRandom(8));

/** One step after another, as plain arrays. */
function features(graph: Graph, input: Int16Array, interpreter = createInterpreter(graph)): number[][] {
  const size = interpreter.inputTensors[0]!.shape.reduce((count, each) => count * each, 1);
  const steps = Array.from({ length: input.length / size }, (_, step) =>
    interpreter.run([input.subarray(step * size, (step + 1) * size)]),
  );
  return steps.map((outputs) => outputs.flatMap((values) => [...values]));
}

describe('files with the operators of TFLite Micro’s audio front end', () => {
  it('keep options, and contain no states', () => {
    const random = seededRandom(3);
    for (const [name, make] of Object.entries(frontEndGraphs)) {
      const graph = make(random);
      const file = writeTflite(graph);
      const read = readTflite(file);
      const plain = ({ op, options }: Operator) => ({ op, options });
      expect(read.operators.map(plain), name).toEqual(graph.operators.map(plain));
      const states = graph.tensors.filter(({ variable }) => variable);
      const outline = outlineTflite(file);
      expect(outline.tensors.length, name).toBe(graph.tensors.length - states.length);
      const stateOf = ({ type, shape, variable }: Tensor) => ({ type, shape, variable });
      expect(read.tensors.filter(({ variable }) => variable).map(stateOf), name).toEqual(states.map(stateOf));
      expect(Buffer.from(writeTflite(read)).equals(file), name).toBe(true);
    }
  });

  it('restart after a reset', () => {
    const graph = whole();
    const input = soundInputs(graph, seededRandom(1), 12) as Int16Array;
    const interpreter = createInterpreter(graph);
    const first = features(graph, input, interpreter);
    expect(features(graph, input, interpreter)).not.toEqual(first);
    interpreter.reset();
    const again = features(graph, input, interpreter);
    // An incomplete row keeps its previous values, so only complete rows are compared.
    const complete = (steps: number[][]) => steps.filter((values) => values.at(-1) === 1);
    expect(complete(again)).toEqual(complete(first));
    expect(again.map((values) => values.at(-1))).toEqual(first.map((values) => values.at(-1)));
    expect(complete(first).length).toBeGreaterThan(1);
  });

  it('are inspected with their arena and multiply-adds', () => {
    const { arenaBytes, macs, operators, notes } = inspectNetwork(writeTflite(whole()));
    expect(arenaBytes).toBeGreaterThan(1000);
    expect(macs).toBeGreaterThan(100);
    expect(operators.map(({ known }) => known)).not.toContain(false);
    expect(notes).toEqual([]);
  });
});

describe('a front end that is not supported', () => {
  const file = Buffer.from(writeTflite(whole()));
  const renamed = (key: string, other: string) => {
    const bytes = Buffer.from(file);
    bytes.write(other, bytes.indexOf(`${key}\0`));
    return bytes;
  };

  it('is rejected if options are missing, and names them', () => {
    expect(() => readTflite(renamed('frame_step', 'frame_stop'))).toThrow(
      /operator 0 \(SIGNAL_FRAMER\).*expected a map of frame_size, frame_step, prefill as options/,
    );
  });

  it('is rejected if an option is out of range', () => {
    const graph = whole();
    const options = { ...graph.operators[0]!.options, frameSize: 0 } as never;
    const operators = [{ ...graph.operators[0]!, options }, ...graph.operators.slice(1)] as Operator[];
    const states = graph.operators[0]!.inputs.slice(1);
    const tensors = graph.tensors.map((tensor, index) =>
      index === states[0] ? { ...tensor, shape: [1, 0] } : tensor,
    );
    expect(() => writeTflite({ ...graph, tensors, operators })).toThrow('expected positive dimensions');
    const bytes = Buffer.from(file);
    const name = bytes.indexOf('fft_length\0');
    // The type (int16 = 7) is stored after the keys.
    const at = bytes.indexOf(7, name + 11);
    bytes[at] = 9;
    expect(() => readTflite(bytes)).toThrow(/SIGNAL_RFFT.*T 9 is not supported \(expected 0 to 7\)/);
    bytes[at] = 0;
    expect(() => createInterpreter(readTflite(bytes))).toThrow(
      /SIGNAL_RFFT.*expected samples of type 0, got 7 \(int16\)/,
    );
  });

  it.each([
    ['SIGNAL_FILTER_BANK', 4, 'channel 0 has bins or weights that do not exist'],
    ['SIGNAL_PCAN', 2, 'expected a table of at least 125 gains, got 124'],
  ] as const)('is rejected if a table of %s does not fit', (op, place, message) => {
    const graph = whole();
    const operator = graph.operators.find((each) => each.op === op)!;
    const index = operator.inputs[place]!;
    const tensors = graph.tensors.map((tensor, at) => {
      if (at !== index) return tensor;
      const data = (tensor.data as Int16Array).slice(op === 'SIGNAL_PCAN' ? 1 : 0);
      if (op === 'SIGNAL_FILTER_BANK') data.fill(30_000);
      return { ...tensor, data, shape: [data.length] };
    });
    const widths = operator.inputs[5];
    if (op === 'SIGNAL_FILTER_BANK') (tensors[widths!]!.data as Int16Array).fill(1);
    expect(() => createInterpreter({ ...graph, tensors })).toThrow(message);
  });

  it('never crashes: 800 mutated files', () => {
    const random = seededRandom(9);
    let ran = 0;
    for (let i = 0; i < 800; i++) {
      const bytes = Buffer.from(file);
      for (let changes = 1 + Math.floor(random() * 3); changes > 0; changes--)
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      try {
        const interpreter = createInterpreter(readTflite(bytes));
        if (interpreter.inputTensors.length !== 1 || interpreter.inputTensors[0]!.type !== 'int16') continue;
        const size = interpreter.inputTensors[0]!.shape.reduce((count, each) => count * each, 1);
        interpreter.run([new Int16Array(size).fill(1000)]);
        ran++;
      } catch (error) {
        expect(error, `${i}`).toBeInstanceOf(AiotError);
      }
    }
    expect(ran).toBeGreaterThan(50);
  });

  it('is written as C, except for networks that output 64-bit integers', () => {
    const graph = whole();
    const options = { out: 'out', contents: writeTflite(graph), name: 'model', classes: [] };
    const files = emitC({ ...options, graph });
    expect(files.get('out/model.h')).toMatch(
      /void model_run\(const int16_t \*input, int16_t \*output0, int8_t \*output1\);/,
    );
    expect(files.get('out/model.h')).toMatch(/#define MODEL_STATE_BYTES \d+/);
    expect(files.get('out/model.c')).toContain('static uint64_t doubles[');
    const { vectors } = JSON.parse(files.get('out/golden.json')!) as { vectors: unknown[] };
    expect(vectors.length).toBeGreaterThan(8);
    const sums = graph.operators.find(({ op }) => op === 'SIGNAL_FILTER_BANK')!.outputs;
    expect(() => emitC({ ...options, graph: { ...graph, outputs: sums } })).toThrow(
      'an input or output of uint64',
    );
  });

  it('is not quantized, and fits into a bundle', () => {
    const graph = whole();
    expect(() =>
      quantizeGraph(graph, [new Float32Array(1)], { mode: 'int8', calibration: 'min-max' }),
    ).toThrow(/already quantized \(SIGNAL_FRAMER on int16/);
    const bundle = motorBundle('int8');
    const model = writeTflite(windowed(readTflite(bundle.model)));
    expect(unpackBundle(packBundle({ ...bundle, model })).model).toEqual(model);
  });

  it('starts again with zeros after a reset, in frames and rows that are not complete', () => {
    const graph = frontEndGraphs.SIGNAL_STACKER!(seededRandom(3));
    const operator = graph.operators[0] as Operator & { op: 'SIGNAL_STACKER' };
    const options = { ...operator.options, stackerLeftContext: 0, stackerRightContext: 1, stackerStep: 1 };
    const { numChannels } = options;
    const history = { type: 'int16' as const, shape: [2 * numChannels] };
    const tensors = graph.tensors.map((tensor, index) => {
      if (index === operator.inputs[1])
        return { ...tensor, ...history, variable: new Int16Array(2 * numChannels) };
      return index === operator.outputs[0] ? { ...tensor, ...history } : tensor;
    });
    const changed = { ...graph, tensors, operators: [{ ...operator, options }] };
    const interpreter = createInterpreter(changed as Graph);
    const frame = new Int16Array(numChannels).fill(7);
    interpreter.run([frame]);
    expect([...interpreter.run([frame])[0]!].every((value) => value === 7)).toBe(true);
    interpreter.reset();
    expect([...interpreter.run([frame])[0]!].every((value) => value === 0)).toBe(true);
  });
});

/** The graph with a window on its int8 input. */
function windowed(graph: Graph): Graph {
  const [input = 0] = graph.inputs;
  const x = graph.tensors[input]!;
  const { shape } = x;
  const first = graph.tensors.length;
  const size = shape.at(-1)!;
  const operators: Operator[] = [
    {
      op: 'CAST',
      inputs: [first],
      outputs: [first + 1],
      options: { inDataType: 'int8', outDataType: 'int16' },
    },
    { op: 'SIGNAL_WINDOW', inputs: [first + 1, first + 2], outputs: [first + 3], options: { shift: 0 } },
    {
      op: 'CAST',
      inputs: [first + 3],
      outputs: [input],
      options: { inDataType: 'int16', outDataType: 'int8' },
    },
    ...graph.operators,
  ];
  const tensors: Tensor[] = [
    ...graph.tensors,
    { ...x, name: 'given' },
    { name: 'wide', type: 'int16', shape },
    { name: 'weights', type: 'int16', shape: [size], data: new Int16Array(size).fill(1) },
    { name: 'windowed', type: 'int16', shape },
  ];
  return { ...graph, tensors, operators, inputs: [first] };
}
