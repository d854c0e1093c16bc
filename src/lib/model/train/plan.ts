import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import type { Project } from '../../core/project.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import { inputShape, type SignalSpec, signalSpecOf } from '../../signal/spec.js';
import { gridOf } from '../../vision/grid.js';
import type { Material } from '../material.js';
import { layersOf, type NetworkKind, type NetworkOutput, type NetworkSpec } from '../network/layers.js';
import type { Backbone } from '../network/transfer.js';
import { classesFor, unfit } from './examples/examples.js';
import { labelsOfRows, signalOfRows } from './examples/rows.js';
import type { Classes } from './types.js';

/** Decisions made before training starts. */
export interface Plan {
  network: NetworkSpec;
  classes: Classes;
  signal: SignalSpec;
  /** Whether the inputs are windows over time or pictures, in which all inputs of a field share their statistics. */
  windows: boolean;
  /** Whether pixels are scaled to −1…1, regardless of the training pictures. */
  pixelRange: boolean;
  /** Whether each example is a row of a table. */
  rows: boolean;
  /**
   * Whether a linear model may replace the network on a small table: compared by folds over the rows, or on the validation set alone if
   * rows belong together. Null for recordings, for kinds other than mlp, and if layers, a kind or members were requested.
   */
  linear: 'folds' | 'validation' | null;
  /**
   * Default noise on the standardized inputs if aiot.yaml sets none. Measured on the motion recordings over 12 splits: mean macro-F1 0.953
   * without, 0.960 with 0.4 to 0.5, 0.948 with 1. Adjacent samples are nearly redundant, so noise averages out over a window. 0 for table
   * rows and pictures, for which no measurements were made.
   */
  noise: number;
  /** Default choices, as sentences. */
  notes: string[];
  /** The trained layers at the beginning of the network; null = all layers are new. */
  backbone: Backbone | null;
  /** Whether the network's state starts anew in each window; absent = it lasts for a recording. */
  state?: 'stream' | 'window' | undefined;
}

/**
 * Plans the network, classes and signal part for this project and its training data.
 * @param backbone from model.train.from
 * @param chosen explicitly requested kind, which is not replaced if it does not fit
 * @throws AIOT_MODEL_UNFIT, AIOT_TRAINING_DATA_UNFIT, AIOT_DATA_ONE_CLASS, AIOT_PROJECT_INVALID, AIOT_FEATURE_*
 */
export function planTraining(
  project: Project,
  { rows }: Material,
  chosen?: NetworkKind,
  backbone: Backbone | null = null,
): Plan {
  const { model } = project.config;
  const notes: string[] = [];
  const found = rows
    ? signalOfRows(project, rows.table.columns)
    : { signal: signalSpecOf(project.config), own: true };
  const { signal, own } = found;
  if (rows && rows.label !== 'label' && rows.table.columns.includes('label')) {
    notes.push(
      `the column label is used as an input, because the model learns ${rows.label}; remove it from the file if it reveals ${rows.label}`,
    );
  }
  if (rows && own) notes.push("the columns are the features of this project's signal, by name");
  const output = outputKindOf(model);
  const labels = rows ? labelsForRows(rows, output, model, notes) : model.labels;
  const classes = classesFor(output, labels);
  requireClasses(project, output, classes, rows);
  const raw = signal.features === 'raw' && own;
  const overTime = own && (raw || signal.mel !== undefined || signal.image !== undefined);
  if (raw && model.train.augment.rotation > 0 && signal.fields.length < 3) {
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `model.train.augment.rotation needs fields in groups of three (x, y, z), but there are ${signal.fields.length}`,
      { next: 'Remove rotation from model.train.augment in aiot.yaml.' },
    );
  }
  const picture = own && signal.image !== undefined;
  const { kind, layers } = fitting(model, { raw: raw || picture, overTime, picture }, chosen, notes);
  const size = networkInput(kind, signal, overTime);
  const network: NetworkSpec = {
    kind,
    inputShape: size,
    layers: backbone ? [] : layersOf(kind, layers, size, model.blocks),
    output: outputOf(output, classes.names.length, size),
  };
  if (backbone) notes.push(backboneNote(backbone));
  const pixelRange = picture && project.config.signal.image?.normalize === 'range';
  if (output === 'objects') requireObjects(project, classes);
  const noise = rows || picture ? 0 : overTime ? 0.1 : 0.5;
  const asked = layers !== undefined || chosen !== undefined || model.train.members > 1 || backbone !== null;
  const alone = rows?.table.groups === null && model.split !== 'time';
  const linear = !rows || asked || kind !== 'mlp' ? null : alone ? 'folds' : 'validation';
  return {
    network,
    classes,
    signal,
    windows: overTime,
    pixelRange,
    rows: rows !== null,
    linear,
    noise,
    notes,
    backbone,
    state: model.state,
  };
}

function backboneNote({ file, digest, trained }: Backbone): string {
  const further = trained === 0 ? 'all frozen' : `of which the last ${trained} are trained further`;
  return `the layers of ${file} (${digest.slice(0, 15)}…) are used, ${further}, with a new last layer`;
}

/**
 * Shape of one example in the form that the network receives: numbers for dense layers, [time, fields] for convolutions over time. A mel
 * spectrogram is an image, [frames, bands, 1], except for cnn1d; a picture is [height, width, channels].
 */
function networkInput(kind: NetworkKind, signal: SignalSpec, overTime: boolean): number[] {
  const shape = inputShape(signal);
  if (kind === 'mlp' || kind === 'autoencoder' || !overTime) return [shape.reduce((a, b) => a * b, 1)];
  return signal.mel && kind !== 'cnn1d' ? [...shape, 1] : shape;
}

/** An autoencoder always outputs its reconstruction, and a fomo outputs objects. */
export function outputKindOf({
  kind,
  output,
}: Pick<ProjectConfig['model'], 'kind' | 'output'>): NetworkOutput['kind'] {
  if (kind === 'fomo') return 'objects';
  return kind === 'autoencoder' ? 'reconstruction' : output;
}

function outputOf(
  kind: NetworkOutput['kind'],
  classes: number,
  [height = 0, width = 0]: readonly number[],
): NetworkOutput {
  if (kind === 'classes') return { kind, count: classes };
  if (kind === 'objects') return { kind, count: 1 + classes, grid: gridOf({ width, height }) };
  return kind === 'value' ? { kind, count: 1 } : { kind };
}

/** @throws AIOT_PROJECT_INVALID, AIOT_MODEL_UNFIT */
function requireObjects({ file, config }: Project, { names }: Classes): void {
  if (names.length === 0)
    throw new AiotError(
      'AIOT_PROJECT_INVALID',
      `${file}: model.labels: expected at least one class; got none`,
    );
  const { command, members } = config.model.train;
  const what = command ? 'model.train.command' : members > 1 ? 'model.train.members' : null;
  if (what !== null)
    throw new AiotError('AIOT_MODEL_UNFIT', `${what} cannot be used with model.kind fomo`, {
      next: `Remove ${what} from aiot.yaml.`,
    });
}

function labelsForRows(
  { table, file, label }: NonNullable<Material['rows']>,
  output: NetworkOutput['kind'],
  model: ProjectConfig['model'],
  notes: string[],
): Record<string, string[]> {
  if (table.kinds === null) {
    if (output === 'reconstruction') {
      notes.push('no labels: every row counts as normal');
      return {};
    }
    throw unfit(
      `${file}: no label column "${label}"; the columns are ${table.columns.slice(0, 8).join(', ')}`,
      'Specify the label column (--label NAME), or detect anomalies without labels: --kind autoencoder',
    );
  }
  if (output === 'value') return {};
  const { labels, note } = labelsOfRows(table.kinds, table.rows, model.labels);
  if (note) notes.push(note);
  return labels;
}

function requireClasses(
  project: Project,
  output: NetworkOutput['kind'],
  { names }: Classes,
  rows: Material['rows'],
): void {
  if (rows && names.length === 1 && (output === 'classes' || output === 'probability')) {
    const { file, label, table } = rows;
    throw new AiotError(
      'AIOT_DATA_ONE_CLASS',
      `${file}: expected at least two classes in the column "${label}", got only ${names[0]} (${plural(table.rows, 'row')})`,
      {
        next: 'Add rows of another class, or detect anomalies without labels: --kind autoencoder',
      },
    );
  }
  if (output === 'classes' && names.length < 2) {
    throw new AiotError(
      names.length === 1 ? 'AIOT_DATA_ONE_CLASS' : 'AIOT_PROJECT_INVALID',
      names.length === 1
        ? `expected at least two classes, got only ${names[0]}`
        : `${project.file}: model.labels: expected at least two classes; got none`,
    );
  }
  if (output === 'probability' && names.length !== 2) {
    throw unfit(
      `expected two classes for model.output: probability, got ${names.length}: ${names.slice(0, 6).join(', ')}`,
      'Set model.output: classes, or group the labels into two classes in model.labels.',
    );
  }
}

/** @throws AIOT_MODEL_UNFIT */
function fittingForest({ kind, layers, train }: ProjectConfig['model'], raw: boolean) {
  if (raw)
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      'a forest needs features, but here its inputs are the samples of raw windows',
      { next: 'Set signal.features in aiot.yaml to motion, har or spectral, or use --kind cnn1d.' },
    );
  if (layers !== undefined)
    throw new AiotError('AIOT_MODEL_UNFIT', 'model.layers is set, but a forest has no layers', {
      next: 'Remove model.layers from aiot.yaml; the size of a forest is set in model.train.forest.',
    });
  const { boosting, learningRate, subsample } = train.forest;
  const alone = learningRate !== undefined ? 'learningRate' : subsample !== undefined ? 'subsample' : null;
  if (!boosting && alone !== null)
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `model.train.forest.${alone} is set, but it applies only to boosting`,
      {
        next: 'Set model.train.forest.boosting: true in aiot.yaml, or remove it.',
      },
    );
  return { kind, layers };
}

/** Convolutions run over time or over a picture. If the inputs are separate numbers, default dense layers are used instead. */
function fitting(
  model: ProjectConfig['model'],
  { raw, overTime, picture }: { raw: boolean; overTime: boolean; picture: boolean },
  chosen: NetworkKind | undefined,
  notes: string[],
) {
  const { kind, layers } = model;
  if (kind === 'forest') return fittingForest(model, raw);
  if (picture && kind === 'cnn1d')
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      'a cnn1d has convolutions over time, but its inputs are pictures',
      {
        next: 'Set model.kind: mobilenet (or ds-cnn, layers) in aiot.yaml.',
      },
    );
  if (model.blocks !== undefined && kind !== 'mobilenet' && kind !== 'fomo')
    throw new AiotError('AIOT_MODEL_UNFIT', `model.blocks is set, but model.kind is ${kind}`, {
      next: 'Remove model.blocks from aiot.yaml, or set model.kind: mobilenet.',
    });
  if ((kind === 'mobilenet' || kind === 'fomo') && !picture)
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `a ${kind} has convolutions over pictures, but signal.features is not image`,
      { next: 'Set signal.features: image, or another model.kind, in aiot.yaml.' },
    );
  if (overTime || (kind !== 'cnn1d' && kind !== 'ds-cnn')) return { kind, layers };
  if (chosen === kind) {
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `a ${kind} needs raw windows or a mel spectrogram, but here each input is a single number`,
      {
        next: 'Set signal.features: raw (or logmel or microfrontend, for sound) in aiot.yaml, or use --kind mlp.',
      },
    );
  }
  notes.push(`model.kind ${kind} needs raw windows, which rows do not have; training an mlp instead`);
  return { kind: 'mlp' as const, layers: undefined };
}
