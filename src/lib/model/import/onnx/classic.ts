import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { constantOf } from './constants.js';
import { biasOf, dense } from './linear.js';
import type { Activation } from './maker.js';
import { plainUnary, quotient, scalar, softmaxOf, unary } from './pointwise.js';
import { joined, reduced } from './shapes.js';

/** (x − offset) · scale */
const scaler: Lower = (call) => {
  const { maker, attributes } = call;
  const [offset, scale] = [attributes.floats('offset') ?? [0], attributes.floats('scale') ?? [1]];
  const centered = maker.two('SUB', call.x(), constantOf('float32', [offset.length], offset));
  return maker.two('MUL', centered, constantOf('float32', [scale.length], scale));
};

/** A linear model's scores. The coefficients have the shape [targets, features]. */
function linearScores(call: NodeCall, targets: number): Activation {
  const { maker, attributes, where } = call;
  const x = call.x();
  const coefficients = attributes.floats('coefficients') ?? [];
  const features = x.shape.at(-1) ?? 0;
  if (!(targets >= 1) || coefficients.length !== targets * features)
    throw malformed(
      `${where}: ${coefficients.length} coefficients do not match ${targets} targets and ${features} features`,
    );
  const intercepts = attributes.floats('intercepts');
  const bias = intercepts && biasOf(constantOf('float32', [intercepts.length], intercepts), targets);
  return dense(maker, x, constantOf('float32', [targets, features], coefficients), bias);
}

/** The scores after the model's `post_transform`. */
export function transformed(
  { maker, attributes, where }: NodeCall,
  y: Activation,
  kind = attributes.text('post_transform', 'NONE'),
): Activation {
  if (kind === 'NONE') return y;
  if (kind === 'LOGISTIC') return unary(maker, 'LOGISTIC', y);
  if (kind === 'SOFTMAX') return softmaxOf(maker, y, y.shape.length - 1);
  throw unsupported(where, `post_transform ${kind} is not supported`, 'use SOFTMAX or LOGISTIC');
}

const linearRegressor: Lower = (call) =>
  transformed(call, linearScores(call, call.attributes.integer('targets', 1)));

/** Converts only the scores. They replace the first output, the label, because the label is the class with the largest score. */
const linearClassifier: Lower = (call) => {
  const { maker, attributes } = call;
  const [texts, numbers] = [
    attributes.texts('classlabels_strings'),
    attributes.integers('classlabels_ints') ?? [],
  ];
  const classes = Math.max(texts.length, numbers.length);
  const rows = (attributes.floats('intercepts') ?? []).length;
  // A model of two classes may compute only one score; the other class gets the complement or the negated score.
  if (classes === 2 && rows === 1) {
    const score = linearScores(call, 1);
    const isShare = attributes.text('post_transform', 'NONE') === 'LOGISTIC';
    const own = transformed(call, score);
    const other = isShare ? maker.two('SUB', scalar(1), own) : maker.two('MUL', own, scalar(-1));
    const both = joined(call, [other, own], -1);
    return [both, both];
  }
  const y = transformed(call, linearScores(call, rows || classes));
  return [y, y];
};

/** Scales each row to norm 1. */
const normalizer: Lower = (call) => {
  const { maker, attributes } = call;
  const x = call.x();
  const axis = x.shape.length - 1;
  const norm = attributes.text('norm', 'MAX');
  const negative = unary(maker, 'RELU', maker.two('MUL', x, scalar(-1)));
  const size = maker.two('ADD', unary(maker, 'RELU', x), negative);
  const total = (y: Activation) =>
    maker.two('MUL', reduced(maker, 'MEAN', y, [axis], true), scalar(x.shape[axis]!));
  if (norm === 'L1') return quotient(maker, x, total(size));
  if (norm === 'L2') return quotient(maker, x, plainUnary(maker, 'SQRT', total(maker.two('MUL', x, x))));
  return quotient(maker, x, reduced(maker, 'REDUCE_MAX', x, [axis], true));
};

const imputer: Lower = (call) => call.x();

export const classicRows: Readonly<Record<string, Lower>> = {
  'ai.onnx.ml:FeatureVectorizer': (call) =>
    joined(
      call,
      call.inputs.map((_, place) => call.x(place)),
      -1,
    ),
  'ai.onnx.ml:Imputer': imputer,
  'ai.onnx.ml:LinearClassifier': linearClassifier,
  'ai.onnx.ml:LinearRegressor': linearRegressor,
  'ai.onnx.ml:Normalizer': normalizer,
  'ai.onnx.ml:Scaler': scaler,
  'ai.onnx.ml:ZipMap': (call) => call.value(0),
};
