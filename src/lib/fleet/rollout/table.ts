import type { RolloutDevice } from './types.js';
import { isEnd } from './waves.js';

/**
 * Number of devices in a block. A change copies one block and the list of blocks (3,907 for a million devices); both
 * copies cost about the same.
 */
const blockSize = 256;

/** Consecutive devices of one wave, with a summary that shows whether any of them needs attention. */
export interface Block {
  devices: readonly RolloutDevice[];
  /**
   * Earliest time at which a device in the block is due for an offer, ms since 1970; Infinity = no device is waiting.
   */
  due: number;
  /** Time of the earliest offer to a device that has not ended, ms since 1970; Infinity = none. */
  asked: number;
  /** Whether a device has an offer and has not started. */
  offered: boolean;
  /** Whether a device runs the release. */
  runs: boolean;
}

/**
 * A rollout's devices by name, in wave order. Immutable: `with` returns a new table that shares all unchanged blocks.
 * The cost of a step therefore depends on the number of changes rather than the number of devices.
 */
export class DeviceTable implements ReadonlyMap<string, RolloutDevice> {
  /**
   * @param places for each name, the index of the block and the position in it, as one number
   * @param ends index after the last block of each wave
   */
  private constructor(
    private readonly places: ReadonlyMap<string, number>,
    private readonly ends: readonly number[],
    readonly blocks: readonly Block[],
  ) {}

  /** Returns the argument itself if it is a DeviceTable. */
  static of(devices: ReadonlyMap<string, RolloutDevice>): DeviceTable {
    return devices instanceof DeviceTable ? devices : DeviceTable.from(devices.values());
  }

  /** @param devices in wave order */
  static from(devices: Iterable<RolloutDevice>): DeviceTable {
    const places = new Map<string, number>();
    const blocks: RolloutDevice[][] = [];
    for (const device of devices) {
      let last = blocks.at(-1);
      if (last === undefined || last.length === blockSize || last[0]!.wave !== device.wave) {
        last = [];
        blocks.push(last);
      }
      places.set(device.name, (blocks.length - 1) * blockSize + last.length);
      last.push(device);
    }
    const ends: number[] = [];
    for (const [index, [first]] of blocks.entries()) {
      while (ends.length < first!.wave) ends.push(index);
      ends[first!.wave] = index + 1;
    }
    return new DeviceTable(places, ends, blocks.map(blockOf));
  }

  /** Replaces the devices with the same names; unknown devices are ignored. */
  with(changed: Iterable<RolloutDevice>): DeviceTable {
    const copies = new Map<number, RolloutDevice[]>();
    for (const device of changed) {
      const place = this.places.get(device.name);
      if (place === undefined) continue;
      const block = Math.floor(place / blockSize);
      let copy = copies.get(block);
      if (copy === undefined) {
        copy = [...this.blocks[block]!.devices];
        copies.set(block, copy);
      }
      copy[place % blockSize] = device;
    }
    if (copies.size === 0) return this;
    const blocks = [...this.blocks];
    for (const [index, devices] of copies) blocks[index] = blockOf(devices);
    return new DeviceTable(this.places, this.ends, blocks);
  }

  /** Indices of a wave's first block and of the block after its last one. */
  span(wave: number): [from: number, until: number] {
    return [this.ends[wave - 1] ?? 0, this.ends[wave] ?? this.blocks.length];
  }

  /** Index of the block that contains the device. */
  blockOf(name: string): number | undefined {
    const place = this.places.get(name);
    return place === undefined ? undefined : Math.floor(place / blockSize);
  }

  get size(): number {
    return this.places.size;
  }

  has(name: string): boolean {
    return this.places.has(name);
  }

  get(name: string): RolloutDevice | undefined {
    const place = this.places.get(name);
    if (place === undefined) return undefined;
    return this.blocks[Math.floor(place / blockSize)]!.devices[place % blockSize];
  }

  keys(): MapIterator<string> {
    return this.places.keys();
  }

  *values(): Generator<RolloutDevice, undefined> {
    for (const { devices } of this.blocks) yield* devices;
  }

  *entries(): Generator<[string, RolloutDevice], undefined> {
    for (const device of this.values()) yield [device.name, device];
  }

  [Symbol.iterator](): Generator<[string, RolloutDevice], undefined> {
    return this.entries();
  }

  forEach(
    then: (device: RolloutDevice, name: string, all: ReadonlyMap<string, RolloutDevice>) => void,
  ): void {
    for (const device of this.values()) then(device, device.name, this);
  }
}

function blockOf(devices: readonly RolloutDevice[]): Block {
  const block = {
    devices,
    due: Infinity,
    asked: Infinity,
    offered: false,
    runs: false,
  };
  for (const { state, retryAt, offered, offer, holds } of devices) {
    if (state === 'pending') block.due = Math.min(block.due, retryAt ?? 0);
    else if (state === 'shadowing') block.due = 0;
    else if (!isEnd(state)) block.asked = Math.min(block.asked, offered ?? Infinity);
    if (state === 'offered') block.offered = true;
    if ((state === 'committed' && offer > 0) || holds) block.runs = true;
  }
  return block;
}
