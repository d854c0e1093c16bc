import { describe, expect, it } from 'vitest';
import { scanLayout } from '../../../src/lib/sensor/iio/buffered.js';
import {
  type ElementType,
  elementReader,
  parseElementType,
  parseMountMatrix,
} from '../../../src/lib/sensor/iio/channels.js';
import { chooseAbove } from '../../../src/lib/sensor/iio/configure.js';
import { fc, runs } from '../../support/property.js';

describe('the type of a scan element', () => {
  it('is parsed as the kernel writes it', () => {
    expect(parseElementType('le:s12/16>>4\n')).toEqual({
      bigEndian: false,
      kind: 's',
      bits: 12,
      storageBits: 16,
      repeat: 1,
      shift: 4,
    });
    expect(parseElementType('be:u24/32X4>>8')).toMatchObject({ bigEndian: true, kind: 'u', repeat: 4 });
  });

  for (const text of ['', 's16/16', 'le:s16/12>>0', 'le:s16/16>>1', 'le:s0/16', 'le:f16/32', 'me:s8/8']) {
    it(`is rejected if it is ${JSON.stringify(text)}`, () => {
      expect(() => parseElementType(text)).toThrow(expect.objectContaining({ code: 'AIOT_SENSOR_FAILED' }));
    });
  }

  const whole = fc
    .record({
      bigEndian: fc.boolean(),
      kind: fc.constantFrom('s' as const, 'u' as const),
      storageBits: fc.constantFrom(8, 16, 32, 64),
      bits: fc.integer({ min: 1, max: 53 }),
      shift: fc.integer({ min: 0, max: 63 }),
      repeat: fc.integer({ min: 1, max: 8 }),
    })
    .filter(({ bits, shift, storageBits }) => bits + shift <= storageBits);

  it('survives a round trip', () => {
    fc.assert(
      fc.property(whole, (type) => {
        const { bigEndian, kind, bits, storageBits, repeat, shift } = type;
        const times = repeat > 1 ? `X${repeat}` : '';
        const text = `${bigEndian ? 'be' : 'le'}:${kind}${bits}/${storageBits}${times}>>${shift}`;
        expect(parseElementType(text)).toEqual(type);
      }),
    );
  });

  it('yields the value whatever its byte order, shift, sign, and surrounding bits', () => {
    fc.assert(
      fc.property(
        whole,
        fc.bigInt(0n, 2n ** 64n - 1n),
        fc.bigInt(0n, 2n ** 64n - 1n),
        (type, any, around) => {
          const { bits, shift, storageBits, kind, bigEndian } = type;
          const value = kind === 's' ? BigInt.asIntN(bits, any) : BigInt.asUintN(bits, any);
          const mask = (2n ** BigInt(bits) - 1n) << BigInt(shift);
          const stored = BigInt.asUintN(storageBits, (around & ~mask) | ((value << BigInt(shift)) & mask));
          const bytes = Buffer.alloc(3 + storageBits / 8);
          for (let i = 0; i < storageBits / 8; i++) {
            const at = bigEndian ? bytes.length - 1 - i : 3 + i;
            bytes[at] = Number((stored >> BigInt(8 * i)) & 0xffn);
          }
          const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
          expect(elementReader(type)(view, 3)).toBe(Number(value));
        },
      ),
      { numRuns: runs(1000) },
    );
  });

  it('may be a floating-point number', () => {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat32(0, -1.5, true);
    expect(elementReader(parseElementType('le:f32/32>>0'))(view, 0)).toBe(-1.5);
  });
});

describe('the layout of a scan', () => {
  const element = (index: number, text: string): { index: number; type: ElementType } => ({
    index,
    type: parseElementType(text),
  });

  it('aligns each element to its own size and the whole to the largest', () => {
    const axes = [0, 1, 2].map((index) => element(index, 'le:s16/16>>0'));
    expect(scanLayout([...axes, element(3, 'le:s64/64>>0')])).toEqual({
      offsets: [0, 2, 4, 8],
      scanBytes: 16,
    });
    expect(scanLayout(axes)).toEqual({ offsets: [0, 2, 4], scanBytes: 6 });
  });

  it('follows the index, not the order in the list', () => {
    expect(scanLayout([element(5, 'le:s32/32'), element(1, 'le:u8/8')])).toEqual({
      offsets: [4, 0],
      scanBytes: 8,
    });
  });

  it('aligns a repeated element to its full size, and lets elements with one index share bytes', () => {
    const quaternion = element(2, 'le:s32/32X4>>0');
    expect(
      scanLayout([element(0, 'le:u8/8'), element(1, 'le:u12/16'), element(1, 'le:u4/16>>12'), quaternion]),
    ).toEqual({
      offsets: [0, 2, 2, 16],
      scanBytes: 32,
    });
  });
});

describe('the choice of an available value', () => {
  const cases = [
    ['12.5 26 52 104', 100, '104'],
    ['12.5 26 52 104', 104.5, '104'],
    ['12.5 26 52 104', 3, '12.5'],
    ['104 12.5', 1000, '104'],
    ['[10 5 1000]', 12, '15'],
    ['[10 5 1000]', 5000, '1000'],
    ['', 5, undefined],
  ] as const;
  for (const [available, wanted, chosen] of cases) {
    it(`for ${wanted} out of ${available || 'none'} is ${chosen}`, () => {
      expect(chooseAbove(available, wanted)).toBe(chosen);
    });
  }
});

describe('a mount matrix', () => {
  it('has three rows of three numbers', () => {
    expect(parseMountMatrix('0, 1, 0; -1, 0, 0; 0, 0, 1')).toEqual([0, 1, 0, -1, 0, 0, 0, 0, 1]);
    for (const text of ['1,0,0;0,1,0', '1 0 0; 0 1 0; 0 0 1', '1,,0;0,1,0;0,0,1', 'a,0,0;0,1,0;0,0,1']) {
      expect(() => parseMountMatrix(text)).toThrow(expect.objectContaining({ code: 'AIOT_SENSOR_FAILED' }));
    }
  });
});
