import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/lib/core/folders.js';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import {
  type Activation,
  elementCount,
  type Graph,
  type OperatorName,
} from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { deviceInterpreter, exactInterpreter } from '../../src/lib/model/bundle/interpreters.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import type { InterpreterOptions } from '../../src/lib/runtime/interpreter/node.js';
import { architectures, quantizedOf } from '../support/architectures.js';
import { FloatNetwork, type Window } from '../support/float-network.js';
import { GraphBuilder } from '../support/graph-builder.js';
import { motorFile, motorFolder } from '../support/motor-files.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { fc, runs } from '../support/property.js';

/** The largest difference from the interpreter, as a share of the largest output. */
const close = 1e-5;

/** Whether both run equally on three inputs; returns the compiled interpreter. */
function expectEqual(graph: Graph, seed = 1) {
  const random = seededRandom(seed);
  const [plain, compiled] = [createInterpreter(graph), createInterpreter(graph, { compiled: true })];
  for (let run = 0; run < 3; run++) {
    const inputs = graph.inputs.map((index) => {
      const { shape, type } = graph.tensors[index]!;
      const length = elementCount(shape);
      if (type === 'float32') return Float32Array.from({ length }, () => 2 * gaussian(random));
      if (type === 'bool') return Uint8Array.from({ length }, () => Number(random() < 0.5));
      return Int32Array.from({ length }, () => Math.floor(random() * 3));
    });
    const [want, got] = [plain.run(inputs), compiled.run(inputs)];
    want.forEach((values, place) => {
      const size = [...values]
        .filter(Number.isFinite)
        .reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      // Infinite and undefined results must be the same. One expectation for each output, because each takes longer than the comparison.
      const isClose = (value: number, other: number) =>
        Number.isFinite(value) ? Math.abs(other - value) / size < close : Object.is(other, value);
      const others = got[place]!;
      const at = values.findIndex((value, i) => !isClose(value, others[i]!));
      expect(at < 0 ? 'equal' : `output ${place}, value ${at}: ${others[at]} instead of ${values[at]}`).toBe(
        'equal',
      );
    });
  }
  return compiled;
}

/** Whether both return the same int8 values for three inputs; returns the compiled interpreter. */
function expectExact(graph: Graph, seed = 1) {
  const random = seededRandom(seed);
  const [plain, compiled] = [createInterpreter(graph), createInterpreter(graph, { compiled: true })];
  for (let run = 0; run < 3; run++) {
    const inputs = graph.inputs.map((index) => {
      const { shape, type } = graph.tensors[index]!;
      const length = elementCount(shape);
      const byte = () => (run === 0 ? (random() < 0.5 ? -128 : 127) : Math.floor(random() * 256) - 128);
      if (type === 'int8') return Int8Array.from({ length }, byte);
      if (type === 'int16') return Int16Array.from({ length }, () => Math.floor((random() - 0.5) * 65_536));
      if (type === 'float32') return Float32Array.from({ length }, () => 2 * gaussian(random));
      if (type === 'bool') return Uint8Array.from({ length }, () => Number(random() < 0.5));
      return Int32Array.from({ length }, () => Math.floor(random() * 3));
    });
    const want = plain.run(inputs).map((values) => [...values]);
    expect(compiled.run(inputs).map((values) => [...values])).toEqual(want);
  }
  return compiled;
}

const size = (low: number, high: number) => fc.integer({ min: low, max: high });
const pair = (low: number, high: number) => fc.tuple(size(low, high), size(low, high));
const activation = fc.constantFrom<Activation>('none', 'relu', 'relu6', 'relu_n1_to_1');
const windows = fc
  .record({
    filter: pair(1, 5),
    stride: pair(1, 3),
    dilation: fc.constantFrom<[number, number]>([1, 1], [1, 1], [2, 1], [1, 2], [3, 2]),
    padding: fc.constantFrom('same' as const, 'valid' as const),
  })
  // TensorFlow has no windows that are dilated and have a stride.
  .map((window) =>
    window.dilation.join() === '1,1' ? window : { ...window, stride: [1, 1] as [number, number] },
  );

/** An image into which the window fits. */
function imageFor(
  { filter, dilation = [1, 1] }: Window,
  [height, width]: [number, number],
  channels: number,
) {
  const spans = filter.map((cells, axis) => (cells - 1) * dilation[axis]! + 1);
  return [1, Math.max(height, spans[0]!), Math.max(width, spans[1]!), channels];
}

describe('compiled operators', () => {
  it('equal the interpreter for convolutions of any size', () => {
    fc.assert(
      fc.property(
        windows,
        pair(1, 12),
        size(1, 9),
        size(1, 37),
        activation,
        size(1, 1000),
        (window, image, channels, outputs, fused, seed) => {
          const b = new FloatNetwork(seededRandom(seed));
          const x = b.float(imageFor(window, image, channels));
          const compiled = expectEqual(b.graph(x, b.convolution(x, outputs, window, fused)), seed);
          // Only a window with more separate runs of cells than the limit is not compiled.
          if (window.dilation[1] === 1) expect(compiled.interpreted).toBe(0);
        },
      ),
      { numRuns: runs(2000, 120) },
    );
  });

  it('equal the interpreter for depthwise convolutions and pools of any size', () => {
    const kind = fc.constantFrom('depthwise', 'MAX_POOL_2D', 'AVERAGE_POOL_2D' as const);
    fc.assert(
      fc.property(
        windows,
        pair(1, 14),
        size(1, 13),
        activation,
        kind,
        size(1, 1000),
        (window, image, channels, fused, op, seed) => {
          const b = new FloatNetwork(seededRandom(seed));
          const used = op === 'depthwise' ? window : { ...window, dilation: [1, 1] as [number, number] };
          const x = b.float(imageFor(used, image, channels));
          const y = op === 'depthwise' ? b.depthwise(x, 1, used, fused) : b.pool(x, op, used);
          expect(expectEqual(b.graph(x, y), seed).interpreted).toBe(0);
        },
      ),
      { numRuns: runs(2000, 120) },
    );
  });

  it('equal the interpreter for dense layers of any size', () => {
    fc.assert(
      fc.property(
        size(1, 9),
        size(1, 70),
        size(1, 70),
        activation,
        size(1, 1000),
        (rows, inputs, outputs, fused, seed) => {
          const b = new FloatNetwork(seededRandom(seed));
          const x = b.float([1, rows, inputs]);
          const y = b.dense(x, outputs, fused, true);
          expect(expectEqual(b.graph(x, y), seed).interpreted).toBe(0);
        },
      ),
      { numRuns: runs(1000, 100) },
    );
  });

  it('equal the interpreter for PAD of one or two axes of any size', () => {
    fc.assert(
      fc.property(
        pair(1, 7),
        size(1, 9),
        fc.array(size(0, 3), { minLength: 8, maxLength: 8 }),
        (image, channels, by) => {
          const b = new FloatNetwork(seededRandom(channels));
          const shape = [1, ...image, channels];
          const x = b.float(shape);
          const y = b.float(shape.map((length, axis) => length + by[2 * axis]! + by[2 * axis + 1]!));
          const paddings = b.add({ type: 'int32', shape: [4, 2], data: Int32Array.from(by) });
          const graph = b.graph(x, b.op({ op: 'PAD', inputs: [x, paddings], outputs: [y], options: {} }));
          const axes = shape.filter((_, axis) => by[2 * axis]! + by[2 * axis + 1]! > 0).length;
          if (axes === 1) expect(expectEqual(graph).interpreted).toBe(0);
          else expectEqual(graph);
        },
      ),
      { numRuns: runs(1000, 200) },
    );
  });

  it.each(['ADD', 'SUB', 'MUL'] as const)(
    'equal the interpreter for %s with numbers, rows and tensors',
    (op) => {
      fc.assert(
        fc.property(
          pair(1, 6),
          size(1, 12),
          fc.constantFrom('same', 'one', 'row'),
          fc.boolean(),
          activation,
          (image, channels, kind, first, fused) => {
            const b = new FloatNetwork(seededRandom(channels));
            const shape = [1, ...image, channels];
            const x = b.float(shape);
            const other = kind === 'one' ? [1] : kind === 'row' ? [channels] : shape;
            const constant = b.values(other, 1);
            const y = b.float(shape);
            const inputs = first ? [constant, x] : [x, constant];
            expectEqual(b.graph(x, b.op({ op, inputs, outputs: [y], options: { activation: fused } })));
          },
        ),
        { numRuns: runs(400, 60) },
      );
    },
  );

  it.each(Object.keys(oneOpGraphs) as OperatorName[])('equal the interpreter for %s in float32', (op) => {
    const random = seededRandom(31);
    for (let i = 0; i < 20; i++) expectEqual(withRealValues(oneOpGraphs[op]!(random)), i);
  });

  it.each(Object.keys(architectures) as (keyof typeof architectures)[])(
    'equal the interpreter for the architecture %s',
    (name) => {
      const random = seededRandom(32);
      for (let i = 0; i < 2; i++) expectEqual(architectures[name](random), i);
    },
  );
});

describe('compiled operators on int8', () => {
  /** An int8 model of one operator, with random scales. The multiplier of a sum is then about `ratio`. */
  function layer(
    seed: number,
    shape: number[],
    weights: { op: 'CONV_2D' | 'DEPTHWISE_CONV_2D'; outputs: number; window: Window; fused: Activation },
    ratio: number,
  ): Graph {
    const { op, outputs, window, fused } = weights;
    const b = new GraphBuilder(seededRandom(seed));
    const [kh, kw] = window.filter;
    const { stride = [1, 1], dilation = [1, 1], padding = 'same' } = window;
    const out = window.filter.map((cells, axis) => {
      const [input, span] = [shape[axis + 1]!, (cells - 1) * dilation[axis]! + 1];
      return Math.ceil((padding === 'same' ? input : input - span + 1) / stride[axis]!);
    });
    const x = b.activation(shape);
    const channels = shape[3]!;
    const filter = op === 'CONV_2D' ? [outputs, kh, kw, channels] : [1, kh, kw, channels];
    const w = b.weights(filter, op === 'CONV_2D' ? 0 : 3, b.pick(true, false));
    const scales = [x, w].map((index) => b.tensors[index]!.quantization!.scale[0]!) as [number, number];
    const y = b.activation([1, ...out, outputs], (scales[0] * scales[1]) / ratio);
    const [strideH, strideW, dilationH, dilationW] = [...stride, ...dilation];
    const common = { padding, strideH, strideW, dilationH, dilationW, activation: fused };
    const inputs = [x, w, ...(b.pick(true, true, false) ? [b.bias(x, w, outputs)] : [])];
    const outputsOf = [y];
    return b.graph(
      x,
      b.op(
        op === 'CONV_2D'
          ? { op, inputs, outputs: outputsOf, options: common }
          : { op, inputs, outputs: outputsOf, options: { ...common, depthMultiplier: 1 } },
      ),
    );
  }

  const ratio = fc.constantFrom(1e-8, 1e-4, 2 ** -10, 0.003, 0.1, 0.5, 1.5, 3, 300);

  it('return the interpreter’s values for convolutions of any size', () => {
    fc.assert(
      fc.property(
        fc.tuple(windows, pair(1, 12), size(1, 9), size(1, 37), activation, ratio, size(1, 1000)),
        ([window, image, channels, outputs, fused, by, seed]) => {
          const shape = imageFor(window, image, channels);
          const graph = layer(seed, shape, { op: 'CONV_2D', outputs, window, fused }, by);
          const compiled = expectExact(graph, seed);
          if (window.dilation[1] === 1 && by > 1e-7) expect(compiled.interpreted).toBe(0);
        },
      ),
      { numRuns: runs(3000, 200) },
    );
  });

  it('return the interpreter’s values for depthwise convolutions of any size', () => {
    fc.assert(
      fc.property(
        fc.tuple(windows, pair(1, 14), size(1, 29), activation, ratio, size(1, 1000)),
        ([window, image, channels, fused, by, seed]) => {
          const shape = imageFor(window, image, channels);
          const graph = layer(seed, shape, { op: 'DEPTHWISE_CONV_2D', outputs: channels, window, fused }, by);
          const compiled = expectExact(graph, seed);
          if (by > 1e-7) expect(compiled.interpreted).toBe(0);
        },
      ),
      { numRuns: runs(3000, 200) },
    );
  });

  it('return the interpreter’s values for pools of any size', () => {
    const kind = fc.constantFrom('MAX_POOL_2D', 'AVERAGE_POOL_2D' as const);
    fc.assert(
      fc.property(
        fc.tuple(windows, pair(1, 14), size(1, 35), kind, size(1, 1000)),
        ([window, image, channels, op, seed]) => {
          const used = { ...window, dilation: [1, 1] as [number, number] };
          const compiled = expectExact(
            quantizedOf((random) => {
              const b = new FloatNetwork(random);
              const x = b.float(imageFor(used, image, channels));
              return b.graph(x, b.pool(x, op, used));
            }, seed),
            seed,
          );
          if (op === 'MAX_POOL_2D' || used.padding === 'valid') expect(compiled.interpreted).toBe(0);
        },
      ),
      { numRuns: runs(1000, 100) },
    );
  });

  it.each(['ADD', 'SUB'] as const)('return the interpreter’s values for %s of equal shapes', (op) => {
    fc.assert(
      fc.property(
        fc.tuple(pair(1, 6), size(1, 12), activation, size(1, 10_000)),
        ([image, channels, fused, seed]) => {
          const b = new GraphBuilder(seededRandom(seed));
          const shape = [1, ...image, channels];
          const [x0, x1] = [
            b.activation(shape),
            b.pick(true, false) ? b.activation(shape) : b.constant(shape),
          ];
          const least = Math.max(...[x0, x1].map((index) => b.tensors[index]!.quantization!.scale[0]!));
          const y = b.activation(shape, least * b.scale(0.1, 10));
          b.op({ op, inputs: [x0, x1], outputs: [y], options: { activation: fused } });
          const inputs = [x0, x1].filter((index) => b.tensors[index]!.data === undefined);
          expect(expectExact(b.graph(inputs, y), seed).interpreted).toBe(0);
        },
      ),
      { numRuns: runs(1000, 100) },
    );
  });

  it('return the interpreter’s values for QUANTIZE and DEQUANTIZE, also of halves, large values and NaN', () => {
    fc.assert(
      fc.property(fc.tuple(size(1, 40), size(1, 10_000)), ([length, seed]) => {
        const b = new GraphBuilder(seededRandom(seed));
        const real = [0, 1].map(() => b.add({ type: 'float32', shape: [1, length] })) as [number, number];
        const bytes = b.activation([1, length], b.pick(0.5, b.scale()));
        b.op({ op: 'QUANTIZE', inputs: [real[0]], outputs: [bytes], options: {} });
        b.op({ op: 'DEQUANTIZE', inputs: [bytes], outputs: [real[1]], options: {} });
        const graph = b.graph(real[0], [bytes, real[1]]);
        const scale = b.tensors[bytes]!.quantization!.scale[0]!;
        const [plain, compiled] = [createInterpreter(graph), createInterpreter(graph, { compiled: true })];
        expect(compiled.interpreted).toBe(0);
        const input = Float32Array.from({ length }, () =>
          b.pick(b.integer(-600, 600) * (scale / 2), 300 * scale * gaussian(b.random), 1e30, -1e30, -0),
        );
        for (let run = 0; run < 2; run++) {
          const set =
            run === 0
              ? undefined
              : (index: number, values: { [i: number]: number }) => {
                  if (index === real[0]) values[0] = Number.NaN;
                };
          const want = plain.run([input], set).map((values) => [...values]);
          expect(compiled.run([input], set).map((values) => [...values])).toEqual(want);
        }
      }),
      { numRuns: runs(1000, 200) },
    );
  });

  it.each(Object.keys(oneOpGraphs) as OperatorName[])('return the interpreter’s values for %s', (op) => {
    const random = seededRandom(33);
    for (let i = 0; i < 60; i++) expectExact(oneOpGraphs[op]!(random), i);
  });

  it.each(Object.keys(architectures) as (keyof typeof architectures)[])(
    'return the interpreter’s values for the architecture %s',
    (name) => {
      for (let seed = 0; seed < 2; seed++) expectExact(quantizedOf(architectures[name], seed), seed);
    },
  );
});

describe('a compiled interpreter', () => {
  const network = () => {
    const b = new FloatNetwork(seededRandom(5));
    const x = b.float([1, 8, 8, 3]);
    const image = b.convolution(x, 6, { filter: [3, 3] }, 'relu');
    return b.graph(x, b.dense(b.overImage(image), 4));
  };

  it('produces the same output again after other inputs', () => {
    const interpreter = createInterpreter(network(), { compiled: true });
    const [one, other] = [1, -3].map((factor) =>
      Float32Array.from({ length: 192 }, (_, i) => factor * Math.sin(i)),
    ) as [Float32Array, Float32Array];
    const first = interpreter.invoke(one).slice();
    expect(interpreter.invoke(other).slice()).not.toEqual(first);
    expect(interpreter.invoke(one)).toEqual(first);
  });

  it('computes float32 layers exactly as the interpreter if only integers are compiled', () => {
    const layer = (outputs: number) => {
      const b = new FloatNetwork(seededRandom(6));
      const x = b.float([1, 700]);
      return b.graph(x, b.dense(x, outputs));
    };
    const random = seededRandom(7);
    const input = Float32Array.from({ length: 700 }, () => 100 * gaussian(random));
    const runBy = (options?: InterpreterOptions) => createInterpreter(layer(40), options).invoke(input);
    expect(runBy({ compiled: 'integers' })).toEqual(runBy());
    // Sums in single precision differ, so golden vectors must not be computed in this way.
    expect(runBy({ compiled: true })).not.toEqual(runBy());
    expect(exactInterpreter(layer(400)).interpreted).toBe(Number.POSITIVE_INFINITY);
    expect(deviceInterpreter(layer(400)).interpreted).toBe(0);
  });

  it('passes every operator’s output to the callback', () => {
    const interpreter = createInterpreter(network(), { compiled: true });
    const seen: number[] = [];
    interpreter.invoke(new Float32Array(192).fill(0.5), (index) => seen.push(index));
    expect(seen).toHaveLength(1 + interpreter.graph.operators.length);
  });

  it('uses values that the callback changes, as in dynamic quantization', () => {
    const [plain, compiled] = [
      createInterpreter(network()),
      createInterpreter(network(), { compiled: true }),
    ];
    const image = network().operators[0]!.outputs[0]!;
    const input = Float32Array.from({ length: 192 }, (_, i) => Math.cos(i));
    const halved = (index: number, values: ArrayLike<number> & { [i: number]: number }) => {
      if (index === image) for (let i = 0; i < values.length; i++) values[i] = Math.round(values[i]! * 2) / 2;
    };
    const unchanged = compiled.invoke(input).slice();
    const [want, got] = [plain.invoke(input, halved), compiled.invoke(input, halved)];
    expect(got).not.toEqual(unchanged);
    want.forEach((value, i) => {
      expect(got[i]).toBeCloseTo(value, 4);
    });
  });

  /** Runs a script that can read models and create interpreters in another Node, and returns the last line that it prints. */
  const runInNode = (script: string, ...flags: string[]) => {
    const modules = pathToFileURL(join(packageRoot(), 'dist', '.modules', 'lib')).href;
    const imports = `
      import { readTflite } from '${modules}/formats/tflite/read.js';
      import { createInterpreter } from '${modules}/runtime/interpreter/interpreter.js';
      import { readFileSync } from 'node:fs';
    `;
    const { stdout } = spawnSync(
      process.execPath,
      [...flags, '--input-type=module', '-e', imports + script],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    return stdout.trim().split('\n').at(-1);
  };

  it.runIf(process.platform === 'linux')(
    'rounds only the sum of a product and a sum, where Node and the processor can',
    () => {
      const b = new FloatNetwork(seededRandom(5));
      const x = b.float([1, 1]);
      const constant = (shape: number[], value: number) =>
        b.add({ type: 'float32', shape, data: Float32Array.of(value) });
      // (1 + 2⁻¹²)² − 1 − 2⁻¹¹ = 2⁻²⁴, which is lost if the product is rounded to float32.
      const inputs = [x, constant([1, 1], 1 + 2 ** -12), constant([1], -1 - 2 ** -11)];
      const options = { activation: 'none' as const, keepNumDims: false };
      const graph = b.graph(x, b.op({ op: 'FULLY_CONNECTED', inputs, outputs: [b.float([1, 1])], options }));
      const bytes = Buffer.from(writeTflite(graph)).toString('base64');
      const script = `
      const interpreter = createInterpreter(readTflite(Buffer.from('${bytes}', 'base64')), { compiled: true });
      console.log(interpreter.invoke(Float32Array.of(1 + 2 ** -12))[0]);
    `;
      // Node 20 has this behind a flag.
      const flags = process.versions.node.startsWith('20.') ? ['--experimental-wasm-relaxed-simd'] : [];
      const fuses = process.arch === 'arm64' || /\bfma\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));
      expect(runInNode(script, ...flags)).toBe(fuses ? `${2 ** -24}` : '0');
      // The interpreter computes in double precision.
      expect(runInNode(script, '--jitless')).toBe(`${2 ** -24}`);
      if (process.arch === 'x64') expect(runInNode(script, ...flags, '--no-enable-fma3')).toBe('0');
    },
  );

  it('runs without compiled code where WebAssembly is missing', () => {
    const output = runInNode(
      `
        const graph = readTflite(readFileSync(${JSON.stringify(join(motorFolder, 'int8.tflite'))}));
        const interpreter = createInterpreter(graph, { compiled: true });
        console.log(typeof WebAssembly, interpreter.interpreted, [...interpreter.invoke(Int8Array.of(1, 2, 3, 4))].join());
      `,
      '--jitless',
    );
    const want = createInterpreter(readTflite(motorFile('int8.tflite'))).invoke(Int8Array.of(1, 2, 3, 4));
    // Node first warns that WebAssembly is disabled.
    expect(output).toBe(`undefined Infinity ${[...want].join()}`);
  });

  it('reports how many values operators without compiled code compute', () => {
    const b = new FloatNetwork(seededRandom(6));
    const x = b.float([1, 10]);
    const y = b.float([1, 10]);
    const softmax = b.op({ op: 'SOFTMAX', inputs: [x], outputs: [y], options: { beta: 1 } });
    const graph = b.graph(x, softmax);
    expect(createInterpreter(graph, { compiled: true }).interpreted).toBe(10);
    expect(createInterpreter(graph).interpreted).toBe(Number.POSITIVE_INFINITY);
    expect(createInterpreter(network(), { compiled: true }).interpreted).toBe(0);
  });
});
