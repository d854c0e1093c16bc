import { accelerationAxis as axis } from '../features/choose.js';
import type { Dataset, Finding, Recording } from '../types.js';

/** Largest deviation of a mean acceleration from gravity, as a share of it. Sensors are biased, and bodies move. */
const gravityTolerance = 0.15;

/**
 * The unit in which the mean acceleration of most recordings is the standard gravity: 1 g, or 9.80665 m/s².
 * Null if it is neither, or if the fields are not the three axes of an accelerometer.
 */
export function accelerationUnitOf(recordings: Recording[], fields: string[]): 'g' | 'm/s²' | null {
  const columns = fields.flatMap((field, f) => (axis.test(field) ? [f] : []));
  if (columns.length !== 3) return null;
  const sizes = recordings.map(({ columns: all }) =>
    Math.hypot(...columns.map((f) => all[f]!.reduce((sum, value) => sum + value, 0) / all[f]!.length)),
  );
  const middle = sizes.sort((a, b) => a - b)[Math.floor(sizes.length / 2)] ?? Number.NaN;
  const isGravity = (size: number) => Math.abs(middle / size - 1) <= gravityTolerance;
  return isGravity(1) ? 'g' : isGravity(9.80665) ? 'm/s²' : null;
}

/** Spellings of units of acceleration. */
export const accelerationUnits: Record<string, 'g' | 'm/s²'> = {
  ...{ g: 'g', G: 'g' },
  ...{ 'm/s²': 'm/s²', 'm/s2': 'm/s²', 'm/s^2': 'm/s²', 'm/s/s': 'm/s²', 'm s⁻²': 'm/s²', 'm s-2': 'm/s²' },
};

/**
 * An acceleration that the project declares in another unit than the data has, according to the size of gravity.
 * @param units unit of each field (`stream.fields.*.unit`)
 */
export function checkDeclared(
  { recordings, fields }: Dataset,
  units: Readonly<Record<string, string | undefined>>,
): Finding[] {
  const axes = fields.filter((field) => axis.test(field));
  const found = accelerationUnitOf(recordings, fields);
  const declared = [...new Set(axes.map((field) => accelerationUnits[units[field] ?? '']))];
  const [unit] = declared;
  if (found === null || declared.length !== 1 || unit === undefined || unit === found) return [];
  return [
    {
      kind: 'unit',
      severity: 'warning',
      confidence: 'likely',
      files: [],
      evidence: { fields: axes, declared: unit, found },
      message: `stream.fields declares ${axes.join(', ')} in ${unit}, but gravity has its size in ${found} in the recordings.`,
      advice: `If the recordings are in ${found}, write \`unit: ${found}\` in aiot.yaml. Devices must send the same unit.`,
    },
  ];
}
