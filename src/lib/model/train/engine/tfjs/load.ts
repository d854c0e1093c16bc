import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { KernelBackend } from '@tensorflow/tfjs-core';
import { AiotError } from '../../../../core/index.js';
import type { Backend } from '../types.js';
import { bridgeKernels } from './bridge.js';
import { registerFilterGradient } from './filter-gradient.js';

export type Core = typeof import('@tensorflow/tfjs-core');

/** TensorFlow.js with one backend chosen. */
export interface TensorFlow {
  tf: Core;
  /** For people, e.g. `tfjs-wasm`. */
  name: string;
  /** Makes the backend the current one: engines of several may be open at once. */
  use(): void;
}

const loading = new Map<string, Promise<TensorFlow>>();

/**
 * TensorFlow.js on one of its backends, loaded once a process, on first use. Nothing is downloaded.
 * @throws AIOT_BACKEND_MISSING for `node` where tfjs-node is not installed, or does not load
 */
export function loadTfjs(backend: Exclude<Backend, 'auto'>): Promise<TensorFlow> {
  const known = loading.get(backend) ?? (backend === 'node' ? loadNode() : load(backend));
  loading.set(backend, known);
  // A failure is told each time anew: what was missing may have been installed.
  known.catch(() => loading.delete(backend));
  return known;
}

async function load(backend: 'wasm' | 'cpu'): Promise<TensorFlow> {
  const tf = await import('@tensorflow/tfjs-core');
  // The build of tfjs-core for Node holds no gradients; that of tfjs-layers registers them for all.
  await import('@tensorflow/tfjs-layers');
  await import('@tensorflow/tfjs-backend-cpu');
  quiet(tf);
  if (backend === 'wasm') await loadWasm(tf);
  await tf.setBackend(backend);
  await tf.ready();
  return { tf, name: `tfjs-${backend}`, use: () => use(tf, backend) };
}

async function loadWasm(tf: Core): Promise<void> {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = new Map(events.map((event) => [event, process.rawListeners(event)]));
  const wasm = await import('@tensorflow/tfjs-backend-wasm');
  const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(`${join(dirname(main), '.')}/`);
  // Worker threads would cost start-up time and bring nothing at these sizes.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  registerFilterGradient(tf, 'wasm');
  bridgeKernels(tf, 'cpu', 'wasm');
  await tf.setBackend('wasm');
  await tf.ready();
  // Emscripten's loader installs process-wide handlers that rethrow: a program's own error handling would not be reached.
  for (const event of events) {
    for (const listener of process.rawListeners(event)) {
      if (!before.get(event)?.includes(listener)) process.off(event, listener as () => void);
    }
  }
}

const nodePackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/** tfjs-node, or its GPU sister, from beside aiot, from NODE_PATH, or from the folder one is in. */
async function loadNode(): Promise<TensorFlow> {
  // TensorFlow's library prints what it found of the processor, past our own streams; errors it may print.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  const places = [import.meta.url, pathToFileURL(join(process.cwd(), 'package.json')).href];
  const failures: string[] = [];
  for (const name of nodePackages) {
    for (const place of places) {
      let file: string;
      try {
        file = createRequire(place).resolve(name);
      } catch {
        continue;
      }
      try {
        const loaded = (await import(pathToFileURL(file).href)) as { default?: Core } & Core;
        const tf = loaded.default ?? loaded;
        quiet(tf);
        use(tf, 'tensorflow');
        return { tf, name: name.replace('@tensorflow/', ''), use: () => use(tf, 'tensorflow') };
      } catch (cause) {
        failures.push(`${file} does not load: ${(cause as Error).message.split('\n')[0]}`);
      }
    }
  }
  throw new AiotError('AIOT_BACKEND_MISSING', failures[0] ?? `${nodePackages[1]} is not installed`);
}

function use(tf: Core, backend: string): void {
  // Resolves at once for a backend that is there.
  if (tf.getBackend() !== backend) void tf.setBackend(backend);
}

/** In Node, the cpu backend's first use prints a hint to install tfjs-node. */
function quiet(tf: Core): void {
  const cpu = tf.findBackend('cpu') as (KernelBackend & { firstUse?: boolean }) | null;
  if (cpu) cpu.firstUse = false;
}
