import { AiotError } from '../../core/index.js';
import type { Prediction, Predictor } from '../../model/index.js';
import type { SampleField } from '../../sensor/index.js';
import type { LoadedModel, ModelKeeper } from '../model-types.js';
import { createHistory } from './history.js';
import { usefulHistory, warmUp } from './warm.js';

/** A window's answer, and whose it is. */
export interface Predicted {
  prediction: Prediction;
  model: LoadedModel;
}

/** Samples in, answers out, by whatever model the keeper has. */
export interface Predicting {
  /** Of what the next window is answered by. */
  readonly model: LoadedModel;
  /** @returns the answer to the window that this sample completes */
  push(sample: Float64Array): Predicted | null;
  /** Samples are missing: the next one is the first of a new recording. */
  reset(): void;
}

/**
 * Asks the keeper for the model after each window. Another one takes over there with the last samples as its past, so that no window is
 * left out. One that throws, or answers with what is no number, is reported to the keeper, and the window is answered by the one that
 * the keeper then has.
 * @throws AIOT_MODEL_UNFIT: the model to begin with wants other fields than the sensor gives, or another rate
 */
export function createPredicting(
  keeper: ModelKeeper,
  sensor: { fields: readonly SampleField[]; rateHz: number },
): Predicting {
  const history = createHistory(sensor.fields.length);
  let model = keeper.current();
  requireFit(model, sensor);
  let predictor = begin(model);
  /** What the keeper has and cannot be used here; it is not tried again before the keeper has another. */
  let refused: LoadedModel | null = null;

  function begin(next: LoadedModel): Predictor {
    history.reserve(usefulHistory(next.info.signal));
    return next.createPredictor();
  }

  /** Takes what the keeper has now, where that is another model. @returns its answer to the window that ends here */
  function follow(): Prediction | null {
    const next = keeper.current();
    if (next === model || next === refused) return null;
    try {
      requireFit(next, sensor);
      const fresh = begin(next);
      const answer = warmUp(fresh, next.info.signal, history);
      if (answer) requireNumbers(answer);
      [model, predictor, refused] = [next, fresh, null];
      return answer;
    } catch (error) {
      refused = next;
      keeper.misbehaved(next, error);
      return null;
    }
  }

  /** The model in use gave no answer. @returns that of another in its place */
  function failed(error: unknown): Prediction | null {
    const which = model;
    keeper.misbehaved(which, error);
    const answer = follow();
    // Whatever state it was left in is not to be trusted.
    if (model === which) predictor = begin(which);
    return answer;
  }

  return {
    get model() {
      return model;
    },
    push(sample) {
      history.push(sample);
      try {
        const prediction = predictor.push(sample);
        if (prediction === null) return null;
        requireNumbers(prediction);
        const answered = { prediction, model };
        follow();
        return answered;
      } catch (error) {
        const prediction = failed(error);
        return prediction && { prediction, model };
      }
    },
    reset() {
      history.clear();
      predictor.reset();
    },
  };
}

/** Fields by name and order, and the rate, where time matters: the loop gives samples as they are. */
function requireFit(model: LoadedModel, sensor: { fields: readonly SampleField[]; rateHz: number }): void {
  const { fields, rateHz, windowSamples } = model.info.signal;
  const given = sensor.fields.map(({ name }) => name);
  const inTime = rateHz === sensor.rateHz || windowSamples === 1;
  if (fields.join() === given.join() && inTime) return;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `${nameOf(model)}: expected a model of ${given.join(', ')} at ${sensor.rateHz} Hz, got one of ${fields.join(', ')} at ${rateHz} Hz`,
    { next: 'Choose the model that was trained on this project: --model FILE, or NAME@STAGE.' },
  );
}

function requireNumbers({ scores, value }: Prediction): void {
  if (scores.every(Number.isFinite) && (value === null || Number.isFinite(value))) return;
  throw new RangeError(`expected scores that are numbers, got ${scores.join(', ')}`);
}

function nameOf({ name, version }: Pick<LoadedModel, 'name' | 'version'>): string {
  return version === null ? name : `${name}@${version}`;
}
