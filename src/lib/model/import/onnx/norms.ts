import { malformed } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { type Activation, identity, type OnnxMaker } from './maker.js';
import { axisIn } from './node.js';
import { plainUnary, scalar } from './pointwise.js';
import { reduced } from './shapes.js';

/** (x − mean) / √(variance + ε) over some axes. */
const normalized = (maker: OnnxMaker, x: Activation, axes: readonly number[], epsilon: number) =>
  withStatistics(maker, x, axes, epsilon)[0];

/** The same, the mean, and 1 / √(variance + ε). */
function withStatistics(maker: OnnxMaker, x: Activation, axes: readonly number[], epsilon: number) {
  const mean = reduced(maker, 'MEAN', x, axes, true);
  const centered = maker.two('SUB', x, mean);
  const inverse = inverseDeviation(maker, centered, axes, epsilon);
  return [maker.two('MUL', centered, inverse), mean, inverse] as const;
}

/** 1 / √(mean of squares + ε) */
function inverseDeviation(
  maker: OnnxMaker,
  x: Activation,
  axes: readonly number[],
  epsilon: number,
): Activation {
  return inverseRoot(maker, reduced(maker, 'MEAN', maker.two('MUL', x, x), axes, true), epsilon);
}

const inverseRoot = (maker: OnnxMaker, variance: Activation, epsilon: number) =>
  plainUnary(maker, 'RSQRT', maker.two('ADD', variance, scalar(epsilon)));

const layerNormalization: Lower = (call) => {
  const { maker, attributes, where } = call;
  const x = call.x();
  const first = axisIn(attributes.integer('axis', -1), x.shape.length, where);
  const axes = identity(x.shape.length).slice(first);
  const [normal, ...statistics] = withStatistics(maker, x, axes, attributes.float('epsilon', 1e-5));
  const y = maker.two('MUL', normal, call.constant(1, 'scale'));
  const bias = call.optional(2, 'bias');
  return [bias ? maker.two('ADD', y, bias) : y, ...statistics];
};

const rootMeanSquare: Lower = (call) => {
  const { maker, attributes, where } = call;
  const x = call.x();
  const axes = identity(x.shape.length).slice(axisIn(attributes.integer('axis', -1), x.shape.length, where));
  const y = maker.two('MUL', x, inverseDeviation(maker, x, axes, attributes.float('epsilon', 1e-5)));
  return maker.two('MUL', y, call.constant(1, 'scale'));
};

/** One constant per channel, reshaped for values of this rank. */
function perChannel(c: Constant, rank: number): Constant {
  return constantOf('float32', [c.data.length, ...new Array<number>(Math.max(0, rank - 2)).fill(1)], c.data);
}

/** γ(x − μ)/√(σ² + ε) + β per channel, as a product and a sum, so that both can be folded into the preceding layer. */
const batchNormalization: Lower = (call) => {
  const { attributes, maker } = call;
  if (attributes.integer('training_mode', 0) !== 0) return trainingNormalization(call);
  call.onlyFirst();
  const x = call.x();
  const [scale, offset, mean, variance] = ['scale', 'offset', 'mean', 'variance'].map(
    (role, k) => call.constant(k + 1, role).data,
  );
  const epsilon = attributes.float('epsilon', 1e-5);
  const channels = x.shape[1] ?? 1;
  if ([scale, offset, mean, variance].some((each) => each!.length !== channels))
    throw malformed(`${call.where}: its statistics do not match ${channels} channels`);
  const factor = Float32Array.from(
    { length: channels },
    (_, c) => scale![c]! / Math.sqrt(variance![c]! + epsilon),
  );
  const shift = factor.map((value, c) => offset![c]! - mean![c]! * value);
  const shape = [channels, ...x.shape.slice(2).map(() => 1)];
  const y = maker.two('MUL', x, constantOf('float32', shape, factor));
  return maker.two('ADD', y, constantOf('float32', shape, shift));
};

/** A BatchNormalization by the statistics of its own input, and the running statistics, which also contain those of this input. */
function trainingNormalization(call: NodeCall): Activation[] {
  const { attributes, maker } = call;
  maker.notes.push(
    `${call.where} is in training mode: it normalizes by the mean and variance of its own input. To use the trained ones, export the model for inference (model.eval()).`,
  );
  const x = call.x();
  const { length } = x.shape;
  const axes = identity(length).filter((axis) => axis !== 1);
  const mean = reduced(maker, 'MEAN', x, axes, true);
  const centered = maker.two('SUB', x, mean);
  const variance = reduced(maker, 'MEAN', maker.two('MUL', centered, centered), axes, true);
  const normal = maker.two('MUL', centered, inverseRoot(maker, variance, attributes.float('epsilon', 1e-5)));
  const scaled = maker.two('MUL', normal, perChannel(call.constant(1, 'scale'), length));
  const y = maker.two('ADD', scaled, perChannel(call.constant(2, 'offset'), length));
  const momentum = attributes.float('momentum', 0.9);
  const running = (own: Activation, before: Constant) =>
    maker.two(
      'ADD',
      maker.two('MUL', maker.reshaped(own, before.shape), scalar(1 - momentum)),
      constantOf(
        'float32',
        before.shape,
        before.data.map((value) => value * momentum),
      ),
    );
  return [y, running(mean, call.constant(3, 'mean')), running(variance, call.constant(4, 'variance'))];
}

const instanceNormalization: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  const axes = identity(x.shape.length).slice(2);
  const y = normalized(maker, x, axes, call.attributes.float('epsilon', 1e-5));
  const scaled = maker.two('MUL', y, perChannel(call.constant(1, 'scale'), x.shape.length));
  return maker.two('ADD', scaled, perChannel(call.constant(2, 'bias'), x.shape.length));
};

const groupNormalization: Lower = (call) => {
  const { maker, attributes, where } = call;
  const x = call.x();
  const groups = attributes.integer('num_groups', 1);
  const [batch = 1, channels = 0, ...rest] = x.shape;
  if (!(groups >= 1) || channels % groups !== 0)
    throw malformed(`${where}: ${channels} channels cannot be divided into ${groups} groups`);
  const wide = maker.reshaped(x, [batch, groups, channels / groups, ...rest]);
  const y = normalized(maker, wide, identity(wide.shape.length).slice(2), attributes.float('epsilon', 1e-5));
  const back = maker.reshaped(y, x.shape);
  const [scale, bias] = [call.constant(1, 'scale'), call.constant(2, 'bias')];
  const scaled = maker.two('MUL', back, perChannel(repeated(scale, channels), x.shape.length));
  return maker.two('ADD', scaled, perChannel(repeated(bias, channels), x.shape.length));
};

/** Before opset 21, scale and bias have one value per group, which is repeated for each channel. */
function repeated(c: Constant, channels: number): Constant {
  const times = channels / c.data.length;
  return constantOf(
    'float32',
    [channels],
    Float32Array.from({ length: channels }, (_, k) => c.data[Math.floor(k / times)]!),
  );
}

/** Divides by the standard deviation plus 10⁻⁹, which differs from this result only for a deviation near zero. */
const meanVariance: Lower = (call) => {
  const x = call.x();
  const given = call.attributes.integers('axes') ?? [0, 2, 3];
  const axes = given.map((axis) => axisIn(axis, x.shape.length, call.where));
  return normalized(call.maker, x, [...new Set(axes)], 1e-18);
};

export const normRows: Readonly<Record<string, Lower>> = {
  BatchNormalization: batchNormalization,
  GroupNormalization: groupNormalization,
  InstanceNormalization: instanceNormalization,
  MeanVarianceNormalization: meanVariance,
  LayerNormalization: layerNormalization,
  RMSNormalization: rootMeanSquare,
};
