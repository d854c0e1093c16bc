import { quantityOf } from './units.js';

/** What chips' drivers call an axis, by the quantity of its unit. */
const axisLetters: Record<string, string> = {
  acceleration: 'a',
  'angular rate': 'g',
  'magnetic flux density': 'm',
};

/** `acc_x`, `gyroY`, `mag.z`: how people write what the drivers call `ax`, `gy`, `mz`. */
const axisName =
  /^(acc|accel|acceleration|accelerometer|gyr|gyro|gyroscope|mag|magnetometer|[agm])[ ._-]?([xyz])$/i;
const others: Record<string, string> = { temp: 'temperature', hum: 'humidity', press: 'pressure' };

/** One name for what is called differently: that of the drivers (`ax`, `temperature`), or the name in small letters. */
export function commonName(name: string): string {
  const [, kind, axis] = axisName.exec(name) ?? [];
  if (kind && axis) return `${kind[0]!.toLowerCase()}${axis.toLowerCase()}`;
  const small = name.toLowerCase();
  return others[small] ?? small;
}

/** Names under which a field of the contract may stand in a sensor: its own first. */
export function namesFor(field: { name: string; unit: string }): string[] {
  const { name, unit } = field;
  const names = [name, name.toLowerCase(), commonName(name)];
  const letter = axisLetters[quantityOf(unit) ?? ''];
  // A bare axis is of what its unit says.
  if (letter && /^[xyz]$/i.test(name)) names.push(`${letter}${name.toLowerCase()}`);
  return [...new Set(names)];
}
