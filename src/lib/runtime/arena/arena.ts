import { checkGraph, type Graph } from '../../formats/index.js';
import { type ArenaPiece, arenaPieces } from './head.js';
import { preparingBytes } from './preparing.js';
import { endpointBytes, tailBytes } from './tail.js';

/** What TFLite Micro's tensor arena is used for, in bytes. */
export interface ArenaPlan {
  /** Activations and scratch buffers; exact for the reference kernels. */
  head: number;
  /** Structures that stay: tensors, operators, multipliers. */
  tail: number;
  /** The smallest arena that works: while it is prepared a network needs room before the head is in use. */
  smallest: number;
  /** What the head holds: tensors in their order, then scratch buffers. */
  pieces: ArenaPiece[];
}

/**
 * Plans the arena as TFLite Micro's 64-bit runtime does: the head exactly, the tail within 4 %. On a 32-bit chip the
 * structures are smaller, so its tail needs less.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function planArena(graph: Graph): ArenaPlan {
  checkGraph(graph);
  const pieces = arenaPieces(graph);
  const head = pieces.reduce((most, { offset, bytes }) => Math.max(most, offset + bytes), 0);
  const tail = tailBytes(graph);
  const preparing = tail - endpointBytes(graph) + preparingBytes(graph, pieces);
  return { head, tail, smallest: Math.max(head + tail, preparing), pieces };
}

/**
 * Bytes to give TFLite Micro's `tensor_arena` for this network: what its 64-bit runtime needs with reference kernels,
 * plus 3 %, rounded up to 16. A test compares it with the smallest arena in which that runtime works. A 32-bit chip's
 * structures are smaller, so there it is on the safe side. Vector libraries (ESP-NN, CMSIS-NN) ask for scratch memory beyond
 * this. The model file itself stays in flash and is not counted.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function arenaBytes(graph: Graph): number {
  return Math.ceil((planArena(graph).smallest * 1.03) / 16) * 16;
}
