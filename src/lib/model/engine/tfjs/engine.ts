import type { Scalar, Tensor, Variable } from '@tensorflow/tfjs-core';
import { checkState } from '../fast/engine.js';
import { copied, graphWith, setStatistics, statisticsOf } from '../trained-graph.js';
import type { Backend, Engine, EngineOptions, EngineState, Loss, Step, Trainable } from '../types.js';
import { execute, type Pass } from './execute.js';
import { type Core, loadTfjs, type TensorFlow } from './load.js';

const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-7];

/**
 * Training on TensorFlow.js, with its operators, gradients and memory. It is the reference against which the project's own engine is
 * checked, and supports GPUs (backend `node`).
 * @throws AIOT_BACKEND_MISSING, AIOT_MODEL_UNFIT
 */
export async function openTfjsEngine(trainable: Trainable, options: EngineOptions): Promise<Engine> {
  const tensorflow = await loadTfjs(options.backend as Exclude<Backend, 'auto'>);
  return new TfjsEngine({ ...trainable, batchNorms: copied(trainable.batchNorms) }, options, tensorflow);
}

class TfjsEngine implements Engine {
  readonly name: string;
  readonly inputSize: number;
  readonly outputSize: number;
  private readonly tf: Core;
  private readonly variables: Variable[];
  private moments: { first: Tensor; second: Tensor }[];
  private steps = 0;

  constructor(
    private readonly trainable: Trainable,
    private readonly options: EngineOptions,
    private readonly tensorflow: TensorFlow,
  ) {
    this.name = tensorflow.name;
    const tf = tensorflow.tf;
    this.tf = tf;
    tensorflow.use();
    const { graph, parameters, batchNorms } = trainable;
    const size = (index: number) => graph.tensors[index]!.shape.reduce((a, b) => a * b, 1);
    this.inputSize = size(graph.inputs[0]!);
    this.outputSize = size(graph.outputs[0]!);
    const initial: [Float32Array, number[]][] = [
      ...parameters.map((index): [Float32Array, number[]] => {
        const { data, shape } = graph.tensors[index]!;
        return [data as Float32Array, shape];
      }),
      ...batchNorms.flatMap(({ gamma, beta }): [Float32Array, number[]][] => [
        [gamma, [gamma.length]],
        [beta, [beta.length]],
      ]),
    ];
    this.variables = initial.map(([data, shape]) => tf.variable(tf.tensor(Float32Array.from(data), shape)));
    this.moments = this.variables.map((v) => ({ first: tf.zerosLike(v), second: tf.zerosLike(v) }));
  }

  step(
    inputs: Float32Array,
    targets: Float32Array,
    weights: Float32Array | null,
    rows: number,
    share = 1,
  ): Step {
    const { tf, variables } = this;
    this.tensorflow.use();
    return tf.tidy(() => {
      const t = tf.tensor(targets.subarray(0, rows * this.outputSize), [rows, this.outputSize]);
      const w = tf.tensor1d(weights ? weights.subarray(0, rows) : new Float32Array(rows).fill(1));
      let outputs = new Float32Array(0);
      const { value, grads } = tf.variableGrads(() => {
        const z = this.run(inputs, rows, true);
        // Copied here, because TensorFlow frees the tensor with the gradients' scope.
        outputs = Float32Array.from(z.dataSync());
        return tf.div(tf.sum(tf.mul(rowLoss(tf, this.options.loss, z, t), w)), rows) as Scalar;
      }, variables);
      // Parameters that the loss does not depend on have no gradient here.
      this.adam(
        variables.map((variable) => grads[variable.name] ?? tf.zerosLike(variable)),
        share,
      );
      return { loss: value.dataSync()[0]!, outputs };
    });
  }

  forward(inputs: Float32Array, rows: number): Float32Array {
    const outputs = new Float32Array(rows * this.outputSize);
    this.tensorflow.use();
    for (let from = 0; from < rows; from += 256) {
      const count = Math.min(256, rows - from);
      const part = inputs.subarray(from * this.inputSize, (from + count) * this.inputSize);
      outputs.set(
        this.tf.tidy(() => this.run(part, count, false).dataSync()),
        from * this.outputSize,
      );
    }
    return outputs;
  }

  save(): EngineState {
    return {
      steps: this.steps,
      values: joined(this.variables),
      first: joined(this.moments.map(({ first }) => first)),
      second: joined(this.moments.map(({ second }) => second)),
      statistics: statisticsOf(this.trainable.batchNorms),
    };
  }

  load({ steps, values, first, second, statistics }: EngineState): void {
    checkState(
      this.variables.reduce((sum, { size }) => sum + size, 0),
      [values, first, second],
    );
    checkState(statisticsOf(this.trainable.batchNorms).length, [statistics]);
    const { tf } = this;
    this.tensorflow.use();
    let at = 0;
    this.variables.forEach((variable, place) => {
      const tensor = (from: Float32Array) => tf.tensor(from.slice(at, at + variable.size), variable.shape);
      const value = tensor(values);
      variable.assign(value);
      value.dispose();
      this.replace(place, tensor(first), tensor(second));
      at += variable.size;
    });
    setStatistics(this.trainable.batchNorms, statistics);
    this.steps = steps;
  }

  graph() {
    return graphWith(this.trainable, joined(this.variables), statisticsOf(this.trainable.batchNorms));
  }

  dispose(): void {
    for (const variable of this.variables) variable.dispose();
    for (const { first, second } of this.moments) this.tf.dispose([first, second]);
  }

  private run(inputs: Float32Array, rows: number, training: boolean): Tensor {
    const { tf, trainable, options, variables, steps } = this;
    const { parameters, batchNorms } = trainable;
    const pass: Pass = {
      ...{ tf, trainable, options, rows, training, steps },
      parameters: new Map(parameters.map((index, place) => [index, variables[place]!])),
      norms: batchNorms.map((_, n) => ({
        gamma: variables[parameters.length + 2 * n]!,
        beta: variables[parameters.length + 2 * n + 1]!,
      })),
      onMoments: (norm, mean, variance) => {
        const note = batchNorms[norm]!;
        const mix = (old: Float32Array, seen: Tensor) => {
          const values = seen.dataSync();
          for (let c = 0; c < old.length; c++)
            old[c] = note.momentum * old[c]! + (1 - note.momentum) * values[c]!;
        };
        mix(note.mean, mean);
        mix(note.variance, variance);
      },
    };
    return execute(pass, tf.tensor(inputs.subarray(0, rows * this.inputSize), [rows, this.inputSize]));
  }

  /** One step of Adam, computed as in the fast engine: see wasm/vector.ts. */
  private adam(gradients: Tensor[], share: number): void {
    const { tf } = this;
    this.steps += 1;
    const [c1, c2] = [1 / (1 - beta1 ** this.steps), 1 / (1 - beta2 ** this.steps)];
    this.variables.forEach((variable, place) => {
      const { first, second } = this.moments[place]!;
      const gradient = gradients[place]!;
      const m = tf.add(tf.mul(first, beta1), tf.mul(gradient, 1 - beta1));
      const v = tf.add(tf.mul(second, beta2), tf.mul(tf.square(gradient), 1 - beta2));
      const change = tf.div(tf.mul(m, c1), tf.add(tf.sqrt(tf.mul(v, c2)), epsilon));
      variable.assign(tf.sub(variable, tf.mul(change, share * this.options.learningRate)));
      this.replace(place, tf.keep(m), tf.keep(v));
    });
  }

  private replace(place: number, first: Tensor, second: Tensor): void {
    const old = this.moments[place]!;
    this.moments[place] = { first, second };
    this.tf.dispose([old.first, old.second]);
  }
}

function joined(tensors: readonly Tensor[]): Float32Array {
  const parts = tensors.map((tensor) => tensor.dataSync() as Float32Array);
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Each row's loss, [rows], as defined in types.ts. */
function rowLoss(tf: Core, loss: Loss, z: Tensor, t: Tensor): Tensor {
  switch (loss) {
    case 'cells': {
      // The outputs have the shape [rows, height, width, classes].
      const places = z.size / z.shape.at(-1)!;
      const [own, wanted] = [z, t].map((of) => tf.reshape(of, [places, -1])) as [Tensor, Tensor];
      const losses = tf.neg(tf.sum(tf.mul(wanted, tf.logSoftmax(own)), 1));
      return tf.mean(tf.reshape(losses, [z.shape[0]!, -1]), 1);
    }
    case 'classes':
      return tf.neg(tf.sum(tf.mul(t, tf.logSoftmax(z)), 1));
    case 'probability': {
      const small = tf.log1p(tf.exp(tf.neg(tf.abs(z))));
      return tf.mean(tf.add(tf.sub(tf.relu(z), tf.mul(z, t)), small), 1);
    }
    case 'value':
      return tf.mean(tf.square(tf.sub(z, t)), 1);
  }
}
