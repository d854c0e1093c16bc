import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { type Random, seededRandom } from '../../core/numbers.js';
import type { Recording } from '../../data/types.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import { noiseKinds, noiseOf } from '../../signal/acoustics.js';
import { windowFeatures } from '../../signal/pipeline.js';
import type { SignalSpec } from '../../signal/spec.js';
import type { Built } from '../build-folder.js';
import { decode, encodeInput, endOf, valuesOf } from '../bundle/ends.js';
import { voteAll } from '../bundle/predictor.js';
import { refuseOffDevice } from '../inspect/costs.js';
import { columnsFor, unfit } from '../train/examples/examples.js';

export const streamFiguresSchema = z.object({
  minutes: z.number(),
  /** Smoothing of the predictions. */
  vote: z.string(),
  /** The class that is not a detection. */
  background: z.string(),
  /** Words in the stream, and those of them that were detected. */
  events: z.int(),
  detected: z.int(),
  falseAlarms: z.int(),
  falseAlarmsPerHour: z.number(),
  classes: z.array(z.object({ name: z.string(), events: z.int(), detected: z.int(), falseAlarms: z.int() })),
});

export type StreamFigures = z.output<typeof streamFiguresSchema>;

interface StreamOptions {
  minutes: number;
  vote: string;
  /** Absent = the class `other`. */
  background?: string | undefined;
  seed: number;
  signal?: AbortSignal | undefined;
}

/** Length of one part of the stream, s. Each part has noise of its own, and predictions start afresh in it. */
const partSeconds = 60;

/** Share of the recordings in the stream that are events, if there are recordings of the background. */
const eventShare = 0.2;

/** Pause between two recordings, s. */
const pause = { least: 0.3, most: 2.5 };

/** Root mean square of the generated noise, as a share of full scale. */
const noiseLevel = { least: 0.0005, most: 0.01 };

/**
 * Runs a model of sound on a continuous stream, made of the test recordings in random order on generated noise, and counts detections and
 * false alarms. A detection is a change of the smoothed prediction to another class than the background. It is right if a recording of its
 * class was in the windows that it is based on, and otherwise a false alarm. A second detection of the same recording counts as neither.
 * @throws AIOT_USAGE (no such background), AIOT_MODEL_UNFIT (a model without classes, or not of sound), AIOT_TRAINING_DATA_UNFIT
 */
export function evaluateStream(built: Built, options: StreamOptions): StreamFigures {
  const { training } = built;
  const { signal, classes } = training;
  const background = backgroundOf(built, options.background);
  const recordings = testRecordings(built);
  const isEvent = ({ of }: Take) => of !== background;
  const [events, others] = [recordings.filter(isEvent), recordings.filter((take) => !isEvent(take))];
  if (events.length === 0)
    throw unfit(`the test set has no recording of another class than ${classes[background]}`);
  const predict = predictorOf(built);
  const random = seededRandom(options.seed);
  const counts = classes.map((name) => ({ name, events: 0, detected: 0, falseAlarms: 0 }));
  const parts = Math.max(1, Math.round((options.minutes * 60) / partSeconds));
  for (let part = 0; part < parts; part++) {
    options.signal?.throwIfAborted();
    const { sound, events: placed } = partOf(signal, { events, others, isEvent }, random);
    const predicted = Int32Array.from(windowFeatures(signal, [sound]), predict);
    const smoothed = voteAll(predicted, new Array<string>(predicted.length).fill(''), options.vote);
    for (const { of } of placed) counts[of]!.events++;
    for (const { of, right } of judged(smoothed, placed, { signal, background, vote: options.vote })) {
      if (right) counts[of]!.detected++;
      else counts[of]!.falseAlarms++;
    }
  }
  const sum = (key: 'events' | 'detected' | 'falseAlarms') => counts.reduce((all, one) => all + one[key], 0);
  const minutes = (parts * partSeconds) / 60;
  return {
    minutes,
    vote: options.vote,
    background: classes[background]!,
    events: sum('events'),
    detected: sum('detected'),
    falseAlarms: sum('falseAlarms'),
    falseAlarmsPerHour: (60 * sum('falseAlarms')) / minutes,
    classes: counts.filter((_, i) => i !== background),
  };
}

/** Index of the background's class. @throws AIOT_USAGE, AIOT_MODEL_UNFIT */
function backgroundOf({ training }: Built, asked = 'other'): number {
  const { classes, network, signal } = training;
  if (network.output.kind !== 'classes' || !signal.mel)
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      'a stream can be simulated only for a model of sound that predicts classes',
      { next: 'Set signal.features: logmel or mfcc, and model.output: classes.' },
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

/** Sound of a recording, and the index of its class. */
interface Take {
  of: number;
  sound: Float64Array;
}

function testRecordings({ training, dataset }: Built): Take[] {
  const { split, labels, classes, signal } = training;
  const test = new Set(split.by === 'window' ? [] : split.test);
  const classOf = ({ label }: Recording) =>
    classes.findIndex((name) => label !== null && labels[name]?.includes(label));
  return dataset.recordings
    .filter((recording) => test.has(recording.id) && classOf(recording) >= 0)
    .map((recording) => ({ of: classOf(recording), sound: columnsFor(recording, signal)[0]! }));
}

export interface PlacedEvent {
  of: number;
  /** Its first and last moment, s. */
  from: number;
  to: number;
}

interface Pool {
  events: Take[];
  others: Take[];
  isEvent: (take: Take) => boolean;
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

/** The class of a window's features, as a device computes it. */
function predictorOf({ int8, training }: Built): (features: Float32Array) => number {
  refuseOffDevice(int8.graph);
  const [input, output] = [endOf(int8.graph, 'inputs'), endOf(int8.graph, 'outputs')];
  const interpreter = createInterpreter(int8.graph);
  let values: ReturnType<typeof valuesOf> | undefined;
  return (features) => {
    values ??= valuesOf(input, features.length);
    const scores = decode(
      interpreter.invoke(encodeInput(features, training.standardization, input, values)),
      output,
    );
    return scores.indexOf(Math.max(...scores));
  };
}

interface Judging {
  signal: SignalSpec;
  background: number;
  vote: string;
}

/** The detections in one part; repeated ones are left out. */
export function judged(
  smoothed: Int32Array,
  placed: readonly PlacedEvent[],
  { signal, background, vote }: Judging,
): { of: number; right: boolean }[] {
  const { windowSamples, strideSamples, resampleHz } = signal;
  const votes = Number(/:(\d+)$/.exec(vote)?.[1] ?? 1);
  const reach = (windowSamples + (votes - 1) * strideSamples) / resampleHz;
  const found = new Set<PlacedEvent>();
  const out: { of: number; right: boolean }[] = [];
  let before = background;
  for (const [w, of] of smoothed.entries()) {
    const changed = of !== before;
    before = of;
    if (!changed || of === background) continue;
    const now = (w * strideSamples + windowSamples) / resampleHz;
    const event = placed.find((one) => one.of === of && one.from < now && now - reach < one.to);
    if (event && found.has(event)) continue;
    if (event) found.add(event);
    out.push({ of, right: event !== undefined });
  }
  return out;
}
