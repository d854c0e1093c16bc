import * as z from 'zod';
import type { RegistryClient } from '../api/client.js';
import { AiotError, hasCode } from '../core/errors.js';
import type { Project } from '../core/project.js';
import { openDataset } from '../data/dataset/open.js';
import { streamRecordings } from '../data/dataset/pull.js';
import type { Recording } from '../data/types.js';
import { type Graph, hasState } from '../formats/tflite/graph.js';
import { windowFeatures } from '../signal/pipeline.js';
import { type SignalSpec, standardize } from '../signal/spec.js';
import { newNetwork, stale } from './build-folder.js';
import { classOf, embeddingOf } from './embeddings.js';
import { openNetwork, type RunningNetwork } from './evaluate/predict.js';
import { buildFiles, floatStep, readNetwork, readTraining } from './files.js';
import { checkNumbers, columnsFor } from './train/examples/examples.js';
import type { TrainingFile } from './train/types.js';

/** Maximum number of windows per recording that are compared with other windows. Longer recordings are sampled evenly. */
const comparedWindows = 64;

/** Maximum number of training windows with which new windows are compared, sampled evenly. */
const knownWindows = 2000;

/** The quantile that defines `far`, among the training windows' distances to other training recordings. */
const usual = 0.95;

const share = z.number().min(0).max(1);

const suggestionSchema = z.object({
  id: z.string(),
  device: z.string().nullable(),
  /** Time of the first sample, ms since 1970; null if unknown. */
  startedAt: z.number().nullable(),
  samples: z.int(),
  windows: z.int(),
  /** 1 − (1 − uncertainty) · (1 − novelty). */
  score: share,
  /** Mean entropy of the predictions, as a share of its maximum; null if the model does not predict classes. */
  uncertainty: share.nullable(),
  /**
   * Share of the windows whose distance to the nearest training window exceeds the 95th percentile of distances between training
   * recordings.
   */
  novelty: share,
  /** Median distance from the recording's windows to the nearest training window, as a multiple of the percentile in `novelty`. */
  distance: z.number().min(0),
  /** The most frequent prediction, and its share of the windows; null if the model does not predict classes. */
  predicted: z.object({ class: z.string(), share }).nullable(),
  /** An earlier recording in this list that resembles this one. The same label may apply to both. */
  similarTo: z.string().nullable(),
});

/** The result of `aiot data suggest`. */
export const suggestionsSchema = z.object({
  model: z.string(),
  /** Labels that the model was trained with. */
  labels: z.array(z.string()),
  /** The stream on the platform; null for recordings in files. */
  stream: z.string().nullable(),
  /** Number of recordings without one of the model's labels. */
  unlabelled: z.int(),
  /** Number of recordings with a label, which are not suggested. */
  labelled: z.int(),
  /** Unlabeled recordings to which the model cannot be applied, each with the reason. */
  skipped: z.array(z.object({ id: z.string(), reason: z.string() })),
  /** The recordings whose labels would improve the model most, best first. */
  recordings: z.array(suggestionSchema),
  /** Number of recordings shown in the dashboard; null if they were not published. */
  published: z.int().nullable(),
});
export type Suggestion = z.output<typeof suggestionSchema>;
export type Suggestions = z.output<typeof suggestionsSchema>;

/** A recording that may need a label. */
export type Candidate = Recording & {
  /** Whether part of the recording has a label. */
  partlyLabelled?: boolean;
  /** Why the recording's samples cannot be used. */
  unusable?: string;
};

interface SuggestOptions {
  project: Project;
  /** The recordings to choose from, one at a time. Default: the project's own data. */
  candidates?: AsyncIterable<Candidate> | Iterable<Candidate>;
  /** Name of the stream, used only in the result. */
  stream?: string | undefined;
  /** Maximum number of suggestions. */
  limit: number;
  signal?: AbortSignal;
}

/**
 * Ranks the unlabeled recordings by how much their labels would improve the project's model. Two kinds rank high: recordings about which
 * the model is uncertain, and recordings unlike any training data. Recordings that resemble a higher-ranked one come last.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE (the training recordings no longer exist), AIOT_MODEL_UNFIT (a model of tables), and
 *   errors of opening the data
 */
export async function suggestRecordings(options: SuggestOptions): Promise<Suggestions> {
  const { project, stream = null, limit, signal } = options;
  const training = await readTraining(project);
  if (training.source.kind === 'table')
    throw new AiotError('AIOT_MODEL_UNFIT', 'the model was trained on rows of a table, not on recordings', {
      next: 'Train on recordings (see `aiot docs record-data`).',
    });
  const { bytes, graph } = await readNetwork(buildFiles(project).float, floatStep(project, training));
  const network = await openNetwork(bytes);
  try {
    const view = viewOf(training, graph, network);
    const own = await openDataset(project);
    const known = knownOf(view, { project, training }, own.recordings);
    const labels = new Set(Object.values(training.labels).flat());
    const found: Viewed[] = [];
    const skipped: Suggestions['skipped'] = [];
    let labelled = 0;
    const candidates: AsyncIterable<Candidate> | Iterable<Candidate> = options.candidates ?? own.recordings;
    for await (const recording of candidates) {
      signal?.throwIfAborted();
      if (recording.partlyLabelled || (recording.label !== null && labels.has(recording.label))) labelled++;
      else {
        const viewed = usable(view, recording, training);
        if (typeof viewed === 'string') skipped.push({ id: recording.id, reason: viewed });
        else found.push({ ...viewed, ...noveltyOf(viewed.windows, known) });
      }
    }
    const unlabelled = found.length + skipped.length;
    const recordings = ranked(found, known.far, limit);
    return {
      ...{ model: training.model, labels: [...labels].sort(), stream, unlabelled, labelled },
      ...{ skipped, recordings, published: null },
    };
  } finally {
    network.close();
  }
}

interface StreamOptions extends Omit<SuggestOptions, 'candidates' | 'stream'> {
  client: { datasets: Pick<RegistryClient['datasets'], 'get' | 'csv' | 'suggest'> };
  stream: string;
  /** Whether the dashboard shows the ranking. */
  publish: boolean;
}

/** Ranks the unlabeled recordings of a stream on the platform. @throws as `suggestRecordings`, and any platform error */
export async function suggestInStream(options: StreamOptions): Promise<Suggestions> {
  const { client, stream, publish, project } = options;
  const { fields } = project.config.stream;
  const labels = new Set(Object.values(project.config.model.labels).flat());
  const candidates = streamRecordings(
    client,
    stream,
    Object.keys(fields),
    ({ label, parts }) => parts.length === 0 && (label === null || !labels.has(label)),
  );
  const suggestions = await suggestRecordings({ ...options, candidates });
  return publish ? publishSuggestions(client, stream, suggestions) : suggestions;
}

/** Replaces the ranking that the dashboard shows for the stream. */
async function publishSuggestions(
  client: { datasets: Pick<RegistryClient['datasets'], 'suggest'> },
  stream: string,
  suggestions: Suggestions,
): Promise<Suggestions> {
  const placeOf = (id: string) => id.slice(stream.length + 1);
  const { recordings: published } = await client.datasets.suggest(stream, {
    ...{ model: suggestions.model, labels: suggestions.labels },
    recordings: suggestions.recordings.map(({ id, similarTo, ...one }) => {
      const [device = '', recording = ''] = placeOf(id).split('/');
      const { score, uncertainty, novelty, predicted } = one;
      const similar = similarTo === null ? null : placeOf(similarTo);
      return { device, recording, score, uncertainty, novelty, predicted, similarTo: similar };
    }),
  });
  return { ...suggestions, published: published.length };
}

/** A recording as the model sees it. */
interface View {
  about: Pick<
    Suggestion,
    'id' | 'device' | 'startedAt' | 'samples' | 'windows' | 'uncertainty' | 'predicted'
  >;
  /** Coordinates of at most `comparedWindows` windows, in the space in which windows are compared. */
  windows: Float32Array[];
}

type Viewed = View & Pick<Suggestion, 'novelty' | 'distance'>;

/**
 * Windows are compared by their standardized inputs if the inputs are features. Raw samples depend on the start of the window, and pixels
 * on the position of the object. Raw windows and pictures are therefore compared by the values that enter the network's last layer.
 */
function viewOf(training: TrainingFile, graph: Graph, network: RunningNetwork) {
  const { signal, standardization, state } = training;
  const embed = signal.features === 'raw' || signal.image ? embeddingOf(graph, state) : null;
  // With state, the embedding of a window depends on all windows before it.
  const needsAll = embed !== null && hasState(graph) && state !== 'window';
  return (recording: Recording): View => {
    checkNumbers(recording);
    const rows = [...windowFeatures(signal, columnsFor(recording, signal))].map((row) =>
      standardize(row, standardization, new Float32Array(row.length)),
    );
    const { id, device, startedAt, columns } = recording;
    const about = { id, device, startedAt, samples: columns[0]?.length ?? 0, windows: rows.length };
    const compared = needsAll ? rows : evenly(rows, comparedWindows);
    return {
      about: { ...about, ...predictionsOf(rows, network, training) },
      windows: evenly(embed ? embed(compared) : compared, comparedWindows),
    };
  };
}

function predictionsOf(
  rows: readonly Float32Array[],
  network: RunningNetwork,
  training: TrainingFile,
): Pick<Suggestion, 'uncertainty' | 'predicted'> {
  const {
    classes,
    state,
    network: {
      output: { kind },
    },
  } = training;
  if ((kind !== 'classes' && kind !== 'probability') || rows.length === 0)
    return { uncertainty: null, predicted: null };
  const counts = classes.map(() => 0);
  let entropy = 0;
  network.reset();
  for (const row of rows) {
    if (state === 'window') network.reset();
    const out = network.run(row);
    const shares = kind === 'probability' ? [1 - out[0]!, out[0]!] : [...out];
    entropy += entropyOf(shares);
    counts[classOf(out, training)]!++;
  }
  const most = counts.indexOf(Math.max(...counts));
  return {
    uncertainty: Math.min(1, entropy / rows.length),
    predicted: { class: classes[most]!, share: counts[most]! / rows.length },
  };
}

/** Entropy of class probabilities as a share of its maximum: 0 = certain, 1 = all classes are equally probable. */
function entropyOf(probabilities: readonly number[]): number {
  const sum = probabilities.reduce((total, p) => total + Math.max(0, p), 0);
  const bits = probabilities.reduce((total, p) => {
    const normal = Math.max(0, p) / sum;
    return normal > 0 ? total - normal * Math.log(normal) : total;
  }, 0);
  return bits / Math.log(probabilities.length);
}

/** The recording as the model sees it, or the reason why the model cannot be applied. */
function usable(
  view: (recording: Recording) => View,
  recording: Candidate,
  { signal }: TrainingFile,
): View | string {
  if (recording.unusable !== undefined) return recording.unusable;
  try {
    const viewed = view(recording);
    return viewed.windows.length > 0 ? viewed : tooShort(recording, signal);
  } catch (error) {
    if (!hasCode(error, 'AIOT_TRAINING_DATA_UNFIT')) throw error;
    return (error as AiotError).message;
  }
}

/** Why a recording has no window, and how to get one. */
function tooShort({ columns, rateHz }: Recording, { windowSamples, resampleHz }: SignalSpec): string {
  const [own, window] = [(columns[0]?.length ?? 0) / rateHz, windowSamples / resampleHz];
  const seconds = (value: number) => `${Number(value.toPrecision(3))} s`;
  return `it lasts ${seconds(own)}, shorter than one window (${seconds(window)}): record longer, or shorten signal.window in aiot.yaml and train again`;
}

interface Known {
  windows: Float32Array[];
  /** 95th percentile of the distances from training windows to the nearest window of another training recording. */
  far: number;
}

function knownOf(
  view: (recording: Recording) => View,
  { project, training }: { project: Project; training: TrainingFile },
  recordings: readonly Recording[],
): Known {
  const trained = new Set(training.split.train);
  const all = recordings
    .filter(({ id }) => trained.has(id))
    .flatMap((recording) => view(recording).windows.map((place) => ({ id: recording.id, place })));
  if (all.length === 0)
    throw stale(
      'none of the recordings that the model was trained on exist',
      newNetwork(project, training) ?? 'Train the model again with `aiot model train`.',
    );
  const sample = evenly(all, knownWindows);
  const placesOf = (chosen: typeof sample) => chosen.map(({ place }) => place);
  const others = new Map(sample.map(({ id }) => [id, placesOf(sample.filter((other) => other.id !== id))]));
  const distances = sample
    .map((one) => {
      const elsewhere = others.get(one.id)!;
      // A single recording is compared with itself.
      return nearest(
        one.place,
        elsewhere.length > 0 ? elsewhere : placesOf(sample.filter((it) => it !== one)),
      );
    })
    .sort((a, b) => a - b);
  return {
    windows: placesOf(sample),
    far: distances[Math.min(distances.length - 1, Math.floor(usual * distances.length))]!,
  };
}

function noveltyOf(
  windows: readonly Float32Array[],
  { windows: known, far }: Known,
): Pick<Suggestion, 'novelty' | 'distance'> {
  // `far` is 0 if the training data is constant.
  const ratios = windows
    .map((place) => nearest(place, known) / Math.max(far, Number.EPSILON))
    .sort((a, b) => a - b);
  return {
    novelty: ratios.filter((ratio) => ratio > 1).length / ratios.length,
    distance: ratios[Math.floor(ratios.length / 2)]!,
  };
}

/**
 * Sorts the best recordings first. After each choice, recordings whose windows mostly resemble the chosen one are deferred to the end,
 * because their labels would add little.
 */
function ranked(found: readonly Viewed[], far: number, limit: number): Suggestion[] {
  const left = found
    .map((viewed) => {
      const { about, novelty, distance } = viewed;
      const score = 1 - (1 - (about.uncertainty ?? 0)) * (1 - novelty);
      return { viewed, suggestion: { ...about, score, novelty, distance, similarTo: null as string | null } };
    })
    .sort(
      (a, b) =>
        b.suggestion.score - a.suggestion.score ||
        b.suggestion.distance - a.suggestion.distance ||
        (a.viewed.about.id < b.viewed.about.id ? -1 : 1),
    );
  const chosen: Suggestion[] = [];
  while (left.length > 0 && chosen.length < limit) {
    const at = Math.max(
      0,
      left.findIndex(({ suggestion }) => suggestion.similarTo === null),
    );
    const [{ viewed, suggestion }] = left.splice(at, 1) as [(typeof left)[number]];
    chosen.push(suggestion);
    for (const other of left) {
      if (other.suggestion.similarTo !== null) continue;
      const near = other.viewed.windows.filter((place) => nearest(place, viewed.windows) <= far);
      if (near.length > other.viewed.windows.length / 2) other.suggestion.similarTo = suggestion.id;
    }
  }
  return chosen;
}

/** Distance to the nearest of the other points, per dimension (root mean squared difference). */
function nearest(place: Float32Array, places: readonly Float32Array[]): number {
  let best = Number.POSITIVE_INFINITY;
  for (const other of places) {
    let sum = 0;
    for (let i = 0; i < place.length && sum < best; i++) sum += (place[i]! - other[i]!) ** 2;
    if (sum < best) best = sum;
  }
  return Math.sqrt(best / Math.max(1, place.length));
}

/** At most `count` of the items, evenly spaced. */
function evenly<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!);
}
