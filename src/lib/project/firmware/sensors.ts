import type { ProjectConfig } from '../../core/project-schema.js';
import { accelerationUnitNamed, conversionOf } from '../../data/units.js';
import { namesFor } from '../../loop/sense/fields.js';

type BoardSensor = NonNullable<NonNullable<ProjectConfig['firmware']>['sensor']>;

interface Sensor {
  name: BoardSensor;
  /** Number of the AIOT_SOURCE_… in firmware/hal/esp32/main/settings.h. */
  source: number;
  fields: readonly string[];
  /**
   * Whether the sensor supports this number of samples per second, and a description of the rates that it supports.
   * `pixels`: number of pixels in a picture; null if the model does not take pictures.
   */
  gives: (rateHz: number, pixels: number | null) => boolean;
  rates: string;
}

/** Fields of an accelerometer. The firmware provides them in g or, if stream.fields declares that, in m/s². */
const axes = ['ax', 'ay', 'az'];
/** Fields of a gyroscope, in degrees per second. */
export const rotations = ['gx', 'gy', 'gz'];
const imu = [...axes, ...rotations];
/** Rates of an LSM6DS3TR-C (ODR_XL in its data sheet), Hz. A device accepts only models for its own rate. */
const lsm = [12.5, 26, 52, 104, 208, 416, 833, 1666];
/** Rates of sensors on the ADC. The measuring window is a whole number of ms and at least 100 ms, so that it covers whole mains periods. */
const converter = {
  gives: (rateHz: number) => rateHz <= 10 && rateHz >= 1 && Number.isInteger(1000 / rateHz),
  rates: '1 to 10 samples per second',
};

/** The sensors that firmware/hal/esp32 supports, and the fields that they provide. */
const boardSensors: readonly Sensor[] = [
  { name: 'guide', source: 1, fields: ['temperature', 'vibration', 'sound', 'current'], ...converter },
  {
    ...{
      name: 'mpu6050',
      source: 2,
      fields: imu,
      rates: '4 to 1000 samples per second, in integer divisors of 1000',
    },
    gives: (rateHz) => rateHz >= 4 && Number.isInteger(1000 / rateHz),
  },
  {
    ...{ name: 'lsm6ds3trc', source: 3, fields: imu, rates: `${lsm.join(', ')} samples per second` },
    gives: (rateHz) => lsm.includes(rateHz),
  },
  {
    ...{ name: 'ds18b20', source: 4, fields: ['temperature'], rates: 'one sample per second' },
    gives: (rateHz) => rateHz === 1,
  },
  { name: 'acs712', source: 5, fields: ['current'], ...converter },
  {
    ...{ name: 'inmp441', source: 6, fields: ['rms', 'peak', 'level'], rates: '10 samples per second' },
    gives: (rateHz) => rateHz === 10,
  },
  {
    ...{ name: 'inmp441-sound', source: 7, fields: ['sound'], rates: '8000 to 48000 samples per second' },
    gives: (rateHz) => rateHz >= 8000 && rateHz <= 48000 && Number.isInteger(rateHz),
  },
  {
    ...{
      name: 'ov2640',
      source: 8,
      fields: ['gray', 'red', 'green', 'blue'],
      rates: 'at most 10 pictures per second',
    },
    gives: (rateHz, pixels) => pixels !== null && rateHz <= 10 * pixels,
  },
];

/**
 * The sensor in aiot.yaml or, if none is specified, the first sensor that provides the stream's fields at the stream's rate; null = no such
 * sensor.
 */
export function sensorOf(config: ProjectConfig): Sensor | null {
  const named = config.firmware?.sensor;
  if (named !== undefined) return boardSensors.find(({ name }) => name === named) ?? null;
  return boardSensors.find((sensor) => misfitOf(config, sensor) === null) ?? null;
}

/**
 * The sensor's field for each field of the project that it provides. The project may use a common spelling, such as `accel_x` for `ax`, or
 * the bare axis `x` with a unit of acceleration. Each field of the sensor is used at most once.
 */
export function fieldsOf({ stream, model }: ProjectConfig, sensor: Sensor): Map<string, string> {
  const found = new Map<string, string>();
  const declared = Object.keys(stream.fields);
  for (const name of declared.length > 0 ? declared : (model.table?.inputs ?? [])) {
    const names = namesFor({ name, unit: stream.fields[name]?.unit ?? '' });
    const used = [...found.values()];
    const field = names.find((each) => sensor.fields.includes(each) && !used.includes(each));
    if (field !== undefined) found.set(name, field);
  }
  return found;
}

/** Number of pixels of the model's picture; null if it takes no pictures. */
export function pixelsOf({ signal }: ProjectConfig): number | null {
  return signal.image === undefined ? null : signal.image.width * signal.image.height;
}

/** Reason why a board with this sensor cannot provide the model's input; null if it can. */
export function misfitOf(config: ProjectConfig, sensor: Sensor): string | null {
  const { stream, signal, model } = config;
  const declared = Object.keys(stream.fields);
  const [needed, where] =
    declared.length > 0 ? [declared, 'stream.fields'] : [model.table?.inputs ?? [], 'model.table.inputs'];
  const provided = fieldsOf(config, sensor);
  const missing = needed.filter((field) => !provided.has(field));
  if (missing.length > 0)
    return `${sensor.name} provides ${sensor.fields.join(', ')}, but not ${missing.join(', ')} of ${where}`;
  const pixels = pixelsOf(config);
  if (sensor.name === 'ov2640' && pixels === null)
    return `${sensor.name} provides pictures, but signal.features is not image`;
  // A model of single rows does not depend on the rate.
  const timeless = signal.window === 1 && signal.lowpass === undefined;
  if (timeless || sensor.gives(signal.rate, pixels)) return null;
  return `${sensor.name} provides ${sensor.rates}, but signal.rate is ${signal.rate}`;
}

/** Remarks for the user about the board that will run the firmware. */
const speechNote =
  'Models of speech rarely fit into the memory of a chip (`aiot model fit` compares them). For an ESP32-S3 with external RAM, build with `--profile large`, which gives the model 512 KiB.';

/** @param profiles profiles of the build */
export function sensorNotes(config: ProjectConfig, profiles: readonly string[] = []): string[] {
  const sensor = sensorOf(config);
  if (sensor === null)
    return [
      'No sensor of hal/esp32 provides the fields of stream.fields at signal.rate. On a board, the model makes no predictions until one does: set the nearest one as firmware.sensor in aiot.yaml, or write your own source.',
    ];
  const misfit = misfitOf(config, sensor);
  return [
    ...(misfit === null ? [] : [`${misfit}: on a board, the model makes no predictions.`]),
    ...(sensor.name === 'inmp441-sound' && config.signal?.mel && !profiles.includes('large')
      ? [speechNote]
      : []),
    ...unitNotes(config, sensor),
  ];
}

/** Size of 1 g in each unit of acceleration, which the firmware converts to. */
const perG = { g: 1, 'm/s²': 9.80665 };

/**
 * Size of 1 g in the unit that stream.fields declares for the accelerometer, or in g if it declares no unit. Null if the unit is not a
 * known one, or if the axes have different units.
 */
export function accelerationPerG(config: ProjectConfig, sensor: Sensor): number | null {
  const units = declaredFor(config, sensor, axes).map(({ unit }) => accelerationUnitNamed(unit || 'g'));
  const [first = 'g' as const] = units;
  return first !== null && units.every((unit) => unit === first) ? perG[first] : null;
}

/** A remark if the recordings' unit cannot be the sensor's, because the model would then receive values on a different scale. */
function unitNotes(config: ProjectConfig, sensor: Sensor): string[] {
  if (!axes.every((axis) => sensor.fields.includes(axis))) return [];
  const notes: string[] = [];
  const unfit = (fields: string, units: string, declared: { name: string; unit: string }[]) =>
    notes.push(
      `${sensor.name} can provide ${fields} in ${units}, but stream.fields declares ${declared.map(({ name, unit }) => `${name} in ${unit || 'no unit'}`).join(', ')}: on a board, the model's predictions are wrong. Convert the recordings, declare the new unit, and train again.`,
    );
  if (accelerationPerG(config, sensor) === null)
    unfit(axes.join(', '), 'g or in m/s²', declaredFor(config, sensor, axes));
  const other = declaredFor(config, sensor, rotations).filter(
    ({ unit }) => unit !== '' && conversionOf('dps', unit)?.scale !== 1,
  );
  if (other.length > 0) unfit(rotations.join(', '), 'dps', other);
  return notes;
}

/** The project's fields, with units, that some of the sensor's fields provide. */
function declaredFor(
  config: ProjectConfig,
  sensor: Sensor,
  wanted: readonly string[],
): { name: string; unit: string }[] {
  const provided = [...fieldsOf(config, sensor)].filter(([, field]) => wanted.includes(field));
  return provided.map(([name]) => ({ name, unit: config.stream.fields[name]?.unit ?? '' }));
}
