import { AiotError } from '../../core/errors.js';
import type { Prediction } from '../../model/bundle/predictor.js';
import type { Inference, Reported } from '../protocol/messages.js';
import type { LoadedModel } from '../runtime.js';
import type { Sensor } from './sensor.js';
import type { Shadow } from './shadow.js';

export interface ActiveModel {
  loaded: LoadedModel;
  /** Its name in reports. */
  name: NonNullable<Reported['model']>;
}

/** A shadow that runs alongside the model in use, and the callback for samples that it cannot take. */
export interface ShadowRun {
  shadow: Shadow;
  fail(error: unknown): void;
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
 * Creates the function that gets predictions from the model in use. Only a live sensor may wait for its first model.
 * @throws AIOT_DEVICE_NO_MODEL, AIOT_RECORDING_UNFIT
 */
export function createAnswerer(
  sensor: Sensor,
  active: () => ActiveModel | null,
  live: boolean,
  beside: () => ShadowRun | null = () => null,
): (sample: ArrayLike<number>) => Answer | null {
  let model = active();
  if (!model && !live)
    throw new AiotError('AIOT_DEVICE_NO_MODEL', 'the device has no active model to predict with');
  let push = model && createPusher(sensor, model.loaded);
  const look = createOnlooker(sensor, beside);
  return (sample) => {
    const current = active();
    if (current !== model) {
      model = current;
      push = current && createPusher(sensor, current.loaded);
    }
    look(sample);
    const prediction = push?.(sample);
    return prediction && model ? { prediction, model } : null;
  };
}

/** Feeds each sample to both models of a shadow, from its start on. Its errors are reported and affect nothing else. */
function createOnlooker(sensor: Sensor, beside: () => ShadowRun | null): (sample: ArrayLike<number>) => void {
  let run: ShadowRun | null = null;
  let pushers: ReturnType<typeof createPusher>[] = [];
  let swapped = false;
  return (sample) => {
    try {
      const now = beside();
      if (now !== run) {
        run = now;
        pushers = [];
        if (run) pushers = [run.shadow.active, run.shadow.candidate].map((one) => createPusher(sensor, one));
      }
      const [active, candidate] = pushers;
      if (!run || !active || !candidate) return;
      // The model that runs second has a warm cache, so the two alternate in running first.
      const early = swapped ? candidate(sample) : null;
      const answered = active(sample);
      run.shadow.saw(answered, swapped ? early : candidate(sample));
      if (answered) swapped = !swapped;
    } catch (error) {
      pushers = [];
      run?.fail(error);
    }
  };
}

/** Takes samples in the sensor's field order and passes the predictor's fields in the predictor's order. */
function createPusher(sensor: Sensor, loaded: LoadedModel): (sample: ArrayLike<number>) => Prediction | null {
  const { fields, rateHz } = loaded;
  if (rateHz !== null && rateHz !== sensor.rateHz) {
    throw new AiotError(
      'AIOT_RECORDING_UNFIT',
      `expected ${rateHz} Hz as required by the model, got ${sensor.rateHz}`,
    );
  }
  const places = fields.map((field) => sensor.fields.indexOf(field));
  if (places.includes(-1)) {
    throw new AiotError(
      'AIOT_RECORDING_UNFIT',
      `expected the fields ${fields.join(', ')} as required by the model, got ${sensor.fields.join(', ')}`,
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
