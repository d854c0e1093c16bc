import { AiotError } from '../../core/index.js';

/** How a scan element lies in memory, as the kernel's `*_type` attribute says it. */
export interface ElementType {
  bigEndian: boolean;
  /** s = two's complement, u = unsigned, f = IEEE 754. */
  kind: 's' | 'u' | 'f';
  /** Valid bits, after the shift. */
  bits: number;
  storageBits: number;
  /** Values one after the other, such as the four of a quaternion. */
  repeat: number;
  shift: number;
}

const pattern = /^(be|le):([suf])(\d+)\/(\d+)(?:X(\d+))?(?:>>(\d+))?$/;

/**
 * Reads `[be|le]:[s|u|f]bits/storagebits[Xrepeat][>>shift]` (Linux, Documentation/ABI/testing/sysfs-bus-iio, `*_type`).
 * @throws AIOT_SENSOR_FAILED for what is none, or cannot be
 */
export function parseElementType(text: string): ElementType {
  const [whole, order, kind, bits, storageBits, repeat, shift] = pattern.exec(text.trim()) ?? [];
  const type = {
    bigEndian: order === 'be',
    kind: kind as ElementType['kind'],
    bits: Number(bits),
    storageBits: Number(storageBits),
    repeat: Number(repeat ?? 1),
    shift: Number(shift ?? 0),
  };
  const fits =
    whole !== undefined &&
    (type.kind === 'f' ? [32, 64] : [8, 16, 32, 64]).includes(type.storageBits) &&
    type.bits >= 1 &&
    type.bits + type.shift <= type.storageBits &&
    type.repeat >= 1 &&
    type.repeat <= 64 &&
    (type.kind !== 'f' || (type.bits === type.storageBits && type.shift === 0));
  if (fits) return type;
  throw new AiotError(
    'AIOT_SENSOR_FAILED',
    `expected the layout of a scan element such as le:s16/16>>0, got ${text.trim()}`,
  );
}

/** Bytes of a scan that the element takes. */
export function elementBytes({ storageBits, repeat }: ElementType): number {
  return (storageBits / 8) * repeat;
}

/** Reads one value at a byte offset; exact to 2⁵³. */
export function elementReader(type: ElementType): (view: DataView, offset: number) => number {
  const { bigEndian, kind, bits, storageBits, shift } = type;
  const little = !bigEndian;
  if (kind === 'f') {
    if (storageBits === 32) return (view, offset) => view.getFloat32(offset, little);
    return (view, offset) => view.getFloat64(offset, little);
  }
  if (storageBits === 64) {
    const cut = kind === 's' ? BigInt.asIntN : BigInt.asUintN;
    const down = BigInt(shift);
    return (view, offset) => Number(cut(bits, view.getBigUint64(offset, little) >> down));
  }
  const up = 32 - bits - shift;
  const down = 32 - bits;
  const stored = {
    8: (view: DataView, offset: number) => view.getUint8(offset),
    16: (view: DataView, offset: number) => view.getUint16(offset, little),
    32: (view: DataView, offset: number) => view.getUint32(offset, little),
  }[storageBits as 8 | 16 | 32];
  if (kind === 's') return (view, offset) => (stored(view, offset) << up) >> down;
  return (view, offset) => (stored(view, offset) << up) >>> down;
}
