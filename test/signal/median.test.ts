import { expect, it } from 'vitest';
import { median } from '../../src/lib/signal/har.js';
import { fc, runs } from '../support/property.js';

it('the median is the same as after sorting', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 60 }), (values) => {
      const sorted = Float64Array.from(values).sort();
      const k = sorted.length >> 1;
      const expected = sorted.length % 2 === 1 ? sorted[k]! : (sorted[k - 1]! + sorted[k]!) / 2;
      expect(median(Float64Array.from(values))).toBe(expected);
    }),
    { numRuns: runs(500) },
  );
});
