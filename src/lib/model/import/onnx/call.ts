import { malformed, unsupported } from '../errors.js';
import { type Constant, listIn } from './constants.js';
import type { Activation, OnnxMaker, Value } from './maker.js';
import type { Attributes } from './node.js';

/** One node of a model. */
export class NodeCall {
  constructor(
    readonly maker: OnnxMaker,
    readonly op: string,
    /** The node's position, name and operator, for messages. */
    readonly where: string,
    /** The inputs; undefined where an optional one is omitted. */
    readonly inputs: readonly (Value | undefined)[],
    readonly attributes: Attributes,
    /** Names of the outputs; empty for an unused output. */
    readonly outputs: readonly string[],
    /** Whether another node reads an output, or the output is an imported output of the model. */
    readonly isRead: (output: string) => boolean,
    readonly opset: number,
  ) {}

  /** @throws AIOT_FILE_MALFORMED for a missing input */
  value(place: number): Value {
    const value = this.inputs[place];
    if (value === undefined) throw malformed(`${this.where}: input ${place + 1} is missing`);
    return value;
  }

  /** An input that the network computes; a constant is converted to a tensor. */
  x(place = 0): Activation {
    const value = this.value(place);
    if (value.kind === 'activation') return value;
    return this.maker.plain(this.maker.weights(value), value.shape);
  }

  /** An input that must be constant. @throws AIOT_LAYER_UNSUPPORTED if the model computes it */
  constant(place: number, role: string): Constant {
    const value = this.optional(place, role);
    if (value === undefined) throw malformed(`${this.where}: its ${role} is missing`);
    return value;
  }

  optional(place: number, role: string): Constant | undefined {
    const value = this.inputs[place];
    if (value?.kind === 'activation')
      throw unsupported(
        this.where,
        `its ${role} is computed by the model`,
        'export the model with a constant',
      );
    return value;
  }

  /** Numbers from an attribute (earlier opsets) or from a constant input. */
  numbers(attribute: string, place: number): number[] | undefined {
    const given = this.attributes.integers(attribute);
    if (given !== undefined) return given;
    const constant = this.optional(place, attribute);
    return constant && listIn(constant, this.where);
  }

  /** Whether the output at this position is used. */
  reads(place: number): boolean {
    const name = this.outputs[place] ?? '';
    return name !== '' && this.isRead(name);
  }

  /** Rejects a node if any output other than the first is used. */
  onlyFirst(): void {
    const second = this.outputs.find((_, place) => place > 0 && this.reads(place));
    if (second !== undefined) throw unsupported(this.where, `its output ${second} is not supported`);
  }
}

/** Adds the operators that implement a node, and returns the node's outputs. */
export type Lower = (call: NodeCall) => Value | Value[];
