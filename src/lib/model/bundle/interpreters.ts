import { digestOf } from '../../core/crypto.js';
import { type Graph, hasFrontEnd, hasState } from '../../formats/tflite/graph.js';
import { readTflite } from '../../formats/tflite/read.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import type { Interpreter } from '../../runtime/interpreter/node.js';
import { graphMacs, precisionOf } from '../inspect/costs.js';

/** Minimum multiply-adds of a network that is compiled. Smaller networks run in less time than their compilation would take. */
const compiledMacs = 100_000;

/**
 * The interpreter that matches a device. Large networks are compiled, which does not change their integers: float32 layers are compiled only
 * if the network has no integers that depend on their rounding.
 */
export function deviceInterpreter(graph: Graph): Interpreter {
  const isLarge = graphMacs(graph) >= compiledMacs;
  return createInterpreter(graph, { compiled: isLarge && (precisionOf(graph) === 'float32' || 'integers') });
}

/** The interpreter whose results equal those of the firmware and of C code, also those of float32 layers. */
export function exactInterpreter(graph: Graph): Interpreter {
  return createInterpreter(graph, { compiled: graphMacs(graph) >= compiledMacs && 'integers' });
}

/** Number of files whose interpreters are kept. */
const mostKept = 8;

/** Interpreters by the digest of their file, least recently used first. */
const kept = new Map<string, Interpreter>();

/**
 * The interpreter of a bundle's file. Thousands of virtual devices with the same model share one, because a run leaves nothing behind: copy or
 * decode the output before anyone else runs it. A network with variables has an interpreter of its own.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export function sharedInterpreter(model: Uint8Array): Interpreter {
  const digest = digestOf(model);
  const known = kept.get(digest);
  kept.delete(digest);
  const interpreter = known ?? deviceInterpreter(readTflite(model));
  if (hasState(interpreter.graph) || hasFrontEnd(interpreter.graph)) return interpreter;
  kept.set(digest, interpreter);
  if (kept.size > mostKept) kept.delete([...kept.keys()][0]!);
  return interpreter;
}
