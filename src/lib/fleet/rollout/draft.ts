import type { Release, RolloutReason } from '../../api/rollouts/schema.js';
import { shadowWish } from './shadow.js';
import { type Block, DeviceTable } from './table.js';
import type {
  RolloutDevice,
  RolloutHead,
  RolloutState,
  RolloutStep,
  RolloutWave,
  Wish,
  World,
} from './types.js';

/** A modifiable copy of a rollout. The original state is not modified. */
export class Draft {
  readonly head: RolloutHead;
  private readonly before: DeviceTable;
  private readonly changed = new Map<string, RolloutDevice>();
  /** Indices of the blocks that contain changed devices, whose summaries are out of date. */
  private readonly touched = new Set<number>();
  private readonly wishes = new Map<string, Wish>();

  constructor(
    state: RolloutState,
    readonly world: World,
  ) {
    this.before = DeviceTable.of(state.devices);
    const waves = state.head.waves.map((wave) => ({ ...wave, counts: { ...wave.counts } }));
    this.head = { ...state.head, waves };
  }

  /** Whether the rollout changes settings, which devices report without an update. */
  get isOfSettings(): boolean {
    return isOfSettings(this.head);
  }

  get at(): number {
    return this.world.at;
  }

  device(name: string): RolloutDevice | undefined {
    return this.changed.get(name) ?? this.before.get(name);
  }

  wave(index: number): RolloutWave {
    return this.head.waves[index]!;
  }

  /** Devices in the waves up to and including this one, except devices in blocks for which `mayHave` returns false. */
  *devicesUpTo(wave: number, mayHave: (block: Block) => boolean = () => true): Generator<RolloutDevice> {
    for (let i = 0; i <= wave; i++) yield* this.devicesOf(i, mayHave);
  }

  *devicesOf(wave: number, mayHave: (block: Block) => boolean = () => true): Generator<RolloutDevice> {
    const [from, until] = this.before.span(wave);
    for (let index = from; index < until; index++) {
      const block = this.before.blocks[index]!;
      if (!mayHave(block) && !this.touched.has(index)) continue;
      for (const device of block.devices) yield this.changed.get(device.name) ?? device;
    }
  }

  change(device: RolloutDevice, change: Partial<RolloutDevice>): RolloutDevice {
    const next = { ...device, ...change, updated: this.at };
    const { counts } = this.wave(device.wave);
    counts[device.state]--;
    counts[next.state]++;
    this.changed.set(device.name, next);
    this.touched.add(this.before.blockOf(device.name)!);
    return next;
  }

  offer(device: RolloutDevice, release: Release, state: 'offered' | 'restoring', asShadow = false): void {
    const offer = device.offer + 1;
    const times = state === 'offered' && device.item === 0 ? { offered: this.at } : device.times;
    this.change(device, {
      ...{ state, offer, times, offered: this.at },
      ...(device.delta && state === 'offered' ? { delta: undefined } : {}),
      ...{ attempts: device.attempts + 1, step: null, error: null, retryAt: null },
      // A newly offered release needs a new proof; a rollback keeps the previous one.
      ...(state === 'offered' ? { proof: null } : {}),
      ...(device.crashHours && state === 'offered' ? { crashHours: [] } : {}),
      ...(state === 'restoring' && device.holds ? { holds: false } : {}),
      // Measurements are retained after a shadow, because they are still shown to the operator.
      ...(asShadow ? { asShadow, shadow: null } : device.asShadow ? { asShadow: false } : {}),
    });
    const { soakMs, shadow } = this.head.policy;
    const soak = soakMs > 0 && state === 'offered' && !asShadow ? { soakMs } : {};
    const asked = asShadow && shadow ? { shadow: shadowWish(shadow) } : soak;
    this.wishes.set(device.name, {
      device: device.name,
      wish: wishOf(this.head.id, offer),
      release,
      ...asked,
    });
  }

  /** Recalls the offer, so that the device keeps its current release and does not start the update on its own later. */
  withdraw({ name, offer }: RolloutDevice): void {
    this.wishes.set(name, { device: name, wish: wishOf(this.head.id, offer), release: null });
  }

  end(state: RolloutHead['state'], reason: RolloutReason | null = this.head.reason): void {
    this.head.state = state;
    this.head.reason = reason;
    this.head.ended = this.at;
    if (state !== 'aborted' && state !== 'rolledBack') return;
    for (const wave of this.head.waves) {
      if (wave.state === 'open' || wave.state === 'soaking' || wave.state === 'shadowing')
        wave.state = 'stopped';
    }
  }

  step(): RolloutStep {
    return { head: this.head, changed: [...this.changed.values()], wishes: [...this.wishes.values()] };
  }
}

export function isOfSettings({ releases }: Pick<RolloutHead, 'releases'>): boolean {
  return releases.some(({ kind }) => kind === 'settings');
}

/**
 * The name under which a release is offered to a device. A device starts each name only once, so each offer needs a new
 * name: first the rollout's id, then the id with a dot and the offer's number.
 */
export function wishOf(rollout: string, offer: number): string {
  return offer === 1 ? rollout : `${rollout}.${offer}`;
}

export function parseWish(wish: string): { rollout: string; offer: number } {
  const dot = wish.lastIndexOf('.');
  if (dot < 0) return { rollout: wish, offer: 1 };
  return { rollout: wish.slice(0, dot), offer: Number(wish.slice(dot + 1)) };
}
