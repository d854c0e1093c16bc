import type { Engine, EngineOptions, Trainable } from './types.js';

/**
 * The engine of a backend over a graph, whose constants are copied: the graph given is left unchanged.
 * @throws AIOT_MODEL_UNFIT for an operator that cannot be trained through; AIOT_BACKEND_MISSING where TensorFlow.js is not installed
 */
export async function openEngine(trainable: Trainable, options: EngineOptions): Promise<Engine> {
  if (options.backend === 'auto') {
    const { openFastEngine } = await import('./fast/engine.js');
    return openFastEngine(trainable, options);
  }
  const { openTfjsEngine } = await import('./tfjs/engine.js');
  return openTfjsEngine(trainable, options);
}
