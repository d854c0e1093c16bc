import type { Graph } from '../../formats/index.js';
import type { QuantizeSettings } from './types.js';

export interface FinetuneOptions {
  epochs: number;
  signal?: AbortSignal | undefined;
  onStep?: ((text: string) => void) | undefined;
}

export async function finetuned(
  _graph: Graph,
  _rows: readonly Float32Array[],
  _settings: QuantizeSettings,
  _options: FinetuneOptions,
): Promise<Graph> {
  throw new Error('not yet');
}
