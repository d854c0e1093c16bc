import type { Trainable } from '../types.js';
import { type Arena, Floats } from './memory.js';
import type { Slot } from './node.js';

/** All trainable numbers in one contiguous range, so that Adam needs a single pass. */
export class Parameters {
  readonly values: Floats;
  readonly gradients: Floats;
  readonly first: Floats;
  readonly second: Floats;
  private readonly parts: { slot: Slot; from: number; initial: Float32Array }[] = [];

  constructor(arena: Arena, trainable: Trainable) {
    const initial = [
      ...trainable.parameters.map((index) => trainable.graph.tensors[index]!.data as Float32Array),
      ...trainable.batchNorms.flatMap(({ gamma, beta }) => [gamma, beta]),
    ];
    let from = 0;
    for (const values of initial) {
      const [value, gradient] = [new Floats(values.length), new Floats(values.length)];
      const slot: Slot = { size: values.length, constant: true, value, gradient };
      this.parts.push({ slot, from, initial: values });
      // Each parameter starts at a multiple of 16 bytes.
      from += (values.length + 3) & ~3;
    }
    this.values = arena.floats(from);
    this.first = arena.floats(from);
    this.second = arena.floats(from);
    this.gradients = arena.gradient(from);
  }

  /** The n-th parameter. */
  slot(place: number): Slot {
    return this.parts[place]!.slot;
  }

  /** Called after the arena is sealed: assigns each parameter its location and its initial values. */
  settle(): void {
    for (const { slot, from, initial } of this.parts) {
      for (const [own, all] of [
        [slot.value, this.values],
        [slot.gradient!, this.gradients],
      ] as const) {
        own.at = all.at + from * 4;
        own.data = all.data.subarray(from, from + own.length);
      }
      slot.value.data.set(initial);
    }
  }

  /** Copies the numbers of all parameters without the alignment gaps. */
  packed(from: Floats): Float32Array {
    const packed = new Float32Array(this.count);
    let at = 0;
    for (const { slot, from: start } of this.parts) {
      packed.set(from.data.subarray(start, start + slot.size), at);
      at += slot.size;
    }
    return packed;
  }

  unpack(packed: Float32Array, into: Floats): void {
    let at = 0;
    for (const { slot, from } of this.parts) {
      into.data.set(packed.subarray(at, at + slot.size), from);
      at += slot.size;
    }
  }

  /** Number of values in all parameters. */
  get count(): number {
    return this.parts.reduce((sum, { slot }) => sum + slot.size, 0);
  }
}
