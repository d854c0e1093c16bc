import { expect, it } from 'vitest';
import { rowsOf, sameNames, sameRows } from '../../../src/lib/model/train/examples/row-split.js';
import { fc } from '../../support/property.js';

/** Groups rows by their bytes, converted to text. */
function byText(inputs: Float32Array, width: number) {
  const bytes = Buffer.from(inputs.buffer, inputs.byteOffset, inputs.byteLength);
  const size = 4 * width;
  return sameNames(
    Array.from({ length: inputs.length / width }, (_, row) =>
      bytes.toString('latin1', row * size, (row + 1) * size),
    ),
  );
}

it('sameRows groups rows whose numbers are equal bit by bit, in order of first occurrence', () => {
  const few = fc.constantFrom(0, -0, 1, 1.5, 2, 1e-30, 3e38);
  const table = fc
    .integer({ min: 1, max: 4 })
    .chain((width) =>
      fc.tuple(
        fc.constant(width),
        fc.array(fc.array(few, { minLength: width, maxLength: width }), { minLength: 1 }),
      ),
    );
  fc.assert(
    fc.property(table, ([width, rows]) => {
      const inputs = Float32Array.from(rows.flat());
      const units = sameRows(inputs, width);
      expect(units).toEqual(byText(inputs, width));
      expect(
        rowsOf(units)
          .flat()
          .sort((a, b) => a - b),
      ).toEqual(rows.map((_, row) => row));
    }),
  );
});

it('sameRows finds equal rows among a hundred thousand', () => {
  // Numbers as reported by sensors, which differ only in the upper bits of a float.
  const inputs = Float32Array.from({ length: 400_000 }, (_, i) => Math.round(((i * 7919) % 100_003) / 4) / 8);
  const { count } = sameRows(inputs, 4);
  expect(count).toBe(byText(inputs, 4).count);
});
