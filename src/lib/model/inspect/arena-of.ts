import type { Graph } from '../../formats/index.js';
import { arenaBytes } from '../../runtime/index.js';
import { refusalOfMicro } from './refusal.js';

/** Bytes of arena that TFLite Micro needs for it on a 32-bit chip; null for float16 and dynamic range, which it refuses. */
export function arenaOf(graph: Graph): number | null {
  return refusalOfMicro(graph) === null ? arenaBytes(graph) : null;
}
