import { AiotError } from '../../core/errors.js';
import { type Conversion, conversionOf, quantityOf } from '../../data/units.js';
import type { SampleField } from '../../sensor/types.js';

/** The sensor's field for a field of the contract, and the conversion between them. */
export interface Mapped extends Conversion {
  /** Index among the sensor's fields. */
  from: number;
}

/** Settings from `?map=` and `?units=`. */
export interface FieldSettings {
  /** The sensor's field names, keyed by the contract's. */
  map: Readonly<Record<string, string>>;
  /** Units, keyed by the sensor's or the contract's field name; `*` = all fields. */
  units: Readonly<Record<string, string>>;
}

/**
 * Assigns a sensor's fields to the contract's by `?map=` or by name; bare x, y and z are assigned by name and unit. If each side has only
 * one field, their names do not matter. Also determines the conversions of units.
 * @param has fields of the sensor; an empty unit means the contract's unit
 * @throws AIOT_SENSOR_UNFIT naming both sides
 */
export function mapFields(
  has: readonly SampleField[],
  wants: readonly SampleField[],
  settings: FieldSettings,
  endpoint: string,
): Mapped[] {
  refuseUnknown(wants, settings, endpoint);
  const taken = new Map<number, string>();
  return wants.map((want) => {
    const from = placeOf(has, wants, want, settings.map[want.name]);
    const field = has[from];
    if (!field) throw missing(has, want, settings.map[want.name], endpoint);
    const before = taken.get(from);
    if (before !== undefined) {
      throw unfit(`${endpoint}: ${field.name} is mapped to both ${before} and ${want.name}`, has);
    }
    taken.set(from, want.name);
    // A contract without a unit accepts any.
    if (want.unit === '') return { from, scale: 1, offset: 0 };
    const unit = unitIn(settings, field, want) ?? (field.unit === '' ? want.unit : field.unit);
    const conversion = conversionOf(unit, want.unit);
    if (conversion) return { from, ...conversion };
    throw unfit(
      `${endpoint}: expected ${want.name} in ${want.unit}, got ${field.name} in ${unit}, which cannot be converted`,
      has,
    );
  });
}

/** Unit that `?units=` gives for a field, by the sensor's or the contract's name. */
export function unitIn(
  { units }: Pick<FieldSettings, 'units'>,
  field: { name: string },
  want: { name: string },
): string | undefined {
  return units[field.name] ?? units[want.name] ?? units['*'];
}

function placeOf(
  has: readonly SampleField[],
  wants: readonly SampleField[],
  want: SampleField,
  mapped: string | undefined,
): number {
  if (mapped !== undefined) return has.findIndex(({ name }) => name === mapped);
  for (const name of namesFor(want)) {
    const at = has.findIndex((field) => field.name === name);
    if (at >= 0) return at;
  }
  const common = namesFor(want).map(commonName);
  const alike = has.findIndex(({ name }) => common.includes(commonName(name)));
  if (alike >= 0 || wants.length > 1 || has.length > 1) return alike;
  return 0;
}

function refuseUnknown(wants: readonly SampleField[], { map }: FieldSettings, endpoint: string): void {
  const stray = Object.keys(map).find((name) => wants.every((want) => want.name !== name));
  if (stray === undefined) return;
  const names = wants.map(({ name }) => name).join(', ');
  throw new AiotError(
    'AIOT_SENSOR_UNFIT',
    `${endpoint}: ?map= names ${stray}, but the project's fields are ${names}`,
    {
      next: `Put the project's name first: ?map=${wants[0]?.name ?? 'x'}:SENSOR_NAME`,
    },
  );
}

function missing(
  has: readonly SampleField[],
  want: SampleField,
  mapped: string | undefined,
  endpoint: string,
): AiotError {
  const as = mapped === undefined ? '' : ` as ${mapped} (?map=)`;
  return unfit(`${endpoint}: expected ${want.name} (${want.unit})${as}, got ${listed(has)}`, has);
}

function unfit(message: string, has: readonly SampleField[]): AiotError {
  const example = has[0]?.name ?? 'NAME';
  return new AiotError('AIOT_SENSOR_UNFIT', message, {
    next: `Map the fields with ?map=FIELD:${example},… and set the unit with ?units=${example}:m/s2, or change stream.fields in aiot.yaml.`,
  });
}

function listed(has: readonly SampleField[]): string {
  if (has.length === 0) return 'no fields';
  return has.map(({ name, unit }) => (unit === '' ? name : `${name} (${unit})`)).join(', ');
}

/** Prefix of axis names in the drivers of chips, by quantity. */
const axisLetters: Record<string, string> = {
  acceleration: 'a',
  'angular rate': 'g',
  'magnetic flux density': 'm',
};

/** Matches common spellings (`acc_x`, `gyroY`, `mag.z`) of the drivers' names (`ax`, `gy`, `mz`). */
const axisName =
  /^(acc|accel|acceleration|accelerometer|gyr|gyro|gyroscope|mag|magnetometer|[agm])[ ._-]?([xyz])$/i;

const others: Record<string, string> = { temp: 'temperature', hum: 'humidity', press: 'pressure' };

/** The common name of synonyms: that of the drivers (`ax`, `temperature`), or else the name in lower case. */
export function commonName(name: string): string {
  const [, kind, axis] = axisName.exec(name) ?? [];
  if (kind && axis) return `${kind[0]!.toLowerCase()}${axis.toLowerCase()}`;
  const small = name.toLowerCase();
  return others[small] ?? small;
}

/** Names under which a sensor may provide a field of the contract, most specific first. */
export function namesFor(field: { name: string; unit: string }): string[] {
  const { name, unit } = field;
  const names = [name, name.toLowerCase(), commonName(name)];
  const letter = axisLetters[quantityOf(unit) ?? ''];
  // The quantity of a bare axis follows from its unit.
  if (letter && /^[xyz]$/i.test(name)) names.push(`${letter}${name.toLowerCase()}`);
  return [...new Set(names)];
}
