import { basename } from 'node:path';
import { readBytes, seededRandom } from '../../core/index.js';
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
