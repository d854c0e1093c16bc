import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import type { quantizeModes } from '../../core/project-schema.js';
import { type Graph, hasForest } from '../../formats/tflite/graph.js';
import { emitC } from './emit-c.js';
import { emitForest } from './emit-forest.js';
import { emitTflm } from './tflm.js';
import type { Usage } from './usage.js';

/** Kinds of source code that can be generated from a network. */
export const emits = ['c', 'tflm'] as const;
export type Emit = (typeof emits)[number];

export interface EmitOptions {
  /** For `tflm`, the .tflite file: the source is written beside it (`model.tflite` yields `model.h` and `model.cc`). For `c`, a folder. */
  out: string;
  graph: Graph;
  /** Contents of the .tflite file. */
  contents: Uint8Array;
  name: string;
  /** Names of the classes in the order of the outputs; empty if unknown. */
  classes: readonly string[];
  /** Typical input rows, for golden vectors. */
  rows?: readonly ArrayLike<number>[] | undefined;
  /** For `c`: a project's settings, for which functions before and after the model are generated. */
  usage?: Usage | undefined;
}

/**
 * Generates a network's source code for a device. Returns contents by output path.
 * @throws AIOT_QUANTIZE_UNFIT for networks that the runtime cannot run, AIOT_USAGE for an unknown kind
 */
export function emitted(kind: Emit, options: EmitOptions): Map<string, string> {
  if (kind === 'tflm') return emitTflm(options);
  if (kind === 'c') return hasForest(options.graph) ? emitForest(options) : emitC(options);
  throw new AiotError('AIOT_USAGE', `expected --emit ${emits.join(' or ')}, got ${kind}`);
}

/**
 * Resolves the network's output path and the base name of its source files. For C, both are in the folder `out`, and the network is named
 * model.tflite.
 * @param usual defaults without `out`: the network's file, and the folder for C
 */
export function placesOf(
  emit: Emit | undefined,
  out: string | undefined,
  usual: { file: string; folder: string },
): { file: string; source: string } {
  if (emit !== 'c') return { file: out ?? usual.file, source: out ?? usual.file };
  return out === undefined
    ? { file: usual.file, source: usual.folder }
    : { file: join(out, 'model.tflite'), source: out };
}

/**
 * Checks that the requested output is possible, before the long computation starts.
 * @throws AIOT_QUANTIZE_UNFIT, AIOT_USAGE
 */
export function requireEmittable(
  emit: Emit | undefined,
  {
    mode,
    out,
    forest = false,
  }: {
    mode: (typeof quantizeModes)[number];
    out?: string | undefined;
    forest?: boolean;
  },
): void {
  if (forest && emit === 'tflm')
    throw new AiotError('AIOT_QUANTIZE_UNFIT', '--emit tflm: TFLite Micro has no kernel for decision trees', {
      next: 'Use --emit c, which needs no runtime.',
    });
  if (emit !== 'c') return;
  if (!forest && mode === 'dynamic')
    throw new AiotError(
      'AIOT_QUANTIZE_UNFIT',
      '--emit c: layers with int8 weights need int8 or int16 inputs, got --mode dynamic',
      { next: 'Use --mode int8, int16x8, float32 or float16.' },
    );
  if (out?.endsWith('.tflite'))
    throw new AiotError('AIOT_USAGE', `expected a folder in --out, got ${out}`, {
      next: 'With --emit c, model.c, model.h, golden.json and model.tflite are written to --out DIR.',
    });
}
