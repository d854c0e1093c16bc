import { malformed, unsupported } from '../errors.js';

/** The settings of one layer, read with their types. */
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

  /** `count` whole numbers; one number stands for all of them. */
  integers(name: string, count: number, otherwise?: number): number[] {
    const value = this.raw(name) ?? otherwise;
    const list = Array.isArray(value) ? value : new Array(count).fill(value);
    if (list.length === count && list.every((each) => Number.isInteger(each))) return list;
    throw malformed(
      `${this.where}: expected ${count} whole number(s) as ${name}, got ${JSON.stringify(value)}`,
    );
  }

  /**
   * A setting must be what the trained array has along `axis` (from the end where negative), of `rank` axes.
   * @throws AIOT_FILE_MALFORMED when file and weights contradict each other
   */
  sameAs(name: string, { shape }: { shape: readonly number[] }, axis: number, rank: number): void {
    if (shape.length !== rank)
      throw malformed(`${this.where}: expected weights of ${rank} axes, got [${shape.join(', ')}]`);
    const value = this.raw(name);
    if (value === undefined || value === shape.at(axis)) return;
    throw malformed(
      `${this.where}: ${name} is ${JSON.stringify(value)}, and its weights are [${shape.join(', ')}]`,
    );
  }

  /** [from, to] of a layer's window along time, or of both axes of an image. */
  padding(): 'same' | 'valid' | 'causal' {
    const value = this.raw('padding') ?? 'valid';
    if (value === 'same' || value === 'valid' || value === 'causal') return value;
    throw unsupported(this.where, `padding ${JSON.stringify(value)}`);
  }

  /** Channels must be last: that is how microcontrollers' kernels have them. */
  channelsLast(): void {
    if (this.raw('data_format') === 'channels_first')
      throw unsupported(this.where, 'data_format is channels_first', 'train with channels_last');
  }

  /** The axis of the channels; it must be the last of `rank`. */
  lastAxis(rank: number): void {
    const axis = [this.raw('axis') ?? -1].flat();
    if (axis.length === 1 && (axis[0] === -1 || axis[0] === rank - 1)) return;
    throw unsupported(this.where, `axis ${JSON.stringify(axis)}`, 'use the last axis');
  }
}
