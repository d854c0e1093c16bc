import type { Project } from '../../src/lib/core/project.js';
import { copiesIn } from '../../src/lib/data/copies/copies.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import type { Dataset, Recording } from '../../src/lib/data/types.js';
import { windowFeatures } from '../../src/lib/signal/pipeline.js';
import { type SignalSpec, signalSpecOf } from '../../src/lib/signal/spec.js';

/**
 * Distance between the starts of windows, in samples. Training may use windows at shorter intervals than a device uses for predictions.
 */
export const denseStride = 25;

/** All recordings, divided into windows, with everything needed to hold out any of them. */
export interface Material {
  dataset: Dataset;
  signal: SignalSpec;
  /** Class names. */
  classes: string[];
  /** Ids of the recordings, grouped into sets of copies, each of which is considered one recording. */
  units: { ids: string[]; label: string }[];
  /** [windows × features], one window every `denseStride` samples. */
  inputs: Float32Array;
  inputSize: number;
  /** For each window: recording, class, and index of the first sample. */
  recordings: string[];
  truth: Int32Array;
  starts: Int32Array;
}

/**
 * Computes the features of all windows of a dataset, with the project's classes. Includes windows that start between two predictions of a
 * device.
 */
export function materialOf(project: Project, dataset: Dataset): Material {
  const signal = signalSpecOf(project.config);
  if (signal.strideSamples % denseStride !== 0)
    throw new Error(`expected a stride that is a multiple of ${denseStride}, got ${signal.strideSamples}`);
  const rows: Float32Array[] = [];
  const recordings: string[] = [];
  const starts: number[] = [];
  for (const { id, columns } of dataset.recordings) {
    windowFeatures({ ...signal, strideSamples: denseStride }, columns).forEach((row, i) => {
      rows.push(row);
      recordings.push(id);
      starts.push(i * denseStride);
    });
  }
  const inputSize = rows[0]?.length ?? 0;
  const inputs = new Float32Array(rows.length * inputSize);
  rows.forEach((row, i) => {
    inputs.set(row, i * inputSize);
  });
  const windows = { inputs, inputSize, recordings, starts: Int32Array.from(starts) };
  const { labels } = project.config.model;
  return { dataset, signal, units: unitsOf(dataset), ...windows, ...classesOf(dataset, recordings, labels) };
}

/** The material with its windows reassigned to other classes. @param labels class → recorded labels */
export function relabelled(material: Material, labels: Record<string, string[]>): Material {
  return { ...material, ...classesOf(material.dataset, material.recordings, labels) };
}

function classesOf(dataset: Dataset, recordings: string[], labels: Record<string, string[]>) {
  const classes = Object.keys(labels);
  const labelOf = new Map(dataset.recordings.map(({ id, label }) => [id, label ?? '']));
  const classOf = (id: string) => classes.findIndex((name) => labels[name]?.includes(labelOf.get(id) ?? ''));
  return { classes, truth: Int32Array.from(recordings, classOf) };
}

export function openRecordings(project: Project, folder: string): Promise<Dataset> {
  return openDataset(project, folder);
}

/** Rate of a slower sensor, Hz. The recorder reads it 100 times per second, so rows repeat. */
const heldHz = 52;

/**
 * The same recordings, as if the sensor had been slower than the recorder on stairs too: readings at `heldHz` are repeated to reach the
 * row rate. This misleads a model that recognizes stairs by the absence of repeated rows, but not one that recognizes them by motion.
 */
export function withHeldStairs(dataset: Dataset): Dataset {
  const held = (recording: Recording): Recording => {
    if (!recording.label?.endsWith('stairs')) return recording;
    const ratio = heldHz / recording.rateHz;
    const source = (i: number) => Math.ceil(Math.floor(i * ratio) / ratio - 1e-9);
    return {
      ...recording,
      columns: recording.columns.map((column) => column.map((_, i) => column[source(i)]!)),
    };
  };
  return { ...dataset, recordings: dataset.recordings.map(held) };
}

function unitsOf(dataset: Dataset): Material['units'] {
  const units = dataset.recordings.map(({ id, label }) => ({ ids: [id], label: label ?? '' }));
  for (const { a, b } of copiesIn(dataset)) {
    const one = units.find(({ ids }) => ids.includes(a));
    const other = units.find(({ ids }) => ids.includes(b));
    if (!one || !other || one === other) continue;
    one.ids.push(...other.ids);
    units.splice(units.indexOf(other), 1);
  }
  return units;
}

/** Indices of the windows of these recordings that start at multiples of `stride` samples. */
export function placesOf(material: Material, ids: Iterable<string>, stride: number): number[] {
  const wanted = new Set(ids);
  const places: number[] = [];
  material.recordings.forEach((id, i) => {
    if (wanted.has(id) && material.starts[i]! % stride === 0) places.push(i);
  });
  return places;
}

/** The features of these windows, row by row. */
export function rowsOf({ inputs, inputSize }: Material, places: readonly number[]): Float32Array {
  const out = new Float32Array(places.length * inputSize);
  places.forEach((place, i) => {
    out.set(inputs.subarray(place * inputSize, (place + 1) * inputSize), i * inputSize);
  });
  return out;
}
