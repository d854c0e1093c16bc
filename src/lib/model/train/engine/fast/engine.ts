import { AiotError } from '../../../../core/index.js';
import { lossOf } from '../losses.js';
import { copied, graphWith, setStatistics, statisticsOf } from '../trained-graph.js';
import type { Engine, EngineOptions, EngineState, Step, Trainable } from '../types.js';
import { buildMachine, type Machine } from './machine.js';

const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-7];
/** Rows that are computed at once where nothing is trained. */
const evaluationRows = 64;

/**
 * The project's own engine: forward, backward and Adam as WebAssembly SIMD kernels made by `wasm/`, and plain loops over the same memory
 * where those suffice (docs/decisions/009). One thread; every sum has a fixed order.
 * @throws AIOT_MODEL_UNFIT, AIOT_TFLITE_MALFORMED
 */
export function openFastEngine(given: Trainable, options: EngineOptions): Engine {
  return new FastEngine({ ...given, batchNorms: copied(given.batchNorms) }, options);
}

class FastEngine implements Engine {
  readonly name = 'wasm-simd';
  private machine: Machine;
  private steps = 0;

  constructor(
    private readonly trainable: Trainable,
    private readonly options: EngineOptions,
  ) {
    this.machine = buildMachine(trainable, 1, options);
  }

  get inputSize(): number {
    return this.machine.input.size;
  }

  get outputSize(): number {
    return this.machine.output.size;
  }

  step(inputs: Float32Array, targets: Float32Array, weights: Float32Array | null, rows: number): Step {
    this.check(inputs, rows, this.inputSize, 'inputs');
    this.check(targets, rows, this.outputSize, 'targets');
    this.reserve(rows);
    const { machine, steps } = this;
    const { kernels, parameters, output } = machine;
    machine.clear();
    machine.input.value.data.set(inputs.subarray(0, rows * this.inputSize));
    const run = { rows, training: true, steps };
    machine.forward(run);
    const outputs = output.value.data.slice(0, rows * output.size);
    const loss = lossOf(this.options.loss, outputs, targets, weights, rows, output.gradient!.data);
    machine.backward(run);
    this.steps = steps + 1;
    const { values, first, second, gradients } = parameters;
    const [c1, c2] = [1 / (1 - beta1 ** this.steps), 1 / (1 - beta2 ** this.steps)];
    const { learningRate } = this.options;
    const places = [values.at, first.at, second.at, gradients.at] as const;
    kernels.adam(...places, values.length, learningRate, beta1, beta2, epsilon, c1, c2);
    return { loss, outputs };
  }

  forward(inputs: Float32Array, rows: number): Float32Array {
    this.check(inputs, rows, this.inputSize, 'inputs');
    this.reserve(Math.min(rows, evaluationRows));
    const { machine, steps } = this;
    const { input, output } = machine;
    const outputs = new Float32Array(rows * output.size);
    for (let from = 0; from < rows; from += machine.rows) {
      const count = Math.min(machine.rows, rows - from);
      input.value.data.set(inputs.subarray(from * input.size, (from + count) * input.size));
      machine.forward({ rows: count, training: false, steps });
      outputs.set(output.value.data.subarray(0, count * output.size), from * output.size);
    }
    return outputs;
  }

  save(): EngineState {
    const { parameters } = this.machine;
    return {
      steps: this.steps,
      values: parameters.packed(parameters.values),
      first: parameters.packed(parameters.first),
      second: parameters.packed(parameters.second),
      statistics: statisticsOf(this.trainable.batchNorms),
    };
  }

  load({ steps, values, first, second, statistics }: EngineState): void {
    const { parameters } = this.machine;
    checkState(parameters.count, [values, first, second]);
    checkState(statisticsOf(this.trainable.batchNorms).length, [statistics]);
    parameters.unpack(values, parameters.values);
    parameters.unpack(first, parameters.first);
    parameters.unpack(second, parameters.second);
    setStatistics(this.trainable.batchNorms, statistics);
    this.steps = steps;
  }

  graph() {
    const { values, statistics } = this.save();
    return graphWith(this.trainable, values, statistics);
  }

  /** The memory goes with the object. */
  dispose(): void {}

  /** Room for that many rows at once. */
  private reserve(rows: number): void {
    if (rows <= this.machine.rows) return;
    const state = this.save();
    this.machine = buildMachine(this.trainable, rows, this.options);
    this.load(state);
  }

  private check(values: Float32Array, rows: number, size: number, what: string): void {
    if (values.length >= rows * size && rows > 0) return;
    throw new AiotError('AIOT_BUG', `${what}: expected ${rows} × ${size} numbers, got ${values.length}`);
  }
}

/** @throws AIOT_FILE_MALFORMED */
export function checkState(expected: number, parts: readonly Float32Array[]): void {
  for (const { length } of parts) {
    if (length === expected) continue;
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `the state of training is of another network: expected ${expected} numbers, got ${length}`,
    );
  }
}
