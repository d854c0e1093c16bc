import { basename } from 'node:path';
import { AiotError, readBytes, seededRandom } from '../../core/index.js';
import { type MotorState, motorFields, motorSamples, type Recording } from '../../data/index.js';
import { parseCsv } from '../../formats/index.js';
import type { Sensor } from '../telemetry/sensor.js';

/** A shaded-pole motor in this state; the same seed gives the same samples. */
export function motorSensor(options: { state: MotorState; rateHz: number; seed: number }): Sensor {
  const { state, rateHz, seed } = options;
  return {
    fields: [...motorFields],
    rateHz,
    samples: () => motorSamples({ state, rateHz, random: seededRandom(seed) }),
  };
}

/** A CSV file of samples, one column a field. @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_MALFORMED */
export async function readRecording(file: string, rateHz: number): Promise<Recording> {
  const { columns, data } = parseCsv(await readBytes(file), file);
  return {
    id: basename(file).replace(/\.csv$/i, ''),
    label: null,
    device: null,
    rateHz,
    startedAt: null,
    fields: columns,
    columns: data,
  };
}

/** `max`, or a factor above 0 and at most 1000. @throws AIOT_USAGE */
export function parseSpeed(text: string): number | 'max' {
  if (text === 'max') return text;
  const factor = Number(text);
  if (factor > 0 && factor <= 1000) return factor;
  throw new AiotError('AIOT_USAGE', `expected a speed of max, or a factor such as 1 or 10; got "${text}"`);
}
