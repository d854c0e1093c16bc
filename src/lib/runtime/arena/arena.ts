import { checkGraph, type Graph } from '../../formats/index.js';
import { headBytes, plannedPieces, scratchBytes } from './head.js';
import { structures, tailBytes } from './tail.js';

/** What TFLite Micro's tensor arena is used for, in bytes. */
export interface ArenaPlan {
  /** Activations and scratch buffers; exact for the reference kernels. */
  head: number;
  /** Structures that stay: tensors, operators, multipliers. */
  tail: number;
  /** The smallest arena that works: during planning the tail needs room before the head is in use. */
  smallest: number;
}

/**
 * Plans the arena as TFLite Micro does. `device` = a 32-bit chip; `tflm64` = its 64-bit Python runtime, where the plan
 * was compared: head exact, the whole within 5 to 8 %.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function planArena(graph: Graph, target: keyof typeof structures = 'device'): ArenaPlan {
  checkGraph(graph);
  const sizes = structures[target];
  const head = headBytes(graph);
  const tail = tailBytes(graph, sizes);
  const scratch = graph.operators.flatMap((operator) => scratchBytes(operator, graph.tensors)).length;
  const planning = sizes.planned * (graph.tensors.length + scratch) + 40 * plannedPieces(graph) + 240 - 32;
  const endpoints = sizes.endpoint * (graph.inputs.length + graph.outputs.length);
  return { head, tail, smallest: Math.max(head + tail, tail - endpoints + planning) };
}

/**
 * Bytes to give TFLite Micro's `tensor_arena` on a 32-bit device for this network: the smallest arena that works, with
 * reference kernels, plus 10 % for what a build's own structures differ. Vector libraries (ESP-NN, CMSIS-NN) ask for
 * scratch memory beyond this. The model file itself stays in flash and is not counted.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function arenaBytes(graph: Graph): number {
  return Math.ceil((planArena(graph, 'device').smallest * 1.1) / 16) * 16;
}
