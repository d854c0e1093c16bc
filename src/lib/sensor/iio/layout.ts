import { type ElementType, elementBytes } from './element.js';

/** Where the elements of a scan lie. */
export interface ScanLayout {
  /** Of each element, in the order they were given. */
  offsets: number[];
  scanBytes: number;
}

/**
 * The kernel's layout of a scan: elements by ascending index, each aligned to its own size, the whole padded to the largest
 * (Linux, drivers/iio/industrialio-buffer.c, iio_compute_scan_bytes). Elements with one index share their bytes. What lies in the
 * padding is undefined.
 */
export function scanLayout(elements: readonly { index: number; type: ElementType }[]): ScanLayout {
  const order = elements.map((_, at) => at).sort((a, b) => elements[a]!.index - elements[b]!.index);
  const offsets = new Array<number>(elements.length).fill(0);
  let [end, largest] = [0, 1];
  let last: { index: number; offset: number } | undefined;
  for (const at of order) {
    const { index, type } = elements[at]!;
    if (last?.index === index) {
      offsets[at] = last.offset;
      continue;
    }
    const bytes = elementBytes(type);
    const offset = aligned(end, bytes);
    offsets[at] = offset;
    end = offset + bytes;
    largest = Math.max(largest, bytes);
    last = { index, offset };
  }
  return { offsets, scanBytes: aligned(end, largest) };
}

function aligned(offset: number, bytes: number): number {
  return Math.ceil(offset / bytes) * bytes;
}
