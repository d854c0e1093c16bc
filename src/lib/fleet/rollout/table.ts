import type { RolloutDevice } from './types.js';
import { isEnd } from './waves.js';

/** A million devices are 3,907 blocks: to change one copies a block and the list of them, about as much each. */
const blockSize = 256;

/** Neighbours in one wave, and what tells that there is nobody among them to look at. */
export interface Block {
  devices: readonly RolloutDevice[];
  /** Not before then is any of them offered it, ms since 1970; Infinity = nobody waits for an offer. */
  due: number;
  /** When the first of those was offered it who have not ended, ms since 1970; Infinity = none. */
  asked: number;
  /** Somebody has it offered and has not begun. */
  offered: boolean;
  /** Somebody runs what was rolled out. */
  runs: boolean;
}

/**
 * The devices of a rollout by name, in the order of their waves. It never changes: `with` makes another one that has in common with it
 * all blocks that nobody has changed in, so that a step costs what has changed and not what there is.
 */
export class DeviceTable implements ReadonlyMap<string, RolloutDevice> {
  /**
   * @param places index of the block and place in it, as one number
   * @param ends index behind the last block of each wave
   */
  private constructor(
    private readonly places: ReadonlyMap<string, number>,
    private readonly ends: readonly number[],
    readonly blocks: readonly Block[],
  ) {}

  /** What is one already stays the same. */
  static of(devices: ReadonlyMap<string, RolloutDevice>): DeviceTable {
    return devices instanceof DeviceTable ? devices : DeviceTable.from(devices.values());
  }

  /** @param devices in the order of their waves */
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

  /** With these in the places of those of their names; who is a stranger is left out. */
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

  /** Indices of a wave's first block, and behind its last. */
  span(wave: number): [from: number, until: number] {
    return [this.ends[wave - 1] ?? 0, this.ends[wave] ?? this.blocks.length];
  }

  /** Index of the block that has it. */
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
