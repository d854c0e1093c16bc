import { AiotError } from '../../../core/index.js';
import { elementCount, type Graph, readTflite } from '../../../formats/index.js';
import { type NetworkSpec, outputSize } from '../../network/layers.js';
import { simplifyGraph } from '../../network/simplify.js';

/**
 * The network that a training program left, checked against what was asked of it, and simplified.
 * @param program for messages
 * @throws AIOT_TFLITE_*, AIOT_MODEL_UNFIT
 */
export function networkFrom(
  bytes: Uint8Array,
  program: string,
  network: NetworkSpec,
  description: string,
): Graph {
  const whose = `the network that ${program} left`;
  const graph = readLeft(bytes, whose);
  checkEnds(graph, whose, network);
  return simplifyGraph({ ...graph, description });
}

function readLeft(bytes: Uint8Array, whose: string): Graph {
  try {
    return readTflite(bytes);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw new AiotError(error.code, `${whose}: ${error.message}`, {
      cause: error,
      next: 'It has to leave a float32 .tflite file; docs/project.md describes it.',
    });
  }
}

/**
 * One float32 input and output of the sizes that a project's network has.
 * @param what for messages
 * @throws AIOT_MODEL_UNFIT
 */
export function checkEnds(graph: Graph, whose: string, network: NetworkSpec): void {
  const expected = [network.inputShape.reduce((a, b) => a * b, 1), outputSize(network)];
  for (const [i, [what, indices]] of (
    [
      ['input', graph.inputs],
      ['output', graph.outputs],
    ] as const
  ).entries()) {
    const tensor = graph.tensors[indices[0] ?? -1];
    const size = tensor ? elementCount(tensor.shape) : 0;
    if (indices.length === 1 && tensor?.type === 'float32' && size === expected[i]) continue;
    const got = tensor ? `${tensor.type} [${tensor.shape.join(', ')}]` : 'none';
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `${whose}: expected one float32 ${what} of ${expected[i]} numbers, got ${indices.length === 1 ? got : `${indices.length} of them`}`,
      { next: 'task.json in its folder says what is asked for; docs/project.md describes it.' },
    );
  }
}
