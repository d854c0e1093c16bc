import type { NumberProfile } from './profile.js';

/** now = factor · base + offset. */
const conversions: { text: string; factor: number; offset: number }[] = [
  { text: 'degC became degF', factor: 1.8, offset: 32 },
  { text: 'degF became degC', factor: 1 / 1.8, offset: -32 / 1.8 },
  { text: 'degC became K', factor: 1, offset: 273.15 },
  { text: 'K became degC', factor: 1, offset: -273.15 },
  { text: 'g became m/s²', factor: 9.80665, offset: 0 },
  { text: 'm/s² became g', factor: 1 / 9.80665, offset: 0 },
  { text: 'degrees became radians', factor: Math.PI / 180, offset: 0 },
  { text: 'radians became degrees', factor: 180 / Math.PI, offset: 0 },
  { text: 'a thousand times as large (milli)', factor: 1000, offset: 0 },
  { text: 'a thousandth (kilo)', factor: 0.001, offset: 0 },
  { text: 'turned round', factor: -1, offset: 0 },
];

/** The change of unit that explains mean and deviation of both sides, or null. A guess, in words. */
export function unitChange(base: NumberProfile, now: NumberProfile): string | null {
  if (base.deviation === 0 || now.deviation === 0) return null;
  if (Math.abs(now.mean - base.mean) < base.deviation && ratioNear(now.deviation / base.deviation, 1, 1.5))
    return null;
  const fits = conversions.find(({ factor, offset }) => {
    const deviation = Math.abs(factor) * base.deviation;
    const mean = factor * base.mean + offset;
    return (
      ratioNear(now.deviation / deviation, 1, 1.35) &&
      Math.abs(now.mean - mean) < 0.75 * Math.max(deviation, now.deviation)
    );
  });
  return fits?.text ?? null;
}

function ratioNear(ratio: number, wanted: number, factor: number): boolean {
  return ratio < wanted * factor && ratio > wanted / factor;
}
