import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Random } from '../../src/lib/core/index.js';
import {
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
  writeTflite,
} from '../../src/lib/formats/index.js';
import { root } from './cli.js';
import { python, sharedFolder } from './real.js';

/** The third-party networks: files that TensorFlow's converter made, and what LiteRT answered. */
export const motorFolder = join(sharedFolder, 'data', 'motor-mlp');
export const motorFile = (name: string) => readFileSync(join(motorFolder, name));

/** The motor network's test rows, standardized, and LiteRT's probability for each. */
export function motorRows(predictions: string): { x: Float32Array; y: number }[] {
  const { mean, std } = JSON.parse(motorFile('weights.json').toString()) as { mean: number[]; std: number[] };
  const answers = motorFile(predictions).toString().trim().split('\n').map(Number);
  const lines = motorFile('test.csv').toString().trim().split('\n').slice(1);
  return lines.map((line, row) => {
    const values = line.split(',').slice(0, 4).map(Number);
    return { x: Float32Array.from(values.map((value, i) => (value - mean[i]!) / std[i]!)), y: answers[row]! };
  });
}

/** Puts a network together, tensor by tensor. */
export class GraphBuilder {
  readonly tensors: Tensor[] = [];
  readonly operators: Operator[] = [];

  constructor(
    readonly random: Random,
    readonly type: 'int8' | 'int16' = 'int8',
  ) {}

  add(tensor: Omit<Tensor, 'name'>): number {
    this.tensors.push({ name: `t${this.tensors.length}`, ...tensor });
    return this.tensors.length - 1;
  }
  integer(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1));
  }
  pick<T>(...values: T[]): T {
    return values[this.integer(0, values.length - 1)]!;
  }
  scale(low = 0.002, high = 0.2): number {
    return Math.fround(low * (high / low) ** this.random());
  }
  /** An activation of the network's type with chance scale and zero point, or those given (int16: scale ÷ 128, 0). */
  activation(shape: number[], scale = this.scale(), zeroPoint = this.integer(-128, 127)): number {
    const wide = this.type === 'int16';
    const quantization = {
      scale: [Math.fround(wide ? scale / 128 : scale)],
      zeroPoint: [wide ? 0 : zeroPoint],
      axis: 0,
    };
    return this.add({ type: this.type, shape, quantization });
  }
  /** An activation with another one's scale and zero point. */
  like(other: number, shape: number[]): number {
    return this.add({ type: this.type, shape, quantization: this.tensors[other]!.quantization! });
  }
  /** The output of LOGISTIC, SOFTMAX or TANH, whose scales are given. */
  fixed(op: 'LOGISTIC' | 'SOFTMAX' | 'TANH', shape: number[]): number {
    const int8: [number, number] = op === 'TANH' ? [1 / 128, 0] : [1 / 256, -128];
    const [scale, zeroPoint] = this.type === 'int16' ? [2 ** -15, 0] : int8;
    return this.add({
      type: this.type,
      shape,
      quantization: { scale: [scale], zeroPoint: [zeroPoint], axis: 0 },
    });
  }
  /** A constant in the place of an activation. */
  constant(shape: number[], scale?: number): number {
    const index = this.activation(shape, scale);
    const length = elementCount(shape);
    this.tensors[index]!.data =
      this.type === 'int16'
        ? Int16Array.from({ length }, () => this.integer(-32768, 32767))
        : Int8Array.from({ length }, () => this.integer(-128, 127));
    return index;
  }
  /** Weights with a scale for each index of `axis`, or one for all. */
  weights(shape: number[], axis: number, perChannel = true): number {
    const scale = Array.from({ length: perChannel ? shape[axis]! : 1 }, () => this.scale(0.001, 0.05));
    const data = Int8Array.from({ length: elementCount(shape) }, () => this.integer(-127, 127));
    return this.add({
      type: 'int8',
      shape,
      data,
      quantization: { scale, zeroPoint: scale.map(() => 0), axis },
    });
  }
  /** The bias that belongs to an input and its weights. */
  bias(input: number, weights: number, channels: number): number {
    const inputScale = this.tensors[input]!.quantization!.scale[0]!;
    const scale = this.tensors[weights]!.quantization!.scale.map((value) => Math.fround(value * inputScale));
    const quantization = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
    if (this.type === 'int16') {
      const data = BigInt64Array.from({ length: channels }, () => BigInt(this.integer(-5000000, 5000000)));
      return this.add({ type: 'int64', shape: [channels], data, quantization });
    }
    const data = Int32Array.from({ length: channels }, () => this.integer(-20000, 20000));
    return this.add({ type: 'int32', shape: [channels], data, quantization });
  }
  int32s(...values: number[]): number {
    return this.add({ type: 'int32', shape: [values.length], data: Int32Array.from(values) });
  }
  int32(value: number): number {
    return this.add({ type: 'int32', shape: [], data: Int32Array.of(value) });
  }
  /** Adds an operator; gives its output back. */
  op(operator: Operator): number {
    this.operators.push(operator);
    return operator.outputs[0]!;
  }
  graph(input: number, output: number): Graph {
    const { tensors, operators } = this;
    return { name: 'main', description: 'test', tensors, operators, inputs: [input], outputs: [output] };
  }
}

interface Ran<Report> {
  output: Int8Array;
  report: Report;
}

/**
 * Runs int8 networks in a third party's runtime, all in one Python process. `input` of each holds any number of runs
 * one after another, and so does the output.
 */
export function runInPython<Report>(
  environment: 'litert' | 'tflm',
  jobs: {
    graph: Graph | Uint8Array;
    input: Int8Array | Int16Array | Float32Array;
    [option: string]: unknown;
  }[],
): Ran<Report>[] {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-tflite-'));
  try {
    const list = jobs.map(({ graph, input, ...options }, index) => {
      const paths = Object.fromEntries(
        ['model', 'input', 'output'].map((kind) => [kind, join(folder, `${index}.${kind}`)]),
      ) as Record<'model' | 'input' | 'output', string>;
      writeFileSync(paths.model, graph instanceof Uint8Array ? graph : writeTflite(graph));
      writeFileSync(paths.input, new Uint8Array(input.buffer, input.byteOffset, input.byteLength));
      return { ...paths, ...options };
    });
    const listFile = join(folder, 'jobs.json');
    writeFileSync(listFile, JSON.stringify(list));
    const script = join(root, 'test', 'support', 'python', `${environment}_run.py`);
    const stdout = execFileSync(python(environment), [script, listFile], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const reports = JSON.parse(stdout) as Report[];
    return list.map(({ output }, index) => ({
      output: new Int8Array(readFileSync(output)),
      report: reports[index]!,
    }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
