import type { Axis } from './geometry.js';
import type { Activations } from './types.js';

/**
 * Copies the input cells under one window into `patch` ([filter rows][filter columns][channels]); cells outside the
 * image become `outside`. `x` is NHWC with `width` columns of `channels`; the patch takes its `taken` channels from
 * `firstChannel` on. A patch makes a convolution one dot product per output channel.
 */
export function fillPatch<T extends Activations>(
  patch: T,
  x: T,
  batchStart: number,
  rows: Axis,
  columns: Axis,
  row: number,
  column: number,
  channels: number,
  firstChannel: number,
  taken: number,
  outside: number,
): void {
  let to = 0;
  for (let r = 0; r < rows.filter; r++) {
    const y = row * rows.stride - rows.before + r * rows.dilation;
    const inside = y >= 0 && y < rows.input;
    for (let c = 0; c < columns.filter; c++) {
      const at = column * columns.stride - columns.before + c * columns.dilation;
      const end = to + taken;
      if (inside && at >= 0 && at < columns.input) {
        let from = batchStart + (y * columns.input + at) * channels + firstChannel;
        while (to < end) patch[to++] = x[from++]!;
      } else {
        while (to < end) patch[to++] = outside;
      }
    }
  }
}
