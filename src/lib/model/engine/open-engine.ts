import type { Engine, EngineOptions, Trainable } from './types.js';

/**
 * Opens a backend's engine over a graph, whose constants are copied: the given graph is left unchanged.
 * @throws AIOT_MODEL_UNFIT for an operator that cannot be trained through; AIOT_BACKEND_MISSING if TensorFlow.js is not installed
 */
export async function openEngine(trainable: Trainable, options: EngineOptions): Promise<Engine> {
  if (options.backend === 'auto') {
    const { openFastEngine } = await import('./fast/engine.js');
    return openFastEngine(trainable, options);
  }
  const { openTfjsEngine } = await import('./tfjs/engine.js');
  return openTfjsEngine(trainable, options);
}
