import { AiotError } from '../../core/index.js';
import type { Prediction } from '../../model/index.js';
import type { Inference, Reported } from '../protocol/messages.js';
import type { LoadedModel } from '../runtime.js';
import type { Sensor } from './sensor.js';

export interface ActiveModel {
  loaded: LoadedModel;
  /** What it is called in reports. */
  name: NonNullable<Reported['model']>;
}

export interface Answer {
  prediction: Prediction;
  model: ActiveModel;
}

export function inferenceOf(
  { prediction, model }: Answer,
  recording: string,
  t: number,
): Omit<Inference, 'seq'> {
  const { window, label, voted, scores, value, latencyMs } = prediction;
  const { name, version } = model.name;
  return { t, model: { name, version }, recording, window, label, voted, scores, value, latencyMs };
}

/**
 * Asks the model in use. Only a live sensor may wait for its first one.
 * @throws AIOT_DEVICE_NO_MODEL, AIOT_RECORDING_UNFIT
 */
export function createAnswerer(
  sensor: Sensor,
  active: () => ActiveModel | null,
  live: boolean,
): (sample: ArrayLike<number>) => Answer | null {
  let model = active();
  if (!model && !live)
    throw new AiotError('AIOT_DEVICE_NO_MODEL', 'the device has no active model to predict with');
  let push = model && createPusher(sensor, model);
  return (sample) => {
    const current = active();
    if (current !== model) {
      model = current;
      push = current && createPusher(sensor, current);
    }
    const prediction = push?.(sample);
    return prediction && model ? { prediction, model } : null;
  };
}

/** Takes samples in the sensor's order of fields, and gives the predictor those it wants in its own. */
function createPusher(
  sensor: Sensor,
  { loaded }: ActiveModel,
): (sample: ArrayLike<number>) => Prediction | null {
  const { fields, rateHz } = loaded;
  if (rateHz !== null && rateHz !== sensor.rateHz) {
    throw new AiotError(
      'AIOT_RECORDING_UNFIT',
      `expected ${rateHz} Hz as the model takes, got ${sensor.rateHz}`,
    );
  }
  const places = fields.map((field) => sensor.fields.indexOf(field));
  if (places.includes(-1)) {
    throw new AiotError(
      'AIOT_RECORDING_UNFIT',
      `expected the fields ${fields.join(', ')} as the model takes, got ${sensor.fields.join(', ')}`,
    );
  }
  const predictor = loaded.createPredictor();
  const values = new Float64Array(fields.length);
  return (sample) => {
    places.forEach((place, f) => {
      values[f] = sample[place] as number;
    });
    return predictor.push(values);
  };
}
