import { malformed, unsupported } from '../errors.js';
import { NodeCall } from '../onnx/call.js';
import { constantOf } from '../onnx/constants.js';
import type { OnnxAttribute } from '../onnx/file.js';
import type { Activation } from '../onnx/maker.js';
import { Attributes } from '../onnx/node.js';
import { recurrentRows } from '../onnx/recurrent.js';
import { type LayerJson, LayerSettings, type Weight, type WeightPart } from './config.js';
import type { LayerCall, LayerMaker } from './layers.js';
import { transposed } from './maker.js';

/** A recurrent layer's ONNX operator, and the position of each of Keras's gates in ONNX's order. */
interface Kind {
  op: 'GRU' | 'LSTM' | 'RNN';
  gates: readonly number[];
  activations: readonly ('activation' | 'recurrent_activation')[];
}

const kinds: Readonly<Record<string, Kind>> = {
  // Keras: input, forget, cell, output. ONNX: input, output, forget, cell.
  LSTM: {
    op: 'LSTM',
    gates: [0, 2, 3, 1],
    activations: ['recurrent_activation', 'activation', 'activation'],
  },
  GRU: { op: 'GRU', gates: [0, 1, 2], activations: ['recurrent_activation', 'activation'] },
  SimpleRNN: { op: 'RNN', gates: [0], activations: ['activation'] },
};

/** ONNX's name of an activation, with its settings. */
interface OnnxActivation {
  name: string;
  alpha?: number;
  beta?: number;
}

/** ONNX's equivalents of Keras's activations. @param slope of hard_sigmoid */
const activations = (slope: number): Readonly<Record<string, OnnxActivation>> => ({
  elu: { name: 'Elu', alpha: 1 },
  hard_sigmoid: { name: 'HardSigmoid', alpha: slope, beta: 0.5 },
  hardSigmoid: { name: 'HardSigmoid', alpha: slope, beta: 0.5 },
  linear: { name: 'Affine', alpha: 1, beta: 0 },
  relu: { name: 'Relu' },
  sigmoid: { name: 'Sigmoid' },
  softplus: { name: 'Softplus' },
  softsign: { name: 'Softsign' },
  tanh: { name: 'Tanh' },
});

/** LSTM, GRU and SimpleRNN, unrolled over the time steps. */
export const recurrent: LayerMaker = (call) =>
  direction(
    call,
    call.kind,
    call.settings,
    { groups: ['cell'], names: [] },
    call.settings.flag('go_backwards', false),
  ).tensor;

/** Two recurrent layers, of which one runs backwards. */
export const bidirectional: LayerMaker = (call) => {
  const { maker, settings } = call;
  const { where } = settings;
  const forward = innerLayer(settings, 'layer');
  const given = settings.raw('backward_layer');
  const backward = given === undefined ? forward : innerLayer(settings, 'backward_layer');
  const [ahead, back] = [forward, backward].map(({ config }) => new LayerSettings(config, where)) as [
    LayerSettings,
    LayerSettings,
  ];
  const runsBackwards = given === undefined || back.flag('go_backwards', false);
  if (ahead.flag('go_backwards', false) || !runsBackwards)
    throw unsupported(where, 'its layers must run forward and backward');
  const ways = [
    direction(call, forward.class_name, ahead, partOf('forward', forward), false),
    direction(call, backward.class_name, back, partOf('backward', backward), true, true),
  ].map(({ tensor }) => tensor) as [number, number];
  if (maker.shape(ways[0]).join() !== maker.shape(ways[1]).join())
    throw malformed(`${where}: its layers have outputs of different shapes`);
  const rank = maker.shape(ways[0]).length;
  const mode = settings.raw('merge_mode') ?? 'none';
  switch (mode) {
    case 'concat':
      return maker.concatenated(ways, rank - 1);
    case 'sum':
      return maker.binary('ADD', ...ways);
    case 'mul':
      return maker.binary('MUL', ...ways);
    case 'ave':
      return maker.binary('MUL', maker.binary('ADD', ...ways), maker.floats(Float32Array.of(0.5), [1]));
    default:
      throw unsupported(where, `merge_mode ${JSON.stringify(mode)} is not supported`, 'use "concat"');
  }
};

/** Keras 3 prefixes an inner layer's name in its configuration, Keras 2 only in the names of its weights. */
function partOf(way: 'forward' | 'backward', { config }: LayerJson): WeightPart {
  const name = String(config.name);
  return { groups: [`${way}_layer`, 'cell'], names: [name, `${way}_${name}`] };
}

function innerLayer(settings: LayerSettings, name: string): LayerJson {
  const layer = settings.raw(name) as Partial<LayerJson> | undefined;
  if (typeof layer?.class_name !== 'string' || typeof layer.config !== 'object' || layer.config === null)
    throw malformed(`${settings.where}: ${name} is missing`);
  return layer as LayerJson;
}

/** @param isAligned whether the outputs of a layer that runs backwards are in the order of its inputs, as in Bidirectional */
function direction(
  call: LayerCall,
  kindName: string,
  settings: LayerSettings,
  part: WeightPart,
  isBackward: boolean,
  isAligned = false,
): Activation {
  const { maker, inputs } = call;
  const { where } = settings;
  const kind = Object.hasOwn(kinds, kindName) ? kinds[kindName] : undefined;
  if (kind === undefined)
    throw unsupported(where, `${kindName} is not supported`, 'use LSTM, GRU or SimpleRNN');
  const wantsSteps = settings.flag('return_sequences', false);
  if (settings.flag('stateful', false))
    throw unsupported(where, 'stateful is not supported', 'save the model with stateful=False');
  if (settings.flag('time_major', false))
    throw unsupported(where, 'time_major is not supported', 'save the model with time_major=False');
  if (isBackward && wantsSteps && !isAligned)
    throw unsupported(
      where,
      'go_backwards with return_sequences is not supported',
      'use Bidirectional, or return_sequences=False',
    );
  if (inputs.length > 1)
    throw unsupported(where, 'an initial state is not supported', 'call the layer with its input only');
  const shape = maker.shape(inputs[0]!);
  if (shape.length !== 3)
    throw malformed(`${where}: expected an input of [time, channels], got [${shape.slice(1).join(', ')}]`);
  const hasBias = settings.flag('use_bias', true);
  const [kernel, own, bias] = call.partWeights(
    part,
    'kernel',
    'recurrent_kernel',
    ...(hasBias ? ['bias'] : []),
  );
  const [, rows = 0] = kernel!.shape;
  const units = rows / kind.gates.length;
  const resetAfter = kind.op === 'GRU' && settings.flag('reset_after', bias?.shape.length === 2);
  const expected = [[shape[2], rows], [units, rows], ...(bias ? [resetAfter ? [2, rows] : [rows]] : [])];
  const stated = settings.number('units', units);
  if (
    expected.join(' ') !== [kernel!, own!, ...(bias ? [bias] : [])].map((w) => w.shape).join(' ') ||
    stated !== units
  )
    throw malformed(
      `${where}: expected weights of ${expected.map((sizes) => `[${sizes.join(', ')}]`).join(', ')} for ${stated} units`,
    );
  const inOrder = (weight: Weight, columns: number) => reordered(weight, columns, kind.gates);
  const constant = (weight: Weight) => {
    const columns = weight.shape[0]!;
    return constantOf('float32', [1, rows, columns], inOrder(weight, columns));
  };
  const zeros = new Float32Array(rows);
  const biases = bias
    ? [0, 1].map((half) =>
        half === 1 && !resetAfter
          ? zeros
          : inOrder({ shape: [1, rows], data: bias.data.subarray(half * rows, (half + 1) * rows) }, 1),
      )
    : [zeros, zeros];
  const values = [
    maker.plain(inputs[0]!),
    constant(kernel!),
    constant(own!),
    constantOf('float32', [1, 2 * rows], Float32Array.from(biases.flatMap((half) => [...half]))),
  ];
  const chosen = kind.activations.map((name) => activationOf(settings, name, maker.hardSigmoidSlope));
  const node = {
    inputs: [],
    outputs: [],
    name: call.name,
    op: kind.op,
    domain: '',
    attributes: [
      attribute('layout', { integer: 1 }),
      attribute('hidden_size', { integer: units }),
      attribute('linear_before_reset', { integer: resetAfter ? 1 : 0 }),
      attribute('direction', { bytes: new TextEncoder().encode(isBackward ? 'reverse' : 'forward') }),
      attribute('activations', {
        strings: chosen.map(({ name }) => new TextEncoder().encode(name)),
      }),
      attribute('activation_alpha', {
        floats: [Float32Array.from(chosen.flatMap(({ alpha }) => alpha ?? []))],
      }),
      attribute('activation_beta', { floats: [Float32Array.from(chosen.flatMap(({ beta }) => beta ?? []))] }),
    ],
  };
  const lower = recurrentRows[kind.op]!;
  const [steps, last] = lower(
    new NodeCall(maker, kind.op, where, values, new Attributes(node, where), [], () => true, 23),
  ) as [Activation, Activation];
  return wantsSteps ? plain(call, steps, [1, shape[1]!, units]) : plain(call, last, [1, units]);
}

/** The value in Keras's shape, stored in the order of its axes. */
function plain({ maker }: LayerCall, x: Activation, shape: number[]): Activation {
  return maker.plain(maker.inFileOrder(maker.reshaped(x, shape)), shape);
}

/** [inputs, gates · units] in Keras's order of gates → [gates · units, inputs] in ONNX's. */
function reordered({ data }: Weight, inputs: number, gates: readonly number[]): Float32Array {
  const rows = transposed(data, inputs, data.length / inputs);
  const size = rows.length / gates.length;
  const out = new Float32Array(rows.length);
  gates.forEach((place, gate) => {
    out.set(rows.subarray(gate * size, (gate + 1) * size), place * size);
  });
  return out;
}

function activationOf(settings: LayerSettings, name: string, slope: number): OnnxActivation {
  const given = settings.raw(name) ?? 'linear';
  const object = given as { class_name?: unknown; config?: unknown };
  const key = String(
    typeof given === 'string' ? given : typeof object.config === 'string' ? object.config : object.class_name,
  );
  const known = activations(slope);
  if (Object.hasOwn(known, key)) return known[key]!;
  throw unsupported(
    settings.where,
    `the ${name} ${JSON.stringify(key)} is not supported`,
    'use tanh, sigmoid or relu',
  );
}

function attribute(name: string, value: Partial<OnnxAttribute>): OnnxAttribute {
  const none = { float: 0, integer: 0, bytes: undefined, tensor: undefined, graph: undefined };
  return { name, ...none, floats: [], integers: [], strings: [], reference: '', ...value };
}
