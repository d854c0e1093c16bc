import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { registerConvolutionGradient } from './convolution-gradient.js';
import type { TensorFlow } from './types.js';

let loading: Promise<TensorFlow> | undefined;

/**
 * TensorFlow.js on its WebAssembly backend: single-threaded SIMD, read from node_modules, no network. Loaded once a
 * process, on first use (about 0.2 s). The cpu backend is left out: it prints a hint about tfjs-node and is slower.
 */
export function loadTensorFlow(): Promise<TensorFlow> {
  loading ??= load();
  return loading;
}

async function load(): Promise<TensorFlow> {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = new Map(events.map((event) => [event, process.rawListeners(event)]));
  const tf = await import('@tensorflow/tfjs-core');
  const wasm = await import('@tensorflow/tfjs-backend-wasm');
  const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(`${join(dirname(main), '.')}/`);
  // Worker threads would cost start-up time and bring nothing at these sizes.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  registerConvolutionGradient(tf, 'wasm');
  await tf.setBackend('wasm');
  await tf.ready();
  const layers = await import('@tensorflow/tfjs-layers');
  // Emscripten's loader installs process-wide handlers that rethrow: a program's own error handling would not be reached.
  for (const event of events) {
    for (const listener of process.rawListeners(event)) {
      if (!before.get(event)?.includes(listener)) process.off(event, listener as () => void);
    }
  }
  return { tf, layers };
}
