import { setImmediate as turn } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import type { Prediction, Predictor } from '../../model/bundle/predictor.js';
import type { BundleInfo } from '../../model/bundle/types.js';
import type { SampleBatch, SampleField } from '../../sensor/types.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Answer, LoadedModel, ModelKeeper, Outputs, Sensing } from '../types.js';
import { type Ballot, createVote, type LoopVote } from '../vote.js';
import { within } from './ending.js';
import type { Tally } from './tally.js';

/** Longest time without a look at timers, signals and sockets, ms: samples that are there already would keep them all waiting. */
const longestTurnMs = 20;

/** Answers after which a replay waits for its outputs: they hold ten times as many in memory, and then throw the oldest away. */
const mostAhead = 1000;

/** Sensors give no thousand answers within this time, ms; and no output is waited for any longer. */
const hurryMs = 5000;

/** What looks on: a recorder, a teacher, a screen. It must not throw, and must not take long. */
export interface LoopTap {
  /** Samples as they come, in the project's fields and rate. */
  samples?(batch: SampleBatch): void;
  answer?(answer: Answer): void;
}

interface EngineOptions {
  sensing: Sensing;
  keeper: ModelKeeper;
  outputs: Outputs;
  /** Instead of the model's own. */
  vote: string | undefined;
  holdMs: number;
  tally: Tally;
  taps: readonly LoopTap[];
  /** Wall clock, ms since 1970. */
  now: () => number;
}

/**
 * Takes samples until there are no more: windows, answers, votes, outputs. Nothing in here waits for anything but samples, save a replay
 * that is faster than its outputs.
 * @throws what the sensor throws; AIOT_MODEL_UNFIT, AIOT_USAGE (a vote that is none)
 */
export async function runEngine(options: EngineOptions): Promise<void> {
  const { sensing, keeper, outputs, tally, taps, now } = options;
  const fields = sensing.fields.length;
  const predicting = createPredicting(keeper, sensing);
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
      // A tie says nothing, and nothing is sent of it.
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
    await turn();
    turned = performance.now();
  }
}

async function catchUp(outputs: Outputs, pace: { given: number; since: number }): Promise<void> {
  if (performance.now() - pace.since < hurryMs) await within(hurryMs, outputs.settled());
  pace.given = 0;
  pace.since = performance.now();
}

/** The vote over the answers of whichever model there is. */
function createVoting({ vote: asked, holdMs }: Pick<EngineOptions, 'vote' | 'holdMs'>) {
  let vote: LoopVote | null = null;
  let rule = '';
  let last: string | null = null;
  return {
    reset: () => vote?.reset(),
    answer({ prediction, model }: Predicted, t: number, window: number): Omit<Answer, 'latencyMs'> {
      const { info, name, version } = model;
      // A model of other classes, or with another rule: what its predecessor said counts no more.
      const own = `${asked ?? info.vote} ${info.classes.join('\n')}`;
      if (vote === null || rule !== own) vote = createVote(asked ?? info.vote, holdMs);
      rule = own;
      const ballot = ballotOf(info, prediction, t);
      const voted = ballot && vote.push(ballot);
      const changed = ballot === null || (voted !== null && voted !== last);
      if (voted !== null) last = voted;
      const { label, scores, value } = prediction;
      return { t, window, label, voted, scores, value, changed, model: { name, version } };
    },
  };
}

/** A window's answer, and whose it is. */
interface Predicted {
  prediction: Prediction;
  model: LoadedModel;
}

/** Samples in, answers out, by whatever model the keeper has. */
interface Predicting {
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
function createPredicting(
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

/** The last samples, as many as a window to come may need. */
interface History {
  /** Samples that are there. */
  readonly length: number;
  push(sample: ArrayLike<number>): void;
  /** Gives the last `count` to `each`, oldest first; the array is the history's own. */
  last(count: number, each: (sample: Float64Array) => void): void;
  /** Makes room for so many; what is there stays. */
  reserve(samples: number): void;
  clear(): void;
}

/** @param fields values of one sample */
function createHistory(fields: number): History {
  let ring = new Float64Array(0);
  let room = 0;
  /** Where the next one goes. */
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

/** Samples as they arrive that give so many after resampling, the last of them with the last sample. */
function arriving(spec: SignalSpec, resampled: number): number {
  return Math.ceil(((resampled - 1) * spec.rateHz) / spec.resampleHz) + 1;
}

/** Windows that a predictor goes through before the one that counts, so that its filters have forgotten how they began. */
const before = (spec: SignalSpec) => Math.ceil(spec.windowSamples / spec.strideSamples);

/** Samples that `warmUp` can make use of. */
function usefulHistory(spec: SignalSpec): number {
  return arriving(spec, spec.windowSamples + before(spec) * spec.strideSamples);
}

/**
 * Shows a new predictor the last samples, so that one of its windows ends with the newest of them: its next one ends a stride later,
 * as that of the predictor whose place it takes.
 * @returns its answer to that window; null where there are too few samples for one
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

/** What a prediction says in a vote; null where the model answers with values, which nobody votes on. */
function ballotOf(
  info: Pick<BundleInfo, 'answer' | 'classes'>,
  prediction: Prediction,
  t: number,
): Ballot | null {
  const { label, scores, value } = prediction;
  if (label === null) return null;
  const { answer, classes } = info;
  if (answer.kind !== 'reconstruction') return { label, classes, shares: scores, t };
  // An error as large as the threshold speaks for both alike.
  const error = value ?? 0;
  const anomaly = error + answer.threshold === 0 ? 0 : error / (error + answer.threshold);
  return { label, classes, shares: [1 - anomaly, anomaly], t };
}
