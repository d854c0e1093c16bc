import type { Conv2DBackpropFilterAttrs, KernelConfig, Tensor4D } from '@tensorflow/tfjs-core';
import type { Core } from './load.js';

/**
 * The gradient of a 2-D convolution with respect to its filter, which tfjs 4.22's wasm backend lacks (so that nothing with
 * a convolution trains on it): x is padded, each filter tap is one strided slice of it, and all taps together meet dy in a
 * single matrix product. dF[h, w, c, o] = Σ over n, i, j of x[n, i·s + h, j·s + w, c] · dy[n, i, j, o].
 */
export function registerFilterGradient(tf: Core, backendName: string): void {
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
