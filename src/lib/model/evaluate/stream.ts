import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { type Random, seededRandom } from '../../core/numbers.js';
import { noiseLabel } from '../../data/speech.js';
import type { Recording } from '../../data/types.js';
import { noiseKinds, noiseOf } from '../../signal/acoustics.js';
import { windowFeatures } from '../../signal/pipeline.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Built } from '../build-folder.js';
import { endOf } from '../bundle/ends.js';
import { answeringOf, createPredictor, type Predictor } from '../bundle/predictor.js';
import type { RejectSpec } from '../bundle/types.js';
import { refuseOffDevice } from '../inspect/costs.js';
import { columnsFor, unfit } from '../train/examples/examples.js';

/** Words that occurred, and detections. */
const counted = {
  /** Words in the stream, and those of them that were detected. */
  events: z.int(),
  detected: z.int(),
  /** Detections while a different word was heard. */
  confused: z.int(),
  /** Detections without a word. */
  falseAlarms: z.int(),
};

const conditionSchema = z.object({
  minutes: z.number(),
  ...counted,
  falseAlarmsPerHour: z.number(),
});

export const streamFiguresSchema = conditionSchema.extend({
  /** Smoothing of the predictions. */
  vote: z.string(),
  /** The class that is not a detection. */
  background: z.string(),
  /** The parts of the stream with nothing but noise besides the words; null if there are none. */
  noise: conditionSchema.nullable(),
  /** The parts with other recordings of the background, such as speech, besides the words; null if there are none. */
  others: conditionSchema.nullable(),
  classes: z.array(z.object({ name: z.string(), ...counted })),
});

export type StreamFigures = z.output<typeof streamFiguresSchema>;

interface StreamOptions {
  minutes: number;
  vote: string;
  /** Thresholds of model.reject. */
  reject?: RejectSpec | undefined;
  /** Absent = the class `other`. */
  background?: string | undefined;
  seed: number;
  signal?: AbortSignal | undefined;
}

/** Length of one part of the stream, s. Each part has its own noise, and the predictor is reset before it. */
const partSeconds = 60;

/** Share of events among the stream's recordings, if there are background recordings. */
const eventShare = 0.2;

/** Pause between two recordings, s. */
const pause = { least: 0.3, most: 2.5 };

/** Root mean square of the generated noise, as a share of full scale. */
const noiseLevel = { least: 0.0005, most: 0.01 };

/** Recordings in a part besides the words: of noise, or others of the background. */
type Condition = 'noise' | 'others';

/**
 * Runs a model of sound on a continuous stream and counts detections and false alarms. The stream is made of the test recordings in random order on
 * generated noise. Its minutes alternate between noise and other recordings of the background. The model, its rejection and its smoothing are those
 * of a device. A detection is a change of the smoothed prediction to another class than the background; a rejected window counts as background. A
 * detection is right if a recording of its class was in the windows that it is based on. A second detection of the same recording does not count.
 * @throws AIOT_USAGE (no such background), AIOT_MODEL_UNFIT (a model without classes, or not of sound), AIOT_TRAINING_DATA_UNFIT
 */
export function evaluateStream(built: Built, options: StreamOptions): StreamFigures {
  const { training } = built;
  const { signal, classes } = training;
  const background = backgroundOf(built, options.background);
  const pools = poolsOf(built, background);
  const predictor = predictorOf(built, options);
  const random = seededRandom(options.seed);
  const tally = () => classes.map((name) => ({ name, events: 0, detected: 0, confused: 0, falseAlarms: 0 }));
  const counts = { noise: tally(), others: tally() };
  const minutes = { noise: 0, others: 0 };
  const parts = Math.max(1, Math.round((options.minutes * 60) / partSeconds));
  for (let part = 0; part < parts; part++) {
    options.signal?.throwIfAborted();
    const condition: Condition = part % 2 === 0 && pools.others.others.length > 0 ? 'others' : 'noise';
    const { sound, events: placed } = partOf(signal, pools[condition], random);
    const smoothed = smoothedOf(predictor, windowFeatures(signal, [sound]), classes, background);
    const own = counts[condition];
    minutes[condition] += partSeconds / 60;
    for (const { of } of placed) own[of]!.events++;
    for (const { of, kind } of judged(smoothed, placed, { signal, background, vote: options.vote }))
      own[of]![kind]++;
  }
  const conditions = (['noise', 'others'] as const).map((name) => figuresOf(counts[name], minutes[name]));
  const together = classes.map((name, i) => ({ name, ...summed([counts.noise[i]!, counts.others[i]!]) }));
  return {
    ...figuresOf(together, minutes.noise + minutes.others)!,
    vote: options.vote,
    background: classes[background]!,
    noise: conditions[0]!,
    others: conditions[1]!,
    classes: together.filter((_, i) => i !== background),
  };
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

/** @returns null if the stream has no such part */
function figuresOf(of: readonly Counts[], minutes: number) {
  const all = summed(of);
  return minutes === 0 ? null : { minutes, ...all, falseAlarmsPerHour: (60 * all.falseAlarms) / minutes };
}

/** Index of the background's class. @throws AIOT_USAGE, AIOT_MODEL_UNFIT */
function backgroundOf({ training }: Built, asked = 'other'): number {
  const { classes, network, signal } = training;
  if (network.output.kind !== 'classes' || !signal.mel)
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      'a stream can be simulated only for a model of sound that predicts classes',
      { next: 'Set signal.features: logmel, mfcc or microfrontend, and model.output: classes.' },
    );
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

/** Recordings that a part is made of. */
interface Pool {
  events: Take[];
  others: Take[];
  isEvent: (take: Take) => boolean;
}

/** The test recordings for each kind of part. @throws AIOT_TRAINING_DATA_UNFIT */
function poolsOf({ training, dataset }: Built, background: number): Record<Condition, Pool> {
  const { split, labels, classes, signal } = training;
  const test = new Set(split.by === 'window' ? [] : split.test);
  const classOf = ({ label }: Recording) =>
    classes.findIndex((name) => label !== null && labels[name]?.includes(label));
  const takes = dataset.recordings
    .filter((recording) => test.has(recording.id) && classOf(recording) >= 0)
    .map((recording) => ({
      of: classOf(recording),
      label: recording.label,
      sound: columnsFor(recording, signal)[0]!,
    }));
  const isEvent = ({ of }: Take) => of !== background;
  const events = takes.filter(isEvent);
  if (events.length === 0)
    throw unfit(`the test set has no recording of another class than ${classes[background]}`);
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
    const from = others.length === 0 || random() < eventShare ? events : others;
    const take = from[Math.floor(random() * from.length)]!;
    const end = at + take.sound.length;
    if (end > length) return { sound, events: placed };
    take.sound.forEach((value, i) => {
      sound[at + i]! += value;
    });
    if (isEvent(take)) placed.push({ of: take.of, from: at / rateHz, to: end / rateHz });
    at = end;
  }
}

/** The predictor of a device that runs this model. */
function predictorOf({ int8, training }: Built, { vote, reject }: StreamOptions): Predictor {
  refuseOffDevice(int8.graph);
  const { signal, standardization } = training;
  const ends = { input: endOf(int8.graph, 'inputs'), output: endOf(int8.graph, 'outputs') };
  return createPredictor({
    info: { signal, standardization, ...ends, ...answeringOf(training, vote, reject) },
    model: int8.bytes,
  });
}

/** The smoothed class of each window of one part. */
function smoothedOf(
  predictor: Predictor,
  windows: readonly Float32Array[],
  classes: readonly string[],
  background: number,
): Int32Array {
  predictor.reset();
  return Int32Array.from(windows, (features) => {
    const { voted } = predictor.answer(features);
    const index = voted === null ? -1 : classes.indexOf(voted);
    return index < 0 ? background : index;
  });
}

interface Judging {
  signal: SignalSpec;
  background: number;
  vote: string;
}

/** A detection's class, and whether it is right, of another word than the one that was heard, or of none. */
interface Detection {
  of: number;
  kind: 'detected' | 'confused' | 'falseAlarms';
}

/** The detections in one part; repeated ones are left out. */
export function judged(
  smoothed: Int32Array,
  placed: readonly PlacedEvent[],
  { signal, background, vote }: Judging,
): Detection[] {
  const { windowSamples, strideSamples, resampleHz } = signal;
  const votes = Number(/:(\d+)$/.exec(vote)?.[1] ?? 1);
  const reach = (windowSamples + (votes - 1) * strideSamples) / resampleHz;
  const found = new Set<PlacedEvent>();
  const out: Detection[] = [];
  let before = background;
  for (const [w, of] of smoothed.entries()) {
    const changed = of !== before;
    before = of;
    if (!changed || of === background) continue;
    const now = (w * strideSamples + windowSamples) / resampleHz;
    const heard = placed.filter(({ from, to }) => from < now && now - reach < to);
    const event = heard.find((one) => one.of === of);
    if (event && found.has(event)) continue;
    if (event) found.add(event);
    out.push({ of, kind: event ? 'detected' : heard.length > 0 ? 'confused' : 'falseAlarms' });
  }
  return out;
}
