import { accelerationAxis as axis } from './features/choose.js';
import type { Dataset, Finding, Recording } from './types.js';

/** Maximum deviation of a mean acceleration from gravity, as a share of gravity. Sensors are biased, and bodies move. */
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

/**
 * Finds an acceleration whose declared unit differs from the unit of the data, according to the magnitude of gravity.
 * @param units unit of each field (`stream.fields.*.unit`)
 */
export function checkDeclared(
  { recordings, fields }: Dataset,
  units: Readonly<Record<string, string | undefined>>,
): Finding[] {
  const axes = fields.filter((field) => axis.test(field));
  const found = accelerationUnitOf(recordings, fields);
  const declared = [...new Set(axes.map((field) => accelerationUnitNamed(units[field] ?? '')))];
  const [unit = null] = declared;
  if (found === null || declared.length !== 1 || unit === null || unit === found) return [];
  return [
    {
      kind: 'unit',
      severity: 'warning',
      confidence: 'likely',
      files: [],
      evidence: { fields: axes, declared: unit, found },
      message: `stream.fields declares ${axes.join(', ')} in ${unit}, but the recordings show gravity in ${found}.`,
      advice: `If the recordings are in ${found}, write \`unit: ${found}\` in aiot.yaml. Devices must send the same unit.`,
    },
  ];
}

/** The quantity of a unit, and its conversion to the base unit: base = value · scale + offset. */
interface Unit {
  quantity: string;
  scale: number;
  offset?: number;
}

/** Standard acceleration of free fall, m/s² (CODATA, exact). */
const standardGravity = 9.80665;

const named: [quantity: string, units: Record<string, number>][] = [
  ['acceleration', { g: 1, mg: 1e-3, 'm/s2': 1 / standardGravity }],
  ['angular rate', { dps: 1, 'deg/s': 1, mdps: 1e-3, 'rad/s': 180 / Math.PI, rpm: 6 }],
  ['magnetic flux density', { gauss: 1, Gs: 1, G: 1, mgauss: 1e-3, T: 1e4, mT: 10, uT: 0.01, nT: 1e-5 }],
  ['pressure', { Pa: 1, hPa: 100, mbar: 100, kPa: 1000, bar: 1e5 }],
  ['relative humidity', { '%': 1, '%rh': 1, percent: 1 }],
  ['velocity', { 'mm/s': 1, 'cm/s': 10, 'm/s': 1000 }],
  ['current', { A: 1, mA: 1e-3 }],
  ['voltage', { V: 1, mV: 1e-3 }],
  ['power', { W: 1, mW: 1e-3, kW: 1000 }],
  ['frequency', { Hz: 1, kHz: 1000 }],
  ['force', { N: 1, kN: 1000 }],
  ['torque', { Nm: 1 }],
  ['length', { mm: 1, um: 1e-3, cm: 10, m: 1000 }],
  ['illuminance', { lx: 1, lux: 1 }],
  ['fraction', { ppm: 1, ppb: 1e-3 }],
  ['flow', { 'l/min': 1, 'l/h': 1 / 60, 'm3/h': 1000 / 60 }],
  ['level', { dB: 1 }],
];

const units: ReadonlyMap<string, Unit> = new Map<string, Unit>([
  ...named.flatMap(([quantity, of]) =>
    Object.entries(of).map(([unit, scale]): [string, Unit] => [unit, { quantity, scale }]),
  ),
  ...['degC', 'C', 'celsius'].map((unit): [string, Unit] => [unit, { quantity: 'temperature', scale: 1 }]),
  ['K', { quantity: 'temperature', scale: 1, offset: -273.15 }],
  ['degF', { quantity: 'temperature', scale: 5 / 9, offset: (-32 * 5) / 9 }],
]);

/** Normalizes different spellings of a unit: `m/s²`, `m/s^2`, `m s⁻²`, `µT`, `°C`, `°/s`. */
function unitOf(text: string): Unit | undefined {
  const plain = text
    .trim()
    .replace(/^m(?:\/s\/s|[ ·]?s(?:⁻²|\^?-2))$/, 'm/s2')
    .replace('²', '2')
    .replace('³', '3')
    .replace('^', '')
    .replace(/[µμ]/, 'u')
    .replace(/^[°º]\/s$/, 'dps')
    .replace('℃', 'degC')
    .replace(/[°º]/, 'deg');
  // The exact spelling is tried first, because G is gauss and g is gravity.
  const found = units.get(plain);
  if (found) return found;
  const small = plain.toLowerCase();
  return [...units].find(([name]) => name.length > 1 && name.toLowerCase() === small)?.[1];
}

/** The quantity measured in this unit, such as `acceleration`; null for an unknown unit. */
export function quantityOf(unit: string): string | null {
  return unitOf(unit)?.quantity ?? null;
}

/** wanted = given · scale + offset. */
export interface Conversion {
  scale: number;
  offset: number;
}

/**
 * The conversion of values from one unit to another; null if their quantities differ. If the units are equal, values are not changed at
 * all.
 */
export function conversionOf(given: string, wanted: string): Conversion | null {
  if (given.trim() === wanted.trim()) return { scale: 1, offset: 0 };
  const [from, to] = [unitOf(given), unitOf(wanted)];
  if (!from || !to || from.quantity !== to.quantity) return null;
  return {
    scale: from.scale / to.scale,
    offset: ((from.offset ?? 0) - (to.offset ?? 0)) / to.scale,
  };
}

/**
 * The unit that a text names in any spelling, g or m/s²; null for any other text. On the axes of an accelerometer, G is gravity, not gauss.
 */
export function accelerationUnitNamed(text: string): 'g' | 'm/s²' | null {
  const unit = text.trim() === 'G' ? unitOf('g') : unitOf(text);
  if (unit?.quantity !== 'acceleration') return null;
  return unit.scale === 1 ? 'g' : unit.scale === 1 / standardGravity ? 'm/s²' : null;
}

/** A column's name, and the unit in brackets at its end: `accel_x [g]`, `temperature (°C)`. */
interface ColumnUnit {
  /** The text before the brackets, whether or not they contain a unit. */
  stem: string;
  /** As written by the user; null if the brackets contain no known unit, or if there are none. */
  unit: string | null;
}

export function columnUnit(column: string): ColumnUnit {
  const [, stem, unit] = /^([^()[\]]*[^()[\]\s])\s*[([]([^()[\]]+)[)\]]$/.exec(column.trim()) ?? [];
  if (stem === undefined || unit === undefined) return { stem: column, unit: null };
  return { stem, unit: unitOf(unit) ? unit.trim() : null };
}
