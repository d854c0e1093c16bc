/** What a unit is of, and how it becomes the quantity's base unit: base = value · scale + offset. */
interface Unit {
  quantity: string;
  scale: number;
  offset?: number;
}

/** Standard acceleration of free fall, m/s² (CODATA, exact). */
const standardGravity = 9.80665;

const named: [quantity: string, units: Record<string, number>][] = [
  ['acceleration', { g: 1, mg: 1e-3, 'm/s2': 1 / standardGravity }],
  ['angular rate', { dps: 1, 'deg/s': 1, mdps: 1e-3, 'rad/s': 180 / Math.PI }],
  ['magnetic flux density', { gauss: 1, Gs: 1, G: 1, mgauss: 1e-3, T: 1e4, mT: 10, uT: 0.01, nT: 1e-5 }],
  ['pressure', { Pa: 1, hPa: 100, mbar: 100, kPa: 1000, bar: 1e5 }],
  ['relative humidity', { '%': 1, '%rh': 1, percent: 1 }],
  ['velocity', { 'mm/s': 1, 'cm/s': 10, 'm/s': 1000 }],
  ['current', { A: 1, mA: 1e-3 }],
  ['voltage', { V: 1, mV: 1e-3 }],
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

/** The ways in which people write the same: `m/s²`, `m/s^2`, `µT`, `°C`, `°/s`. */
function unitOf(text: string): Unit | undefined {
  const plain = text
    .trim()
    .replace('²', '2')
    .replace('^', '')
    .replace(/[µμ]/, 'u')
    .replace(/^°\/s$/, 'dps')
    .replace('°', 'deg');
  // G is gauss and g is gravity: as it stands first.
  const found = units.get(plain);
  if (found) return found;
  const small = plain.toLowerCase();
  return [...units].find(([name]) => name.length > 1 && name.toLowerCase() === small)?.[1];
}

/** What is measured in this unit, such as `acceleration`; null for a unit that is not known. */
export function quantityOf(unit: string): string | null {
  return unitOf(unit)?.quantity ?? null;
}

/** wanted = given · scale + offset. */
export interface Conversion {
  scale: number;
  offset: number;
}

/** How values in one unit become values in another; null when they are not of one quantity. The same unit changes no bit. */
export function conversionOf(given: string, wanted: string): Conversion | null {
  if (given.trim() === wanted.trim()) return { scale: 1, offset: 0 };
  const [from, to] = [unitOf(given), unitOf(wanted)];
  if (!from || !to || from.quantity !== to.quantity) return null;
  return {
    scale: from.scale / to.scale,
    offset: ((from.offset ?? 0) - (to.offset ?? 0)) / to.scale,
  };
}
