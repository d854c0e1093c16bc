import type { ProjectConfig } from '../../core/project-schema.js';

export type BoardSensor = NonNullable<NonNullable<ProjectConfig['firmware']>['sensor']>;

interface Sensor {
  name: BoardSensor;
  /** AIOT_SOURCE_… of firmware/hal/esp32/main/settings.h. */
  source: number;
  fields: readonly string[];
  /** Whether it can be set to give just so many samples a second; which those are, in words. */
  gives: (rateHz: number) => boolean;
  rates: string;
}

const imu = ['ax', 'ay', 'az', 'gx', 'gy', 'gz'];
/** Rates of a LSM6DS3TR-C (its data sheet's ODR_XL); a device takes a model of no other rate. */
const lsm = [12.5, 26, 52, 104, 208, 416, 833, 1666];
/** The converter's window is a whole number of ms, and at least 100 of them: whole periods of the mains. */
const converter = {
  gives: (rateHz: number) => rateHz <= 10 && rateHz >= 1 && Number.isInteger(1000 / rateHz),
  rates: '1 to 10 samples a second',
};

/** The sensors of firmware/hal/esp32, with the fields that they give. */
export const boardSensors: readonly Sensor[] = [
  { name: 'guide', source: 1, fields: ['temperature', 'vibration', 'sound', 'current'], ...converter },
  {
    ...{ name: 'mpu6050', source: 2, fields: imu, rates: '4 to 1000 samples a second, whole parts of 1000' },
    gives: (rateHz) => rateHz >= 4 && Number.isInteger(1000 / rateHz),
  },
  {
    ...{ name: 'lsm6ds3trc', source: 3, fields: imu, rates: `${lsm.join(', ')} samples a second` },
    gives: (rateHz) => lsm.includes(rateHz),
  },
  {
    ...{ name: 'ds18b20', source: 4, fields: ['temperature'], rates: 'a sample a second' },
    gives: (rateHz) => rateHz === 1,
  },
  { name: 'acs712', source: 5, fields: ['current'], ...converter },
  {
    ...{ name: 'inmp441', source: 6, fields: ['rms', 'peak', 'level'], rates: '10 samples a second' },
    gives: (rateHz) => rateHz === 10,
  },
];

/** The sensor that aiot.yaml names, else the first that gives the stream's fields at its rate; null = none does. */
export function sensorOf(config: ProjectConfig): Sensor | null {
  const named = config.firmware?.sensor;
  if (named !== undefined) return boardSensors.find(({ name }) => name === named) ?? null;
  return boardSensors.find((sensor) => misfitOf(config, sensor) === null) ?? null;
}

/** Why a board with this sensor gives the project's model nothing to answer; null = it does. */
export function misfitOf({ stream, signal }: ProjectConfig, sensor: Sensor): string | null {
  const missing = Object.keys(stream.fields).filter((field) => !sensor.fields.includes(field));
  if (missing.length > 0)
    return `${sensor.name} gives ${sensor.fields.join(', ')}, and not ${missing.join(', ')} of stream.fields`;
  // A model of single rows answers each by itself.
  const timeless = signal.window === 1 && signal.lowpass === undefined;
  if (timeless || sensor.gives(signal.rate)) return null;
  return `${sensor.name} gives ${sensor.rates}, signal.rate asks for ${signal.rate}`;
}

/** What a person should know of the board that the firmware will run on. */
export function sensorNotes(config: ProjectConfig): string[] {
  const sensor = sensorOf(config);
  if (sensor === null)
    return [
      'No sensor of hal/esp32 gives the fields of stream.fields at signal.rate. On a board the model will not answer until one does: name the nearest as firmware.sensor in aiot.yaml, or write a source of your own.',
    ];
  const misfit = misfitOf(config, sensor);
  return misfit === null ? [] : [`${misfit}: on a board the model will not answer.`];
}
