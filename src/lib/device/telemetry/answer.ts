import { AiotError } from '../../core/errors.js';
import type { Prediction } from '../../model/bundle/predictor.js';
import type { Inference, Reported } from '../protocol/messages.js';
import type { LoadedModel } from '../runtime.js';
import type { Sensor } from './sensor.js';
import type { Shadow } from './shadow.js';

export interface ActiveModel {
  loaded: LoadedModel;
  /** The model's name in reports. */
  name: NonNullable<Reported['model']>;
}

/** A shadow that runs alongside the model in use. `fail` is called if the shadow cannot process a sample. */
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
  const { window, label, voted, scores, value, detections, extra, latencyMs } = prediction;
  const { name, version } = model.name;
  const found = { ...(detections && { detections }), ...(extra && { extra }) };
  return { t, model: { name, version }, recording, window, label, voted, scores, value, ...found, latencyMs };
}

interface Answering {
  /** The model in use. */
  model(): ActiveModel | null;
  /** The shadow that runs alongside that model. */
  shadow?: (() => ShadowRun | null) | undefined;
  /** Whether to wait for a model that fits the sensor, instead of throwing at the start if there is none. */
  waits: boolean;
  /**
   * Called for each model that comes into use, with the reason if it does not fit the sensor; null = the model fits.
   */
  onModel?: ((unfit: string | null) => void) | undefined;
}

/**
 * Creates a function that returns the prediction of the model in use; null while that model does not fit the sensor.
 * @throws AIOT_DEVICE_NO_MODEL, AIOT_RECORDING_UNFIT unless the caller waits
 */
export function createAnswerer(
  sensor: Sensor,
  { model: active, shadow = () => null, waits, onModel }: Answering,
): (sample: ArrayLike<number>) => Answer | null {
  let model = active();
  if (!model && !waits)
    throw new AiotError('AIOT_DEVICE_NO_MODEL', 'the device has no active model to predict with');
  const unfit = model && whyUnfit(sensor, model.loaded);
  if (unfit !== null && !waits) throw new AiotError('AIOT_RECORDING_UNFIT', unfit);
  const pusherOf = (next: ActiveModel | null) => {
    if (!next) return null;
    const why = whyUnfit(sensor, next.loaded);
    onModel?.(why === null ? null : unfitText(next, why));
    return why === null ? createPusher(sensor, next.loaded) : null;
  };
  let push = pusherOf(model);
  const look = createOnlooker(sensor, shadow);
  return (sample) => {
    const current = active();
    if (current !== model) {
      model = current;
      push = pusherOf(current);
    }
    look(sample);
    const prediction = push?.(sample);
    return prediction && model ? { prediction, model } : null;
  };
}

/**
 * From the start of a shadow, feeds each sample to both models. Errors in the shadow are reported and have no other
 * effect.
 */
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
      // The model that runs second has a warm cache, so the two models take turns in running first.
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

/** Fields and rate of samples, and the size of a picture. */
export type SampleForm = Pick<Sensor, 'fields' | 'rateHz' | 'size'>;

/** Reason why a model cannot predict on such samples; null if it can. */
export function whyUnfit(
  sensor: SampleForm,
  { fields, rateHz, size }: Pick<LoadedModel, 'fields' | 'rateHz' | 'size'>,
): string | null {
  if (rateHz !== null && rateHz !== sensor.rateHz)
    return `expected ${rateHz} Hz as required by the model, got ${sensor.rateHz}${Number.isInteger(rateHz) ? ` (to use this model, restart with --rate ${rateHz})` : ''}`;
  if (size && sensor.size && (size.width !== sensor.size.width || size.height !== sensor.size.height))
    return `expected a picture of ${size.width} × ${size.height} pixels as required by the model, got ${sensor.size.width} × ${sensor.size.height}`;
  if (fields.every((field) => sensor.fields.includes(field))) return null;
  return `expected the fields ${fields.join(', ')} as required by the model, got ${sensor.fields.join(', ')}`;
}

/** The warning of a device that continues without predictions. */
export function unfitText({ name: { name, version } }: Pick<ActiveModel, 'name'>, why: string): string {
  return `${name}@${version} does not fit this source, so the device predicts nothing until it gets another model: ${why}`;
}

/**
 * Accepts samples in the sensor's field order, and passes the predictor's fields to it in the predictor's order.
 * @throws AIOT_RECORDING_UNFIT
 */
function createPusher(sensor: Sensor, loaded: LoadedModel): (sample: ArrayLike<number>) => Prediction | null {
  const why = whyUnfit(sensor, loaded);
  if (why !== null) throw new AiotError('AIOT_RECORDING_UNFIT', why);
  const { fields } = loaded;
  const places = fields.map((field) => sensor.fields.indexOf(field));
  const predictor = loaded.createPredictor();
  const values = new Float64Array(fields.length);
  return (sample) => {
    places.forEach((place, f) => {
      values[f] = sample[place] as number;
    });
    return predictor.push(values);
  };
}
