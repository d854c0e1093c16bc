import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { type Random, seededRandom } from '../../core/numbers.js';
import { noiseLabel } from '../../data/speech.js';
import type { Recording } from '../../data/types.js';
import { hasState } from '../../formats/tflite/graph.js';
import { noiseKinds, noiseOf } from '../../signal/acoustics.js';
import { windowFeatures } from '../../signal/pipeline.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Built } from '../build-folder.js';
import { endOf } from '../bundle/ends.js';
import { answeringOf, createPredictor, evenOdds, type Predictor } from '../bundle/predictor.js';
import type { AnswerSpec, RejectSpec } from '../bundle/types.js';
import { refuseOffDevice } from '../inspect/costs.js';
import { extraOutputs } from '../network/join-ends.js';
import { columnsFor, unfit } from '../train/examples/examples.js';
import { bestClass, createVote } from '../vote.js';

/** Words that occurred, and how they were detected. */
const counted = {
  /** Number of words in the stream, and how many of them were detected. */
  events: z.int(),
  detected: z.int(),
  /** Number of detections during a different word. */
  confused: z.int(),
  /** Number of detections without a word. */
  falseAlarms: z.int(),
};

const conditionSchema = z.object({
  minutes: z.number(),
  /** Minutes outside the reach of all words. Only then can a detection be a false alarm. */
  wordlessMinutes: z.number(),
  ...counted,
  /** False alarms per hour without words: 60 · falseAlarms / wordlessMinutes; null if there is no such time. */
  falseAlarmsPerHour: z.number().nullable(),
});

const pointSchema = z.object({
  /** False alarms per hour of other sound for which the thresholds were chosen on the validation stream. */
  target: z.number(),
  vote: z.string(),
  /** Minimum output of each class. */
  minimum: z.array(z.number()),
  /** Share of the words that were missed. */
  missed: z.number(),
  /** Measured false alarms per hour, in parts with noise and in parts with other recordings; null if the stream has no such parts. */
  noise: z.number().nullable(),
  others: z.number().nullable(),
});

export const streamFiguresSchema = conditionSchema.extend({
  /** Smoothing of the predictions. */
  vote: z.string(),
  /** The class that is not a detection. */
  background: z.string(),
  /** Results for the parts of the stream that contain only noise apart from the words; null if there are none. */
  noise: conditionSchema.nullable(),
  /** Results for the parts that contain other background recordings, such as speech, in addition to the words; null if there are none. */
  others: conditionSchema.nullable(),
  classes: z.array(z.object({ name: z.string(), ...counted })),
  /** Results of other thresholds and smoothing on the same stream: points of the detection error tradeoff. */
  points: z.array(pointSchema).default([]),
});

export type StreamFigures = z.output<typeof streamFiguresSchema>;

interface StreamOptions {
  minutes: number;
  vote: string;
  /** Thresholds of model.reject. */
  reject?: RejectSpec | undefined;
  /** Costs of model.costs: [true class × predicted class], row-major. */
  costs?: number[] | undefined;
  /** Absent = the class `other`. */
  background?: string | undefined;
  /** The validation stream, which is needed for `points`. */
  validation?: HeardStream | undefined;
  seed: number;
  signal?: AbortSignal | undefined;
}

/** Length of one part of the stream, s. Each part has its own noise, and the predictor is reset before it. */
const partSeconds = 60;

/** Share of events among the stream's recordings. In a part without background recordings, only the generated noise takes their place. */
const eventShare = 0.2;

/** Pause between two recordings, s. */
const pause = { least: 0.3, most: 2.5 };

/** Root mean square of the generated noise, as a share of full scale. */
const noiseLevel = { least: 0.0005, most: 0.01 };

/** Kind of recordings in a part apart from the words: noise, or other background recordings. */
type Condition = 'noise' | 'others';

/** A stream with the model's prediction for each window, before thresholds and smoothing. */
export interface HeardStream {
  background: number;
  parts: HeardPart[];
}

interface HeardPart {
  condition: Condition;
  placed: PlacedEvent[];
  /** Outputs of each window: [windows × classes], row-major. */
  scores: Float64Array;
  /** Whether each window is far from all classes. */
  far: Uint8Array;
}

/** Minutes of the stream of validation recordings on which thresholds are chosen. A rate of one false alarm per hour needs at least an hour. */
export const validationMinutes = 60;

/** Targets of the reported points, false alarms per hour. */
const targets = [1, 2, 5, 10, 20, 50];

/** Smoothing of the reported points, in addition to the model's own. */
const votes = ['none', 'majority:3', 'average:3', 'average:5'];

/**
 * Runs a model of sound on a continuous stream and counts detections and false alarms. The stream consists of the test recordings in random
 * order on generated noise. Its minutes alternate between noise and other background recordings. The model, its rejection and its smoothing
 * run as on a device. A detection is a change of the smoothed prediction to a class other than the background; a rejected window counts as
 * background. A detection is correct if a recording of its class was in the windows on which it is based. For a model with state, that
 * recording may also have ended up to a second before. A second detection of the same recording does not count. A detection within the reach
 * of a word is never a false alarm. The rate of false alarms therefore divides by the time outside the reach of all words, not by the length
 * of the stream.
 * @throws AIOT_USAGE (no such background), AIOT_MODEL_UNFIT (neither classes nor a probability, or not of sound), AIOT_TRAINING_DATA_UNFIT
 */
export function evaluateStream(built: Built, options: StreamOptions): StreamFigures {
  const { classes, signal, network } = built.training;
  const { vote, reject, costs, validation } = options;
  const heard = hearStream(built, { ...options, part: 'test' });
  const { background } = heard;
  const minimum = reject?.minimum ?? classes.map(() => 0);
  const threshold =
    network.output.kind === 'probability' ? (built.training.threshold ?? evenOdds) : undefined;
  const common = { signal, background, costs, threshold, lateSeconds: lateSecondsOf(built) };
  const own = countsOf(heard, { ...common, vote, minimum });
  const counts = classes.map((_, i) => summed([own.noise.counts[i]!, own.others.counts[i]!]));
  const points = validation
    ? [...new Set([vote, ...votes])].flatMap((vote) =>
        targets.map((target) => {
          const minimum = thresholdsFor(validation, {
            ...{ target, vote, signal, costs, classes: classes.length },
            lateSeconds: common.lateSeconds,
          });
          const { noise, others } = countsOf(heard, { ...common, vote, minimum });
          const { events, detected } = summed([...noise.counts, ...others.counts]);
          const rateOf = (tally: Tally) => figuresOf(tally)?.falseAlarmsPerHour ?? null;
          const missed = events === 0 ? 0 : 1 - detected / events;
          return { target, vote, minimum, missed, noise: rateOf(noise), others: rateOf(others) };
        }),
      )
    : [];
  return {
    ...figuresOf(own.noise, own.others)!,
    vote,
    background: classes[background]!,
    noise: figuresOf(own.noise),
    others: figuresOf(own.others),
    classes: classes.flatMap((name, i) => (i === background ? [] : [{ name, ...counts[i]! }])),
    points,
  };
}

interface HearOptions extends Pick<StreamOptions, 'minutes' | 'reject' | 'background' | 'seed' | 'signal'> {
  /** Part of the data from which the recordings come. */
  part: 'test' | 'validation';
  /** Whether to omit minutes that contain only noise, if there are other background recordings. */
  onlyOthers?: boolean;
}

/**
 * Simulates a stream and runs the model on it. Applies only the distances of `reject`; its minimum outputs are applied afterwards.
 * @throws AIOT_USAGE, AIOT_MODEL_UNFIT, AIOT_TRAINING_DATA_UNFIT
 */
export function hearStream(built: Built, options: HearOptions): HeardStream {
  const { signal, classes } = built.training;
  const background = backgroundOf(built, options.background);
  const pools = poolsOf(built, background, options.part);
  const predictor = predictorOf(built, options.reject);
  const random = seededRandom(options.seed);
  const parts: HeardPart[] = [];
  const count = Math.max(1, Math.round((options.minutes * 60) / partSeconds));
  for (let part = 0; part < count; part++) {
    options.signal?.throwIfAborted();
    const turn = part % 2 === 0 || options.onlyOthers === true;
    const condition: Condition = turn && pools.others.others.length > 0 ? 'others' : 'noise';
    const { sound, events: placed } = partOf(signal, pools[condition], random);
    predictor.reset();
    const answers = windowFeatures(signal, [sound]).map((features) => predictor.answer(features));
    const scores = Float64Array.from(answers.flatMap((answer) => answer.scores));
    const far = Uint8Array.from(answers, ({ index }) => Number(index === classes.length));
    parts.push({ condition, placed, scores, far });
  }
  return { background, parts };
}

interface Operating extends Judging {
  /** Minimum output of each class. */
  minimum: readonly number[];
  costs: number[] | undefined;
  /** Minimum probability of the second class, if the model predicts a probability. */
  threshold?: number | undefined;
}

/** The sums over the parts of one kind. */
interface Tally {
  minutes: number;
  wordlessMinutes: number;
  /** Detections and false alarms, one entry for each class. */
  counts: Counts[];
}

/** Detections and false alarms of each class in each kind of part. */
function countsOf({ parts }: HeardStream, operating: Operating) {
  const tally = (): Tally => ({
    minutes: 0,
    wordlessMinutes: 0,
    counts: operating.minimum.map((): Counts => ({ events: 0, detected: 0, confused: 0, falseAlarms: 0 })),
  });
  const all = { noise: tally(), others: tally() };
  for (const part of parts) {
    const own = all[part.condition];
    own.minutes += partSeconds / 60;
    own.wordlessMinutes += wordlessSeconds(part.placed, operating) / 60;
    for (const { of } of part.placed) own.counts[of]!.events++;
    for (const { of, kind } of judged(smoothedOf(part, operating), part.placed, operating))
      own.counts[of]![kind]++;
  }
  return all;
}

/** The smoothed class of each window of one part, as on a device. Rejected windows become the background only after smoothing. */
function smoothedOf({ scores, far }: HeardPart, operating: Operating): Int32Array {
  const { minimum, background, vote, costs, threshold } = operating;
  const rejected = minimum.length;
  if (threshold !== undefined) {
    const voter = createVote(vote, { kind: 'probability', threshold });
    return Int32Array.from(far, (_, w) => {
      const own = scores.subarray(2 * w, 2 * w + 2);
      return voter.push({ index: own[1]! >= threshold ? 1 : 0, scores: own });
    });
  }
  const reject = { label: '', minimum: [...minimum], radius: [], center: [], weight: [] };
  const answer: AnswerSpec = { kind: 'classes', costs, reject };
  const voter = createVote(vote, answer);
  return Int32Array.from(far, (isFar, w) => {
    const own = scores.subarray(w * rejected, (w + 1) * rejected);
    const best = bestClass(own, costs);
    const index = isFar === 1 || own[best]! < minimum[best]! ? rejected : best;
    const voted = voter.push({ index, scores: own });
    return voted === rejected ? background : voted;
  });
}

/** Number of thresholds that are tried for each class. An int8 output has 256 steps, and the first threshold accepts every window. */
const candidates = [0, ...Array.from({ length: 48 }, (_, i) => 0.25 + (0.75 * i) / 48), 0.9875, 0.991, 0.995];

interface ThresholdOptions extends Pick<Judging, 'lateSeconds'> {
  /** False alarms per hour. */
  target: number;
  vote: string;
  signal: SignalSpec;
  costs?: number[] | undefined;
  /** Number of classes. */
  classes: number;
}

/**
 * Minimum outputs of the classes with the fewest missed words, so that a stream has about `target` false alarms per hour without words. The
 * number is not guaranteed, because each class is measured alone, but classes compete in a stream. Starts without thresholds, and repeatedly raises the
 * threshold that loses the fewest words for each false alarm that it avoids. The background needs no threshold.
 */
export function thresholdsFor(
  heard: HeardStream,
  { target, vote, signal, costs, classes, lateSeconds }: ThresholdOptions,
): number[] {
  const { background, parts } = heard;
  const wordless = parts.map(({ placed }) => wordlessSeconds(placed, { signal, vote, lateSeconds }));
  const hours = wordless.reduce((all, seconds) => all + seconds, 0) / 3600;
  const effects = Array.from({ length: classes }, (_, c) =>
    c === background
      ? []
      : candidates.map((least) => {
          // The other classes are suppressed, so that the effect of this class's threshold is isolated.
          const minimum = Array.from({ length: classes }, (_, i) =>
            i === c ? least : i === background ? 0 : Number.POSITIVE_INFINITY,
          );
          const { noise, others } = countsOf(heard, {
            signal,
            background,
            vote,
            minimum,
            costs,
            lateSeconds,
          });
          const both = summed([noise.counts[c]!, others.counts[c]!]);
          return { missed: both.events - both.detected, alarms: both.falseAlarms };
        }),
  );
  const at = effects.map(() => 0);
  const alarms = () => effects.reduce((sum, own, c) => sum + (own[at[c]!]?.alarms ?? 0), 0);
  while (alarms() > target * hours) {
    let best = { price: Number.POSITIVE_INFINITY, c: -1, to: 0 };
    effects.forEach((own, c) => {
      const now = own[at[c]!];
      for (let to = at[c]! + 1; now && to < own.length; to++) {
        const avoided = now.alarms - own[to]!.alarms;
        const price = avoided > 0 ? (own[to]!.missed - now.missed) / avoided : Number.POSITIVE_INFINITY;
        if (price < best.price) best = { price, c, to };
      }
    });
    if (best.c < 0) break;
    at[best.c] = best.to;
  }
  return effects.map((own, c) => (own.length === 0 ? 0 : candidates[at[c]!]!));
}

type Counts = Record<'events' | 'detected' | 'confused' | 'falseAlarms', number>;

function summed(of: readonly Counts[]): Counts {
  const sum = (key: keyof Counts) => of.reduce((all, one) => all + one[key], 0);
  return {
    events: sum('events'),
    detected: sum('detected'),
    confused: sum('confused'),
    falseAlarms: sum('falseAlarms'),
  };
}

/** @returns null if the stream has no part of these kinds */
function figuresOf(...of: readonly Tally[]) {
  const minutes = of.reduce((all, own) => all + own.minutes, 0);
  if (minutes === 0) return null;
  const wordlessMinutes = of.reduce((all, own) => all + own.wordlessMinutes, 0);
  const all = summed(of.flatMap(({ counts }) => counts));
  const falseAlarmsPerHour = wordlessMinutes > 0 ? (60 * all.falseAlarms) / wordlessMinutes : null;
  return { minutes, wordlessMinutes, ...all, falseAlarmsPerHour };
}

/** Time by which a model with state may detect a word late, s. Its window alone is too short to contain the word. */
const stateSeconds = 1;

export function lateSecondsOf({ int8, training }: Built): number {
  return hasState(int8.graph) && training.state !== 'window' ? stateSeconds : 0;
}

/**
 * Index of the background's class; by default `other` or, for a probability, its first class. @throws AIOT_USAGE, AIOT_MODEL_UNFIT
 */
function backgroundOf({ training }: Built, given: string | undefined): number {
  const { classes, network, signal } = training;
  const isProbability = network.output.kind === 'probability';
  if ((network.output.kind !== 'classes' && !isProbability) || !signal.mel)
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      'a stream can be simulated only for a model of sound that predicts classes or a probability',
      {
        next: 'Set signal.features: logmel, mfcc or microfrontend, and model.output: classes or probability.',
      },
    );
  const asked = given ?? (isProbability ? classes[0]! : 'other');
  const index = classes.indexOf(asked);
  if (index >= 0) return index;
  throw new AiotError(
    'AIOT_USAGE',
    `--background: expected a class (${classes.join(', ')}), got "${asked}"`,
    {
      next: 'Name the class of everything that is not a detection: --background CLASS',
    },
  );
}

/** A recording's sound, and the index of its class. */
interface Take {
  of: number;
  label: string | null;
  sound: Float64Array;
}

/** Recordings for the parts of one kind. */
interface Pool {
  events: Take[];
  others: Take[];
  isEvent: (take: Take) => boolean;
}

/** The recordings for each kind of part. @throws AIOT_TRAINING_DATA_UNFIT */
function poolsOf(
  { training, dataset }: Built,
  background: number,
  part: HearOptions['part'],
): Record<Condition, Pool> {
  const { split, labels, classes, signal } = training;
  const chosen = new Set(split.by === 'window' ? [] : split[part]);
  const classOf = ({ label }: Recording) =>
    classes.findIndex((name) => label !== null && labels[name]?.includes(label));
  const takes = dataset.recordings
    .filter((recording) => chosen.has(recording.id) && classOf(recording) >= 0)
    .map((recording) => ({
      of: classOf(recording),
      label: recording.label,
      sound: columnsFor(recording, signal)[0]!,
    }));
  const isEvent = ({ of }: Take) => of !== background;
  const events = takes.filter(isEvent);
  if (events.length === 0)
    throw unfit(`the ${part} set has no recording of another class than ${classes[background]}`);
  const isNoise = ({ label }: Take) => label === noiseLabel;
  const others = takes.filter((take) => !isEvent(take));
  return {
    noise: { events, others: others.filter(isNoise), isEvent },
    others: { events, others: others.filter((take) => !isNoise(take)), isEvent },
  };
}

export interface PlacedEvent {
  of: number;
  /** Start and end of the recording in the stream, s. */
  from: number;
  to: number;
}

/** One part of the stream: noise of one kind and level, with recordings on it. */
function partOf({ rateHz }: SignalSpec, { events, others, isEvent }: Pool, random: Random) {
  const length = Math.round(partSeconds * rateHz);
  const kind = noiseKinds[Math.floor(random() * noiseKinds.length)]!;
  const level = noiseLevel.least * (noiseLevel.most / noiseLevel.least) ** random();
  const sound = noiseOf(kind, length, rateHz, random).map((value) => level * value);
  const placed: PlacedEvent[] = [];
  let at = 0;
  for (;;) {
    at += Math.round((pause.least + (pause.most - pause.least) * random()) * rateHz);
    const isWord = random() < eventShare;
    const from = isWord || others.length === 0 ? events : others;
    const take = from[Math.floor(random() * from.length)]!;
    const end = at + take.sound.length;
    if (end > length) return { sound, events: placed };
    // Without background recordings, the noise continues for as long as a recording.
    if (from === events && !isWord) {
      at = end;
      continue;
    }
    take.sound.forEach((value, i) => {
      sound[at + i]! += value;
    });
    if (isEvent(take)) placed.push({ of: take.of, from: at / rateHz, to: end / rateHz });
    at = end;
  }
}

/** The predictor of a device that runs this model, without minimum outputs and smoothing. */
function predictorOf({ int8, training }: Built, reject: RejectSpec | undefined): Predictor {
  refuseOffDevice(int8.graph);
  const { signal, standardization } = training;
  const extra = extraOutputs(int8.graph);
  const ends = {
    input: endOf(int8.graph, 'inputs'),
    output: endOf(int8.graph, 'outputs'),
    ...(extra.length > 0 && { extra }),
  };
  const distances = reject && { ...reject, minimum: reject.minimum.map(() => 0) };
  return createPredictor({
    info: { signal, standardization, ...ends, ...answeringOf(training, { vote: 'none', reject: distances }) },
    model: int8.bytes,
  });
}

interface Judging {
  signal: SignalSpec;
  background: number;
  vote: string;
  /** Time by which a detection may be late, in addition to the windows on which it is based, s; absent = 0. */
  lateSeconds?: number | undefined;
}

/** A detection's class, and whether the detection is correct, or occurred during another word or without any word. */
interface Detection {
  of: number;
  kind: 'detected' | 'confused' | 'falseAlarms';
}

/** Reach of a word: the time after its recording for which a detection still belongs to it, s. It covers the smoothed windows and the lateness. */
function reachOf({
  signal,
  vote,
  lateSeconds = 0,
}: Pick<Judging, 'signal' | 'vote' | 'lateSeconds'>): number {
  const { windowSamples, strideSamples, resampleHz } = signal;
  const votes = Number(/:(\d+)$/.exec(vote)?.[1] ?? 1);
  return (windowSamples + (votes - 1) * strideSamples) / resampleHz + lateSeconds;
}

/** Time of one part outside the recordings of words and their reach, s. Only then can a detection be a false alarm. */
export function wordlessSeconds(
  placed: readonly PlacedEvent[],
  judging: Pick<Judging, 'signal' | 'vote' | 'lateSeconds'>,
): number {
  const reach = reachOf(judging);
  let [free, at] = [0, 0];
  for (const { from, to } of placed) {
    free += Math.max(0, from - at);
    at = Math.max(at, to + reach);
  }
  return free + Math.max(0, partSeconds - at);
}

/** The detections in one part, without repeated ones. */
export function judged(
  smoothed: Int32Array,
  placed: readonly PlacedEvent[],
  { signal, background, vote, lateSeconds = 0 }: Judging,
): Detection[] {
  const { windowSamples, strideSamples, resampleHz } = signal;
  const reach = reachOf({ signal, vote, lateSeconds });
  const found = new Set<PlacedEvent>();
  const out: Detection[] = [];
  let before = background;
  for (const [w, of] of smoothed.entries()) {
    const changed = of !== before;
    before = of;
    if (!changed || of === background) continue;
    const now = (w * strideSamples + windowSamples) / resampleHz;
    const heard = placed.filter(({ from, to }) => from < now && now - reach < to);
    const same = heard.filter((one) => one.of === of);
    // With a long reach, a word that was already detected may still be heard beside the next one.
    const event = (lateSeconds > 0 ? same.find((one) => !found.has(one)) : undefined) ?? same[0];
    if (event && found.has(event)) continue;
    if (event) found.add(event);
    out.push({ of, kind: event ? 'detected' : heard.length > 0 ? 'confused' : 'falseAlarms' });
  }
  return out;
}
