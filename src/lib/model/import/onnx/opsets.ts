import { AiotError } from '../../../core/errors.js';
import { malformed } from '../errors.js';
import type { OnnxModel } from './file.js';

/** The newest operator set that is read. Versions 22 and 23 only add element types and operators. */
const newest = 23;

/**
 * The first operator set in which each operator already had the semantics that are implemented. Earlier definitions differ in attributes,
 * inputs, broadcasting or defaults.
 */
const since: Readonly<Record<number, string>> = {
  1: `ArgMax ArgMin AveragePool Constant Conv ConvTranspose DepthToSpace Flatten Gather GlobalAveragePool GlobalMaxPool Hardmax Identity If Loop LogSoftmax
      LpNormalization MatMul MaxPool Not ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
      ReduceSumSquare Shape Size Softmax Softplus Softsign SpaceToDepth Squeeze Transpose Unsqueeze`,
  2: 'Split',
  4: 'Concat',
  5: 'Reshape',
  6: `Abs Cast Ceil Elu Exp Floor HardSigmoid InstanceNormalization LeakyRelu Log Neg Reciprocal Relu Selu Sigmoid Sqrt Tanh Tile`,
  7: 'Add And Cos Div Dropout Equal GRU Gemm Greater LSTM Less Mul Or PRelu Pow RNN Sin Sub Tan Xor',
  8: 'Expand Max Mean Min Sum',
  9: 'BatchNormalization Compress ConstantOfShape Cosh Erf EyeLike MeanVarianceNormalization Shrink Sign Sinh Where',
  10: 'DequantizeLinear Mod QLinearConv QLinearMatMul QuantizeLinear ReverseSequence ThresholdedRelu TopK',
};

/** Operators that are missing above, such as Clip, Pad and Slice, are read as of this operator set. */
const otherwise = 11;

const oldest: ReadonlyMap<string, number> = new Map(
  Object.entries(since).flatMap(([version, names]) =>
    names.split(/\s+/).map((name): [string, number] => [name, Number(version)]),
  ),
);

/**
 * The version of the default operator set. Models with only operators of other domains, such as trees, need not state it.
 * @throws AIOT_FILE_MALFORMED if it is missing, AIOT_LAYER_UNSUPPORTED if it is too new
 */
export function operatorSet({ graph, opsets, producer }: OnnxModel): number {
  const own = opsets.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  const needsVersion = graph?.nodes.some(({ domain }) => domain === '' || domain === 'ai.onnx');
  if (own === undefined && (needsVersion || opsets.length === 0))
    throw malformed('it does not state the version of the operator set');
  const version = own?.version ?? newest;
  if (version >= 1 && version <= newest) return version;
  throw exportedAgain(`the model: it uses operator set ${version}, expected 1 to ${newest}`, producer);
}

/** Rejects an operator that had other semantics in the model's operator set. @throws AIOT_LAYER_UNSUPPORTED */
export function requireVersion(op: string, version: number, where: string, producer: string): void {
  const first = oldest.get(op) ?? otherwise;
  if (version >= first) return;
  throw exportedAgain(
    `${where}: ${op} of operator set ${version} is not supported, expected ${first} to ${newest}`,
    producer,
  );
}

/** The error for a version, with the exporter's own setting. */
function exportedAgain(what: string, producer: string): AiotError {
  const setting =
    producer === 'skl2onnx' ? 'target_opset' : producer === 'tf2onnx' ? 'opset' : 'opset_version';
  return new AiotError('AIOT_LAYER_UNSUPPORTED', `${what}; export it with ${setting} 17`, {
    next: `Export the model again with ${setting}=17, or convert the file with onnx.version_converter.convert_version(model, 17) in Python.`,
  });
}
