import type { Graph, Operator, Quantization, Tensor } from '../../formats/index.js';
import { unfit } from './calibrate.js';
import {
  activationQuantization,
  quantizeValues,
  quantizeWide,
  type Range,
  rangeOf,
  wideQuantization,
} from './numbers.js';
import type { Kind } from './types.js';

/**
 * The graph under construction: each activation of the float graph has a twin of the kind that its operator makes, and
 * further ones, by QUANTIZE or DEQUANTIZE, where operators of other kinds read it.
 */
export class Twins {
  readonly tensors: Tensor[] = [];
  readonly operators: Operator[] = [];
  /** Float tensor → kind → tensor here. The first of each is what its operator made. */
  readonly #made = new Map<number, Map<Kind, number>>();
  readonly #constants = new Map<number, number>();

  constructor(
    readonly graph: Graph,
    readonly ranges: ReadonlyMap<number, Range>,
  ) {}

  /** A tensor for what an operator makes of float tensor `index`. */
  make(index: number, kind: Kind, quantization?: Quantization): number {
    const { name, shape } = this.graph.tensors[index]!;
    const kinds = this.#made.get(index) ?? new Map<Kind, number>();
    this.#made.set(index, kinds);
    const own = kind === 'float32' ? {} : { quantization: quantization ?? this.own(index, kind) };
    const place = this.add({ name: kinds.size === 0 ? name : `${name}/${kind}`, shape, type: kind, ...own });
    kinds.set(kind, place);
    return place;
  }

  /**
   * The twin of this kind of an activation, converted to it when there is none; a float constant becomes one.
   * @param quantization of what is made anew here, instead of its own range's
   */
  of(index: number, kind: Kind, quantization?: Quantization): number {
    if (this.graph.tensors[index]?.data !== undefined) return this.#constantOf(index, kind, quantization);
    const kinds = this.#made.get(index);
    const [first] = kinds ?? [];
    if (kinds === undefined || first === undefined)
      throw unfit(`tensor ${this.graph.tensors[index]?.name} is read before it is made`);
    const known = kinds.get(kind);
    if (known !== undefined) return known;
    const place = this.make(index, kind, quantization);
    this.operators.push({
      op: kind === 'float32' ? 'DEQUANTIZE' : 'QUANTIZE',
      inputs: [first[1]],
      outputs: [place],
      options: {},
    });
    return place;
  }

  /** Tensors of the float graph with what stands for them here. */
  *native(): Iterable<[float: number, place: number]> {
    for (const [index, kinds] of this.#made) {
      const [first] = kinds.values();
      if (first !== undefined) yield [index, first];
    }
  }

  /** A constant as it stands: shapes, axes, float weights of an operator that stays float. −1 stays. */
  constant(index: number): number {
    if (index === -1) return -1;
    const known = this.#constants.get(index) ?? this.add(this.graph.tensors[index]!);
    this.#constants.set(index, known);
    return known;
  }

  add(tensor: Tensor): number {
    return this.tensors.push({ ...tensor }) - 1;
  }

  quantizationOf(place: number, where: string): Quantization {
    const { quantization, name } = this.tensors[place]!;
    if (quantization === undefined) throw unfit(`${where}: ${name} has no scale`);
    return quantization;
  }

  /** Scale of an activation by its range. */
  own(index: number, kind: Kind): Quantization {
    const range = this.ranges.get(index);
    if (range === undefined) throw unfit(`no values were seen of tensor ${this.graph.tensors[index]?.name}`);
    return kind === 'int16' ? wideQuantization(range) : activationQuantization(range);
  }

  #constantOf(index: number, kind: Kind, given?: Quantization): number {
    const tensor = this.graph.tensors[index]!;
    if (kind === 'float32' || !(tensor.data instanceof Float32Array)) return this.constant(index);
    const range = rangeOf(tensor.data);
    const quantization =
      given ?? (kind === 'int16' ? wideQuantization(range) : activationQuantization(range));
    const data = (kind === 'int16' ? quantizeWide : quantizeValues)(tensor.data, quantization);
    return this.add({ ...tensor, type: kind, data, quantization });
  }
}
