import type { Graph } from '../../formats/index.js';

export const importFormats = ['tfjs', 'keras', 'keras-h5', 'tflite', 'saved-model'] as const;

/** A network as it was found. */
export interface Imported {
  format: (typeof importFormats)[number];
  /** Which program wrote it. */
  writer: string;
  /** Layers, or operators where the file has no layers. */
  layers: number;
  /** float32, batch 1. */
  graph: Graph;
  /** What was changed while reading, in sentences. */
  notes: string[];
}
