import type { Engine, EngineOptions, Trainable } from './types.js';

/**
 * Opens a backend's engine over a graph. Copies the graph's constants, so that training leaves the graph unchanged.
 * @throws AIOT_MODEL_UNFIT for an operator without a gradient; AIOT_BACKEND_MISSING if TensorFlow.js is not installed
 */
export async function openEngine(trainable: Trainable, options: EngineOptions): Promise<Engine> {
  if (options.backend === 'auto') {
    const { openFastEngine } = await import('./fast/engine.js');
    return openFastEngine(trainable, options);
  }
  const { openTfjsEngine } = await import('./tfjs/engine.js');
  return openTfjsEngine(trainable, options);
}
