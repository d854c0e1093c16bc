import { AiotError } from '../../../core/index.js';
import type { SampleField } from '../../../sensor/index.js';
import { commonName, namesFor } from './names.js';
import { type Conversion, conversionOf } from './units.js';

/** Where a field of the contract comes from. */
export interface Mapped extends Conversion {
  /** Place among the sensor's fields. */
  from: number;
}

/** What `?map=` and `?units=` say. */
export interface FieldSettings {
  /** Contract's name → sensor's name. */
  map: Readonly<Record<string, string>>;
  /** Sensor's (or contract's) name → unit it is in; `*` = all. */
  units: Readonly<Record<string, string>>;
}

/**
 * Which of a sensor's fields become the contract's: by `?map=`, by name, or for bare x, y, z by name and unit; with the conversion
 * of units.
 * @param has fields of the sensor; an empty unit is taken to be the contract's
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
      throw unfit(`${endpoint}: ${field.name} would be both ${before} and ${want.name}`, has);
    }
    taken.set(from, want.name);
    // A contract without a unit takes what comes.
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

/** Unit that `?units=` names for a field, by either side's name. */
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
    `${endpoint}: ?map= names ${stray}, and the project's fields are ${names}`,
    {
      next: `Write the project's name first: ?map=${wants[0]?.name ?? 'x'}:ITS_NAME`,
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
    next: `Say which is which with ?map=FIELD:${example},… and in what unit with ?units=${example}:m/s2, or change stream.fields in aiot.yaml.`,
  });
}

function listed(has: readonly SampleField[]): string {
  if (has.length === 0) return 'no fields';
  return has.map(({ name, unit }) => (unit === '' ? name : `${name} (${unit})`)).join(', ');
}
