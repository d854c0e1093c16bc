import { malformed } from '../errors.js';
import type { Lower } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { type Activation, identity, type OnnxMaker } from './maker.js';
import { axisIn } from './node.js';
import { plainUnary, scalar } from './pointwise.js';
import { reduced } from './shapes.js';

/** (x − mean) / √(variance + ε) over some axes. */
function normalized(maker: OnnxMaker, x: Activation, axes: readonly number[], epsilon: number): Activation {
  const centered = maker.two('SUB', x, reduced(maker, 'MEAN', x, axes, true));
  return maker.two('MUL', centered, inverseDeviation(maker, centered, axes, epsilon));
}

/** 1 / √(mean of squares + ε) */
function inverseDeviation(
  maker: OnnxMaker,
  x: Activation,
  axes: readonly number[],
  epsilon: number,
): Activation {
  const variance = reduced(maker, 'MEAN', maker.two('MUL', x, x), axes, true);
  return plainUnary(maker, 'RSQRT', maker.two('ADD', variance, scalar(epsilon)));
}

const layerNormalization: Lower = (call) => {
  call.onlyFirst();
  const { maker, attributes, where } = call;
  const x = call.x();
  const first = axisIn(attributes.integer('axis', -1), x.shape.length, where);
  const axes = identity(x.shape.length).slice(first);
  const y = maker.two(
    'MUL',
    normalized(maker, x, axes, attributes.float('epsilon', 1e-5)),
    call.constant(1, 'scale'),
  );
  const bias = call.optional(2, 'bias');
  return bias ? maker.two('ADD', y, bias) : y;
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

export const normRows: Readonly<Record<string, Lower>> = {
  GroupNormalization: groupNormalization,
  InstanceNormalization: instanceNormalization,
  LayerNormalization: layerNormalization,
  RMSNormalization: rootMeanSquare,
};
