import { plural } from '../../../core/figures.js';
import { malformed, unsupported } from '../errors.js';

/** A layer or model in Keras or TensorFlow.js JSON. */
export interface LayerJson {
  class_name: string;
  config: Record<string, unknown>;
  /** Keras 3: the layer's own name is also stored here. */
  name?: string;
  inbound_nodes?: unknown;
}

/** A trained array, row-major. */
export interface Weight {
  shape: number[];
  data: Float32Array;
}

/** The part of a recurrent layer that has the weights: its own cell, or the cell of one of the layers in a Bidirectional. */
export interface WeightPart {
  /** Groups below the layer's own in a .keras file. */
  groups: readonly string[];
  /** Names that the inner layer may have; empty for the layer's own cell. */
  names: readonly string[];
}

/** Where the layers' weights come from. */
export interface WeightSource {
  /**
   * Weights of one layer, in the order of `roles` (Keras' own order, without weights that the layer lacks).
   * @param path names of the enclosing models, then the layer's own
   * @param part the part that has them, if it is not the layer itself
   * @throws AIOT_FILE_MALFORMED if weights are missing
   */
  of(path: readonly string[], roles: readonly string[], part?: WeightPart): Weight[];
}

/** A whole model as described in its file. */
export interface KerasModel {
  model: LayerJson;
  weights: WeightSource;
  /** Display name of the program that wrote the file. */
  writer: string;
  /** The version of Keras that defines the layers; undefined for TensorFlow.js, which follows Keras 2. */
  version?: string | undefined;
}

/** The slope of hard_sigmoid, which Keras 3 changed to that of ONNX's HardSwish and PyTorch. */
export function hardSigmoidSlope(version: string | undefined): number {
  return /^(?:[3-9]|\d\d)/.test(version ?? '') ? 1 / 6 : 0.2;
}

/** The settings of one layer, with typed accessors. */
export class LayerSettings {
  constructor(
    private readonly values: Record<string, unknown>,
    /** For errors, e.g. `layer 3 (conv1d, Conv1D)`. */
    readonly where: string,
  ) {}

  raw(name: string): unknown {
    return this.values[name] ?? undefined;
  }

  number(name: string, otherwise?: number): number {
    const value = this.raw(name) ?? otherwise;
    if (typeof value === 'number') return value;
    throw malformed(`${this.where}: expected a number as ${name}, got ${JSON.stringify(value)}`);
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.raw(name) ?? otherwise;
    if (typeof value === 'boolean') return value;
    throw malformed(`${this.where}: expected true or false as ${name}, got ${JSON.stringify(value)}`);
  }

  /** Reads `count` whole numbers; a single number applies to all of them. */
  integers(name: string, count: number, otherwise?: number): number[] {
    const value = this.raw(name) ?? otherwise;
    const list = Array.isArray(value) ? value : new Array(count).fill(value);
    if (list.length === count && list.every((each) => Number.isInteger(each))) return list;
    throw malformed(
      `${this.where}: expected ${plural(count, 'whole number')} as ${name}, got ${JSON.stringify(value)}`,
    );
  }

  /**
   * Requires a setting to match the trained array's size along `axis` (from the end if negative), with `rank` axes.
   * @throws AIOT_FILE_MALFORMED if file and weights contradict each other
   */
  sameAs(name: string, { shape }: { shape: readonly number[] }, axis: number, rank: number): void {
    if (shape.length !== rank)
      throw malformed(`${this.where}: expected weights of ${rank} axes, got [${shape.join(', ')}]`);
    const value = this.raw(name);
    if (value === undefined || value === shape.at(axis)) return;
    throw malformed(
      `${this.where}: ${name} is ${JSON.stringify(value)}, but its weights are [${shape.join(', ')}]`,
    );
  }

  /** The layer's padding mode. @throws AIOT_LAYER_UNSUPPORTED for any other mode */
  padding(): 'same' | 'valid' | 'causal' {
    const value = this.raw('padding') ?? 'valid';
    if (value === 'same' || value === 'valid' || value === 'causal') return value;
    throw unsupported(this.where, `padding ${JSON.stringify(value)} is not supported`);
  }

  /** Requires that channels are last, as microcontroller kernels do. */
  channelsLast(): void {
    if (this.raw('data_format') === 'channels_first')
      throw unsupported(this.where, 'data_format is channels_first', 'train with channels_last');
  }

  /** The channel axis, which must be the last of `rank` axes. */
  lastAxis(rank: number): void {
    const axis = [this.raw('axis') ?? -1].flat();
    if (axis.length === 1 && (axis[0] === -1 || axis[0] === rank - 1)) return;
    throw unsupported(this.where, `axis ${JSON.stringify(axis)} is not supported`, 'use the last axis');
  }
}

/** A weight's name in the file, e.g. `model/dense_1/kernel:0`, split at the slashes, with the weight. */
export interface NamedWeight {
  segments: string[];
  weight: () => Weight;
}

/** `kernel:0` → `kernel` */
const plain = (name: string) => name.replace(/:\d+$/, '');

/**
 * Finds weights by name. The last segment is the role, preceded by the layer, and the enclosing models in order. `a|b` is a role with two
 * names.
 */
export function namedWeights(list: readonly NamedWeight[]): WeightSource {
  const of = (path: readonly string[], role: string, part?: WeightPart): Weight => {
    const names = role.split('|');
    // A cell has a name of its own, unlike other layers with weights.
    const owners = part && (part.names.length > 0 ? part.names : [path.at(-1)!]);
    const isOwner = (segments: readonly string[]): boolean =>
      owners ? segments.some((segment) => owners.includes(segment)) : segments.at(-2) === path.at(-1);
    const found = list.filter(({ segments }) => names.includes(plain(segments.at(-1)!)) && isOwner(segments));
    const inside = found.filter(({ segments }) => isWithin(path, segments));
    const [one] = inside.length > 0 ? inside : found;
    if (one === undefined) throw malformed(`the weights ${[...path, names[0]].join('/')} are missing`);
    return one.weight();
  };
  return { of: (path, roles, part) => roles.map((role) => of(path, role, part)) };
}

/** Whether all names of the path occur in this order. */
function isWithin(path: readonly string[], segments: readonly string[]): boolean {
  let at = 0;
  for (const segment of segments) if (segment === path[at]) at += 1;
  return at === path.length;
}
