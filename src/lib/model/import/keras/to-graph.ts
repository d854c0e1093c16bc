import type { Graph } from '../../../formats/tflite/graph.js';
import { isModel, malformed, unsupported } from '../errors.js';
import { FoldBudget } from '../onnx/fold.js';
import { OnnxMaker } from '../onnx/maker.js';
import { withoutDead } from '../onnx/to-graph.js';
import {
  hardSigmoidSlope,
  type KerasModel,
  type LayerJson,
  LayerSettings,
  type WeightSource,
} from './config.js';
import { layerMakers, replacements } from './layers.js';

/**
 * Converts a Keras model (sequential or functional, including nested models) to a float32 graph of batch 1.
 * @throws AIOT_LAYER_UNSUPPORTED naming the layer by its index, AIOT_FILE_MALFORMED
 */
export function kerasToGraph({ model, weights, version }: KerasModel): Graph & { layers: number } {
  const walk = new ModelWalk(
    new OnnxMaker(Number.POSITIVE_INFINITY, new FoldBudget(Number.POSITIVE_INFINITY)),
    weights,
  );
  walk.maker.hardSigmoidSlope = hardSigmoidSlope(version);
  const outputs = walk.model(model, [], undefined);
  const inputs = walk.ordered();
  if (outputs.length === 0 || inputs.length === 0)
    throw malformed(`the model has ${inputs.length} inputs and ${outputs.length} outputs`);
  const taken = new Set(inputs);
  const ends = outputs.map((output) => {
    // A copy is needed if an output is also an input, or is listed twice.
    const shape = walk.maker.shape(output);
    const own = taken.has(output)
      ? walk.maker.op('RESHAPE', [output, walk.maker.integers(shape)], shape, { newShape: shape })
      : output;
    taken.add(own);
    return own;
  });
  // An unrolled recurrent layer also computes outputs that no layer uses.
  return { ...withoutDead(walk.maker.graph(inputs, ends)), layers: walk.layers };
}

class ModelWalk {
  /** Inputs of the whole network, in the order of their first use. */
  private readonly inputs: { name: string; tensor: number }[] = [];
  /** Names of the inputs in the model's order. */
  private listed: readonly string[] = [];
  layers = 0;

  constructor(
    readonly maker: OnnxMaker,
    private readonly weights: WeightSource,
  ) {}

  /** Tensors of the used inputs, in the model's order. */
  ordered(): number[] {
    const place = ({ name }: { name: string }) => this.listed.indexOf(name);
    return [...this.inputs].sort((a, b) => place(a) - place(b)).map(({ tensor }) => tensor);
  }

  /** @param given the arguments of an inner model @returns its outputs */
  model(model: LayerJson, path: string[], given: number[] | undefined): number[] {
    const { layers } = model.config;
    // In TensorFlow.js 1, a sequential model's configuration is the list of layers.
    const list = (Array.isArray(model.config) ? model.config : layers) as LayerJson[] | undefined;
    if (!Array.isArray(list)) throw malformed(`${model.class_name}: the layer list is missing`);
    list.forEach(requireLayer);
    if (model.class_name === 'Sequential') return [this.sequence(model, list, path, given)];
    if (model.class_name === 'Functional' || model.class_name === 'Model')
      return this.network(model, list, path, given);
    throw unsupported('the model', `its class is ${model.class_name}`, 'use Sequential or Functional');
  }

  private sequence(
    model: LayerJson,
    layers: LayerJson[],
    path: string[],
    given: number[] | undefined,
  ): number {
    let x = given?.[0];
    layers.forEach((layer, index) => {
      if (layer.class_name === 'InputLayer') {
        x ??= this.input(shapeOf(layer), nameOf(layer));
        return;
      }
      x ??= this.input(shapeOf(layer) ?? model.config.build_input_shape, 'input');
      x = this.call(layer, index, [x], path)[0]!;
    });
    if (x === undefined) throw malformed('the model has no layers');
    return x;
  }

  private network(
    model: LayerJson,
    layers: LayerJson[],
    path: string[],
    given: number[] | undefined,
  ): number[] {
    const index = new Map(layers.map((layer, place) => [nameOf(layer), place]));
    const begins = endsOf(model.config.input_layers).map(({ layer }) => layer);
    if (given === undefined) this.listed = begins;
    const made = new Map<string, number[]>();
    const running = new Set<string>();
    const result = ({ layer: name, call, output }: Source): number => {
      const found = resultsOf(name, call)[output];
      if (found !== undefined) return found;
      throw unsupported(
        `layer ${index.get(name)} (${[...path, name].join('/')})`,
        `its output ${output} is used, but only the first is supported`,
      );
    };
    const resultsOf = (name: string, call: number): number[] => {
      const key = `${name} ${call}`;
      const known = made.get(key);
      if (known !== undefined) return known;
      const place = index.get(name);
      const layer = place === undefined ? undefined : layers[place];
      if (layer === undefined || place === undefined || running.has(key))
        throw malformed(
          `the model connects ${name}, which ${layer ? 'depends on itself' : 'is not in its layer list'}`,
        );
      running.add(key);
      const y =
        layer.class_name === 'InputLayer'
          ? [given?.[begins.indexOf(name)] ?? this.input(shapeOf(layer), name)]
          : this.call(layer, place, (callsOf(layer)[call] ?? []).map(result), path);
      made.set(key, y);
      return y;
    };
    return endsOf(model.config.output_layers).map(result);
  }

  /** @returns the layer's outputs; only an inner model has several */
  private call(layer: LayerJson, index: number, inputs: number[], path: string[]): number[] {
    const name = nameOf(layer);
    const kind = layer.class_name;
    const where = `layer ${index} (${[...path, name].join('/')}, ${kind})`;
    if (inputs.length === 0) throw malformed(`${where}: it is called without an input`);
    if (kind === 'Sequential' || kind === 'Functional' || kind === 'Model')
      return this.model(layer, [...path, name], inputs);
    const make = Object.hasOwn(layerMakers, kind) ? layerMakers[kind] : undefined;
    if (make === undefined) {
      const instead = Object.hasOwn(replacements, kind) ? replacements[kind] : undefined;
      throw unsupported(where, `${kind} is not supported`, instead);
    }
    this.layers += 1;
    this.maker.where = where;
    const y = make({
      maker: this.maker,
      kind,
      inputs,
      name,
      settings: new LayerSettings(layer.config, where),
      weights: (...roles) => this.weights.of([...path, name], roles),
      partWeights: (part, ...roles) => this.weights.of([...path, name], roles, part),
    });
    return [y];
  }

  /** @param shape with the batch in front, as in Keras */
  private input(shape: unknown, name: string): number {
    if (!Array.isArray(shape)) throw malformed(`${name}: the model does not define its input shape`);
    const sizes = shape.slice(1);
    if (!sizes.every((size) => Number.isInteger(size) && size > 0))
      throw unsupported(
        `the input ${name}`,
        `its shape is [${shape.map(String)}]`,
        'save the model with fixed sizes',
      );
    const x = this.maker.activation(name, [1, ...sizes]);
    this.inputs.push({ name, tensor: x });
    return x;
  }
}

/** The batch shape that a layer declares, in Keras 3, Keras 2 or TensorFlow.js. */
function shapeOf({ config }: LayerJson): unknown {
  return config.batch_shape ?? config.batch_input_shape;
}

/** Reads a layer's class, settings and name. @throws AIOT_FILE_MALFORMED naming the field */
function requireLayer(layer: unknown, index: number): void {
  const where = `layer ${index} of the model`;
  if (!isModel(layer))
    throw malformed(`${where}: expected an object with class_name and config, got ${JSON.stringify(layer)}`);
  const { name, config } = layer as LayerJson;
  for (const given of [name, config.name]) {
    if (given === undefined || given === null || typeof given === 'string') continue;
    throw malformed(`${where}: expected a string as name, got ${JSON.stringify(given)}`);
  }
}

/** One output from one call of a layer. */
interface Source {
  layer: string;
  /** Index of the layer's call, and of that call's output, from 0. */
  call: number;
  output: number;
}

function nameOf(layer: LayerJson): string {
  return layer.name ?? String(layer.config.name ?? layer.class_name);
}

/**
 * The arguments of each call of a layer. Keras 3 nests tensors with a `keras_history` in the arguments; Keras 2 and TensorFlow.js write
 * lists of [layer, call, output, …].
 */
function callsOf({ inbound_nodes: nodes }: LayerJson): Source[][] {
  if (!Array.isArray(nodes)) return [];
  return nodes.map((node) => (Array.isArray(node) ? node.flatMap(fromList) : tensorsIn(node)));
}

/** A model's `input_layers` or `output_layers`: one source, or a list or object of sources. */
function endsOf(given: unknown): Source[] {
  if (typeof given === 'object' && given !== null && !Array.isArray(given))
    return Object.values(given).flatMap(endsOf);
  if (!Array.isArray(given)) throw malformed('the model does not define its inputs and outputs');
  return typeof given[0] === 'string' ? fromList(given) : given.flatMap(fromList);
}

function fromList(given: unknown): Source[] {
  if (!Array.isArray(given)) return [];
  const [layer, call, output] = given;
  return typeof layer === 'string'
    ? [{ layer, call: Number(call ?? 0), output: Number(output ?? 0) }]
    : given.flatMap(fromList);
}

function tensorsIn(value: unknown): Source[] {
  if (Array.isArray(value)) return value.flatMap(tensorsIn);
  if (typeof value !== 'object' || value === null) return [];
  const { keras_history: history } = ((value as { config?: unknown }).config ?? {}) as {
    keras_history?: unknown;
  };
  if (history !== undefined) return fromList(history);
  return Object.values(value).flatMap(tensorsIn);
}
