import { setImmediate as nextTurn } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import type { Prediction, Predictor } from '../../model/bundle/predictor.js';
import type { BundleInfo } from '../../model/bundle/types.js';
import type { SampleBatch, SampleField } from '../../sensor/types.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Answer, LoadedModel, ModelKeeper, Outputs, Sensing } from '../types.js';
import { type Ballot, createVote, type LoopVote } from '../vote.js';
import { within } from './ending.js';
import type { Tally } from './tally.js';

/**
 * Maximum time without yielding to the event loop, ms. Otherwise timers and sockets would have to wait for all samples that are already
 * available.
 */
const longestTurnMs = 20;

/**
 * Number of predictions after which a replay waits for its outputs. Outputs keep ten times as many in memory before they drop the oldest.
 */
const mostAhead = 1000;

/** If `mostAhead` predictions take less time than this, ms, the source is a fast replay. This is also the maximum wait for the outputs. */
const hurryMs = 5000;

/** An observer, such as a recorder, a teacher or a screen. It must be fast, and must not throw. */
export interface LoopTap {
  /** Samples as they arrive, in the project's fields and rate. */
  samples?(batch: SampleBatch): void;
  answer?(answer: Answer): void;
}

interface EngineOptions {
  sensing: Sensing;
  keeper: ModelKeeper;
  outputs: Outputs;
  /** Overrides the model's smoothing. */
  vote: string | undefined;
  holdMs: number;
  tally: Tally;
  taps: readonly LoopTap[];
  /** The current time, ms since 1970. */
  now: () => number;
}

/**
 * Processes samples until there are no more: windows, predictions, smoothing, outputs. Waits only for samples, except in a replay
 * that is faster than its outputs.
 * @throws the sensor's errors; AIOT_MODEL_UNFIT, AIOT_USAGE (an invalid smoothing setting)
 */
export async function runEngine(options: EngineOptions): Promise<void> {
  const predicting = createPredicting(options.keeper, options.sensing);
  try {
    await predictAll(predicting, options);
  } finally {
    predicting.close();
  }
}

async function predictAll(predicting: Predicting, options: EngineOptions): Promise<void> {
  const { sensing, outputs, tally, taps, now } = options;
  const fields = sensing.fields.length;
  const voting = createVoting(options);
  const sample = new Float64Array(fields);
  let turned = performance.now();
  const pace = { given: 0, since: turned };
  for await (const batch of sensing) {
    const arrived = performance.now();
    tally.lastSampleAt = now();
    if (batch.lost > 0) {
      predicting.reset();
      voting.reset();
    }
    for (const tap of taps) tap.samples?.(batch);
    for (let i = 0; i < batch.count; i++) {
      for (let f = 0; f < fields; f++) sample[f] = batch.values[i * fields + f]!;
      const predicted = predicting.push(sample);
      if (!predicted) continue;
      const answer: Answer = {
        ...voting.answer(predicted, batch.times[i]!, tally.windows),
        latencyMs: performance.now() - arrived,
      };
      // A tie has no result, and nothing is sent for it.
      if (answer.voted !== null || answer.label === null) {
        outputs.put(answer);
        pace.given++;
      }
      sensing.reply?.(answer);
      tally.answered(answer, performance.now() - arrived);
      for (const tap of taps) tap.answer?.(answer);
    }
    if (pace.given >= mostAhead) await catchUp(outputs, pace);
    if (performance.now() - turned < longestTurnMs) continue;
    await nextTurn();
    turned = performance.now();
  }
}

async function catchUp(outputs: Outputs, pace: { given: number; since: number }): Promise<void> {
  if (performance.now() - pace.since < hurryMs) await within(hurryMs, outputs.settled());
  pace.given = 0;
  pace.since = performance.now();
}

/** Smooths the predictions of the model in use. */
function createVoting({ vote: asked, holdMs }: Pick<EngineOptions, 'vote' | 'holdMs'>) {
  let vote: LoopVote | null = null;
  let rule = '';
  let decision: BundleInfo['answer'] | null = null;
  let last: string | null = null;
  return {
    reset: () => vote?.reset(),
    answer({ prediction, model }: Predicted, t: number, window: number): Omit<Answer, 'latencyMs'> {
      const { info, name, version } = model;
      // If the new model has different classes or a different smoothing rule, earlier predictions no longer count.
      const text = asked ?? info.vote;
      const own = `${text} ${info.classes.join('\n')}`;
      // An average also depends on the model's thresholds.
      const isOther = rule !== own || (text.startsWith('average:') && decision !== info.answer);
      if (vote === null || isOther) vote = createVote(text, holdMs, info.answer);
      rule = own;
      decision = info.answer;
      const ballot = ballotOf(info, prediction, t);
      const voted = ballot && vote.push(ballot);
      const changed = ballot === null || (voted !== null && voted !== last);
      if (voted !== null) last = voted;
      const { label, scores, value, detections, extra } = prediction;
      const found = { ...(detections && { detections }), ...(extra && { extra }) };
      return { t, window, label, voted, scores, value, ...found, changed, model: { name, version } };
    },
  };
}

/** A window's prediction, and the model that made it. */
interface Predicted {
  prediction: Prediction;
  model: LoadedModel;
}

/** Makes predictions from samples, with the keeper's current model. */
interface Predicting {
  /** @returns the prediction for the window that this sample completes */
  push(sample: Float64Array): Predicted | null;
  /** Starts a new recording with the next sample, because samples are missing. */
  reset(): void;
  /** Ends the process of the model in use, if it has one. */
  close(): void;
}

/**
 * Checks after each window whether the keeper has another model. A new model starts with the last samples as its history, so that no window
 * is skipped. A model that throws, or returns a non-number, is reported to the keeper, and the keeper's next model predicts the window.
 * @throws AIOT_MODEL_UNFIT: the initial model requires other fields than the sensor provides, or another rate
 */
function createPredicting(
  keeper: ModelKeeper,
  sensor: { fields: readonly SampleField[]; rateHz: number },
): Predicting {
  const history = createHistory(sensor.fields.length);
  let model = keeper.current();
  requireFit(model, sensor);
  let predictor = begin(model);
  /** The keeper's model if it cannot be used here; not tried again until the keeper has another model. */
  let refused: LoadedModel | null = null;

  function begin(next: LoadedModel): Predictor {
    history.reserve(usefulHistory(next.info.signal));
    return next.createPredictor();
  }

  /** Switches to the keeper's model if it has changed. @returns its prediction for the window that ends here */
  function follow(): Prediction | null {
    const next = keeper.current();
    if (next === model || next === refused) return null;
    try {
      requireFit(next, sensor);
      const fresh = begin(next);
      const answer = warmUp(fresh, next.info.signal, history);
      if (answer) requireNumbers(answer);
      const previous = model;
      [model, predictor, refused] = [next, fresh, null];
      previous.release?.();
      return answer;
    } catch (error) {
      refused = next;
      next.release?.();
      keeper.misbehaved(next, error);
      return null;
    }
  }

  /** Handles a window for which the model returned no prediction. @returns the prediction of its replacement */
  function failed(error: unknown): Prediction | null {
    const which = model;
    keeper.misbehaved(which, error);
    const answer = follow();
    // The failed predictor's state can no longer be trusted, so the same model starts again.
    if (model === which) predictor = begin(which);
    return answer;
  }

  return {
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
    close: () => model.release?.(),
  };
}

/** Compares fields by name and order and, if time matters, the rate, because the loop passes samples on unchanged. */
function requireFit(model: LoadedModel, sensor: { fields: readonly SampleField[]; rateHz: number }): void {
  const { fields, rateHz, windowSamples } = model.info.signal;
  const given = sensor.fields.map(({ name }) => name);
  const inTime = rateHz === sensor.rateHz || windowSamples === 1;
  if (fields.join() === given.join() && inTime) return;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `${nameOf(model)}: expected a model for ${given.join(', ')} at ${sensor.rateHz} Hz, got one for ${fields.join(', ')} at ${rateHz} Hz`,
    { next: 'Choose the model that was trained in this project: --model FILE, or NAME@STAGE.' },
  );
}

function requireNumbers({ scores, value }: Prediction): void {
  if (scores.every(Number.isFinite) && (value === null || Number.isFinite(value))) return;
  throw new RangeError(`expected numeric scores, got ${scores.join(', ')}`);
}

function nameOf({ name, version }: Pick<LoadedModel, 'name' | 'version'>): string {
  return version === null ? name : `${name}@${version}`;
}

/** The last samples, as many as a future window may need. */
interface History {
  /** Number of samples in the history. */
  readonly length: number;
  push(sample: ArrayLike<number>): void;
  /** Calls `each` with the last `count` samples, oldest first. The array is reused. */
  last(count: number, each: (sample: Float64Array) => void): void;
  /** Extends the capacity; the contents are preserved. */
  reserve(samples: number): void;
  clear(): void;
}

/** @param fields number of values per sample */
function createHistory(fields: number): History {
  let ring = new Float64Array(0);
  let room = 0;
  /** Position of the next sample. */
  let head = 0;
  let length = 0;
  const at = (back: number) => (((head - back + room) % room) + room) % room;
  const history: History = {
    get length() {
      return length;
    },
    push(sample) {
      if (room === 0) return;
      const start = head * fields;
      for (let f = 0; f < fields; f++) ring[start + f] = sample[f]!;
      head = (head + 1) % room;
      if (length < room) length++;
    },
    last(count, each) {
      for (let back = Math.min(count, length); back > 0; back--) {
        const start = at(back) * fields;
        each(ring.subarray(start, start + fields));
      }
    },
    reserve(samples) {
      if (samples <= room) return;
      const larger = new Float64Array(samples * fields);
      let kept = 0;
      history.last(length, (sample) => larger.set(sample, kept++ * fields));
      ring = larger;
      room = samples;
      head = kept % room;
    },
    clear() {
      length = 0;
    },
  };
  return history;
}

/** Number of input samples needed for this many resampled ones. */
function arriving(spec: SignalSpec, resampled: number): number {
  return Math.ceil(((resampled - 1) * spec.rateHz) / spec.resampleHz) + 1;
}

/** Time after which the noise estimate of a stream's front end hardly depends on its start, s: its slower share is 2.5 % of each 10 ms. */
const noiseSeconds = 3;

/**
 * Number of windows that a new predictor processes before its first valid one. By then, the transients of its filters have decayed, and its
 * noise estimate is that of the stream.
 */
function before({ windowSamples, strideSamples, resampleHz, mel }: SignalSpec): number {
  const noise = mel?.state === 'stream' ? noiseSeconds * resampleHz : 0;
  return Math.ceil(Math.max(windowSamples, noise) / strideSamples);
}

/** Number of samples that `warmUp` can use. */
function usefulHistory(spec: SignalSpec): number {
  return arriving(spec, spec.windowSamples + before(spec) * spec.strideSamples);
}

/**
 * Feeds a new predictor the last samples, so that one of its windows ends with the newest sample. Its next window then ends one stride
 * later, as with the replaced predictor.
 * @returns its prediction for that window; null if there are too few samples for one
 */
function warmUp(predictor: Predictor, spec: SignalSpec, history: History): Prediction | null {
  let windows = before(spec);
  const wanted = () => arriving(spec, spec.windowSamples + windows * spec.strideSamples);
  while (windows > 0 && wanted() > history.length) windows--;
  let answer: Prediction | null = null;
  history.last(wanted(), (sample) => {
    answer = predictor.push(sample);
  });
  return answer;
}

/** The input of smoothing for a prediction; null if the model returns values, which are not smoothed. */
function ballotOf(
  info: Pick<BundleInfo, 'answer' | 'classes'>,
  prediction: Prediction,
  t: number,
): Ballot | null {
  const { label, scores, value } = prediction;
  if (label === null) return null;
  const { answer, classes } = info;
  if (answer.kind !== 'reconstruction') return { label, classes, shares: scores, scores, t };
  // An error equal to the threshold supports both classes equally.
  const error = value ?? 0;
  const anomaly = error + answer.threshold === 0 ? 0 : error / (error + answer.threshold);
  return { label, classes, shares: [1 - anomaly, anomaly], scores, t };
}
