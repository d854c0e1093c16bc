import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { argMaxRows } from '../../src/lib/model/evaluate/metrics.js';
import { layersOf, type NetworkSpec } from '../../src/lib/model/network/layers.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { fitStandardization, standardizeAll } from '../../src/lib/model/train/examples/standardize.js';
import { augmenter } from '../../src/lib/model/train/fit/augment.js';
import { fitNetwork } from '../../src/lib/model/train/fit/fit-network.js';
import { finishGraph } from '../../src/lib/model/train/learn.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { quantizeInput, type Standardization } from '../../src/lib/signal/spec.js';
import { type Material, rowsOf } from './material.js';
import type { Recipe } from './recipes.js';

/** An int8 model as it runs on a device, with its standardization. */
export interface DeviceNetwork {
  graph: Graph;
  standardization: Standardization;
  bytes: number;
}

export interface TrainingPlaces {
  /** Indices of the training windows. */
  places: number[];
  members: number;
  seed: number;
}

/**
 * Trains by a recipe on these windows only: standardization, weights and int8 ranges are all derived from them. No windows are held out
 * to select the epoch, because the number of epochs is part of the recipe.
 */
export async function trainInt8(
  material: Material,
  recipe: Recipe,
  { places, members, seed }: TrainingPlaces,
): Promise<DeviceNetwork> {
  const { inputSize } = material;
  const count = material.classes.length;
  const examples = {
    inputs: rowsOf(material, places),
    inputSize,
    classes: Int32Array.from(places, (place) => material.truth[place]!),
    values: null,
    recordings: places.map((place) => material.recordings[place]!),
  };
  const standardization = fitStandardization(examples);
  const inputs = standardizeAll(examples, standardization);
  const part = { inputs, inputSize, classes: examples.classes, values: null };
  const spec: NetworkSpec = {
    kind: 'mlp',
    inputShape: [inputSize],
    layers: layersOf('mlp', recipe.layers, [inputSize]),
    output: { kind: 'classes', count },
  };
  const noise = { rotation: 0, timeWarp: 0, gain: 0, noise: recipe.noise };
  const fitted = await fitNetwork({
    spec,
    train: part,
    // Validating on the training windows selects the epoch that fits them best, which is almost always the last.
    validation: part,
    epochs: recipe.epochs,
    batch: 32,
    learningRate: 0.001,
    seed,
    members,
    classWeights: 'balanced',
    augment: augmenter(noise, inputSize, standardization, null),
    backend: 'auto',
  });
  const float = finishGraph(fitted.trained, { ending: 'SOFTMAX' }, 'har');
  fitted.dispose();
  const rows = examples.recordings.map((_, i) => inputs.subarray(i * inputSize, (i + 1) * inputSize));
  const { graph } = quantizeGraph(float, rows);
  return { graph, standardization, bytes: writeTflite(graph).length };
}

/** Predicts these windows as a device would, with the bit-exact interpreter. */
export function predict(
  material: Material,
  { graph, standardization }: DeviceNetwork,
  places: readonly number[],
): Int32Array {
  const { inputs, inputSize } = material;
  const interpreter = createInterpreter(graph);
  const { scale = [], zeroPoint = [] } = interpreter.inputTensors[0]!.quantization ?? {};
  const quantization = { scale: scale[0]!, zeroPoint: zeroPoint[0]! };
  return Int32Array.from(places, (place) => {
    const features = inputs.subarray(place * inputSize, (place + 1) * inputSize);
    const output = interpreter.invoke(quantizeInput(features, standardization, quantization));
    return argMaxRows(output, output.length)[0]!;
  });
}
