import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type {
  Conv2DBackpropFilterAttrs,
  DataType,
  KernelBackend,
  KernelConfig,
  Tensor4D,
  TensorInfo,
} from '@tensorflow/tfjs-core';
import { AiotError } from '../../../core/errors.js';
import type { Backend } from '../types.js';

export type Core = typeof import('@tensorflow/tfjs-core');

/** TensorFlow.js with one backend selected. */
export interface TensorFlow {
  tf: Core;
  /** Display name, e.g. `tfjs-wasm`. */
  name: string;
  /** Selects this backend, because engines on several backends may be open at once. */
  use(): void;
}

const loading = new Map<string, Promise<TensorFlow>>();

/** Where optional packages are searched: beside aiot, on NODE_PATH, and in the project in the current folder. */
const usualPlaces = () => [import.meta.url, pathToFileURL(join(process.cwd(), 'package.json')).href];

/** Packages that each TensorFlow.js backend requires. They are optional peer dependencies: 98 MB that the built-in engine does not need. */
const packagesOf = {
  cpu: ['@tensorflow/tfjs-core', '@tensorflow/tfjs-layers', '@tensorflow/tfjs-backend-cpu'],
  wasm: [
    '@tensorflow/tfjs-core',
    '@tensorflow/tfjs-layers',
    '@tensorflow/tfjs-backend-cpu',
    '@tensorflow/tfjs-backend-wasm',
  ],
} as const;

/**
 * Loads TensorFlow.js with one of its backends, once per process, on first use. Nothing is downloaded.
 * @param places files whose neighboring packages are searched, as URLs
 * @throws AIOT_BACKEND_MISSING if the backend's packages are not installed or fail to load
 */
export function loadTfjs(
  backend: Exclude<Backend, 'auto'>,
  places: readonly string[] = usualPlaces(),
): Promise<TensorFlow> {
  const key = [backend, ...places].join('\n');
  const known = loading.get(key) ?? (backend === 'node' ? loadNode(places) : load(backend, places));
  loading.set(key, known);
  // Failures are not cached, because the user may install the missing package meanwhile.
  known.catch(() => loading.delete(key));
  return known;
}

async function load(backend: 'wasm' | 'cpu', places: readonly string[]): Promise<TensorFlow> {
  const files = packagesOf[backend].map((name) => resolvePeer(name, places));
  const missing = packagesOf[backend].filter((_, i) => files[i] === undefined);
  if (missing.length > 0) {
    throw new AiotError(
      'AIOT_BACKEND_MISSING',
      `--backend ${backend} needs TensorFlow.js, and ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not installed`,
      {
        next: `Run \`npm install ${packagesOf[backend].map((name) => `${name}@4`).join(' ')}\` (with --global if aiot is installed globally), or omit --backend to use the built-in engine.`,
      },
    );
  }
  const [core, layers, cpu, wasm] = files.map((file) => pathToFileURL(file as string).href);
  const tf = await importModule<Core>(core as string);
  // tfjs-core's build for Node contains no gradients. Importing tfjs-layers registers them.
  await import(layers as string);
  await import(cpu as string);
  quiet(tf);
  if (wasm) await loadWasm(tf, wasm);
  await tf.setBackend(backend);
  await tf.ready();
  return { tf, name: `tfjs-${backend}`, use: () => use(tf, backend) };
}

/** The file from which a package is loaded; undefined if none of the locations contains the package. */
function resolvePeer(name: string, places: readonly string[]): string | undefined {
  for (const place of places) {
    try {
      return createRequire(place).resolve(name);
    } catch {}
  }
  return undefined;
}

/** Exports of a CommonJS or an ES module. */
async function importModule<Module>(url: string): Promise<Module> {
  const loaded = (await import(url)) as { default?: Module } & Module;
  return loaded.default ?? loaded;
}

async function loadWasm(tf: Core, url: string): Promise<void> {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = new Map(events.map((event) => [event, process.rawListeners(event)]));
  const wasm = await importModule<typeof import('@tensorflow/tfjs-backend-wasm')>(url);
  wasm.setWasmPaths(`${dirname(fileURLToPath(url))}/`);
  // Worker threads would cost start-up time without a benefit at these sizes.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  registerFilterGradient(tf, 'wasm');
  bridgeKernels(tf, 'cpu', 'wasm');
  await tf.setBackend('wasm');
  await tf.ready();
  // Emscripten's loader installs process-wide handlers that rethrow errors and so bypass a program's own error handling.
  for (const event of events) {
    for (const listener of process.rawListeners(event)) {
      if (!before.get(event)?.includes(listener)) process.off(event, listener as () => void);
    }
  }
}

const nodePackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/** Loads the GPU variant of tfjs-node if one is installed and loads, otherwise tfjs-node. */
async function loadNode(places: readonly string[]): Promise<TensorFlow> {
  // TensorFlow's library prints processor details directly, bypassing our streams. This setting allows only errors.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  const failures: string[] = [];
  for (const name of nodePackages) {
    for (const place of places) {
      const file = resolvePeer(name, [place]);
      if (file === undefined) continue;
      try {
        const tf = await importModule<Core>(pathToFileURL(file).href);
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
  // Resolves immediately for a backend that is already registered.
  if (tf.getBackend() !== backend) void tf.setBackend(backend);
}

/** Suppresses the hint to install tfjs-node, which Node prints on first use of the cpu backend. */
function quiet(tf: Core): void {
  const cpu = tf.findBackend('cpu') as (KernelBackend & { firstUse?: boolean }) | null;
  if (cpu) cpu.firstUse = false;
}

/**
 * Runs kernels that backend `to` lacks on backend `from`, and copies their results back. This is slow, but enables gradients for depthwise
 * convolutions and pools, which have no kernels in tfjs 4.22's wasm backend.
 */
function bridgeKernels(tf: Core, from: string, to: string): void {
  for (const { kernelName, kernelFunc } of tf.getKernelsForBackend(from)) {
    if (tf.getKernel(kernelName, to)) continue;
    tf.registerKernel({
      kernelName,
      backendName: to,
      kernelFunc: ({ inputs, attrs, backend }) => {
        const source = tf.findBackend(from);
        const target = backend as KernelBackend;
        const moved = Object.fromEntries(
          Object.entries(inputs).map(([name, info]) => [name, info && carry(tf, info, target, source)]),
        );
        const results = kernelFunc({ inputs: moved, attrs: attrs ?? {}, backend: source });
        const back = [results].flat().map((info) => carry(tf, info, source, target));
        for (const info of [...Object.values(moved), ...[results].flat()])
          if (info) source.disposeData(info.dataId, true);
        return Array.isArray(results) ? back : back[0]!;
      },
    });
  }
}

function carry(
  tf: Core,
  { dataId, shape, dtype }: TensorInfo,
  from: KernelBackend,
  to: KernelBackend,
): TensorInfo {
  const values = from.readSync(dataId) as Float32Array;
  return {
    dataId: to.write(tf.util.toTypedArray(values, dtype as 'float32'), shape, dtype as DataType),
    shape,
    dtype,
  };
}

/**
 * The gradient of a 2-D convolution with respect to its filter. Without it, tfjs 4.22's wasm backend cannot train a network with a
 * convolution. Input x is padded, each filter tap is one strided slice of the padded input, and a single matrix product multiplies all taps
 * with dy.
 *
 *     dF[h, w, c, o] = Σ over n, i, j of x[n, i·s + h, j·s + w, c] · dy[n, i, j, o]
 */
function registerFilterGradient(tf: Core, backendName: string): void {
  if (tf.getKernel('Conv2DBackpropFilter', backendName)) return;
  const kernel: KernelConfig = {
    kernelName: 'Conv2DBackpropFilter',
    backendName,
    kernelFunc: ({ inputs, attrs }) => {
      const { x, dy } = inputs as unknown as { x: Tensor4D; dy: Tensor4D };
      return filterGradient(tf, x, dy, attrs as unknown as Conv2DBackpropFilterAttrs);
    },
  };
  tf.registerKernel(kernel);
}

function filterGradient(tf: Core, x: Tensor4D, dy: Tensor4D, attrs: Conv2DBackpropFilterAttrs): Tensor4D {
  const { filterShape, strides, pad, dimRoundingMode } = attrs;
  const info = tf.backend_util.computeConv2DInfo(x.shape, filterShape, strides, 1, pad, dimRoundingMode);
  const { top, bottom, left, right } = info.padInfo;
  const { batchSize, outHeight, outWidth, outChannels, inChannels, strideHeight, strideWidth } = info;
  const rows = batchSize * outHeight * outWidth;
  return tf.tidy(() => {
    const padded = tf.pad4d(x, [
      [0, 0],
      [top, bottom],
      [left, right],
      [0, 0],
    ]);
    const taps: Tensor4D[] = [];
    for (let h = 0; h < info.filterHeight; h++) {
      for (let w = 0; w < info.filterWidth; w++) {
        const begin = [0, h, w, 0];
        const end = [
          batchSize,
          h + (outHeight - 1) * strideHeight + 1,
          w + (outWidth - 1) * strideWidth + 1,
          inChannels,
        ];
        taps.push(tf.stridedSlice(padded, begin, end, [1, strideHeight, strideWidth, 1]) as Tensor4D);
      }
    }
    const columns = tf.reshape(tf.concat(taps, 3), [rows, taps.length * inChannels]);
    const product = tf.matMul(columns, tf.reshape(dy, [rows, outChannels]), true);
    return tf.reshape(product, filterShape) as Tensor4D;
  });
}
