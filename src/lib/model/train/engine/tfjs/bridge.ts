import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { Core } from './load.js';

/**
 * Kernels that backend `to` lacks run on backend `from`, and their results are carried back: slow, and it makes every gradient
 * work that tfjs 4.22's wasm backend has no kernel for (those of depthwise convolutions and pools).
 */
export function bridgeKernels(tf: Core, from: string, to: string): void {
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
