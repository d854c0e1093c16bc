import { type Desired, encodeMessage, type Reported, topicOf } from '../../device/index.js';
import type { Wish } from '../../fleet/index.js';
import type { Changes } from '../store/changes.js';
import type { Store } from '../store/database.js';
import { serially } from '../store/turns.js';
import { type Deltas, WishedDeltas } from './deltas.js';
import type { Events } from './events.js';

/** Sends one retained message at QoS 1; an empty payload takes the retained one back. */
export type PublishRetained = (topic: string, payload: Buffer) => Promise<void>;

/** What each device is to run: in the database first, then retained at the broker. */
export class DesiredStates {
  /** What the broker was told, by device; only where others are followed. */
  private told: Map<string, string | null> | undefined;

  constructor(
    private readonly store: Store,
    private readonly publish: PublishRetained,
    private readonly events: Events,
    private readonly deltas: Deltas,
  ) {}

  /** null = nothing. */
  async get(device: string): Promise<Desired | null> {
    const row = await this.store
      .selectFrom('devices')
      .select('desired')
      .where('name', '=', device)
      .executeTakeFirst();
    return row?.desired ? (JSON.parse(row.desired) as Desired) : null;
  }

  /**
   * Writes down what devices are to run, within a transaction; a wish is not taken back where the device has another by now.
   * @returns those that hold: for `tell`, once the transaction is over
   */
  async write(wishes: readonly Wish[], store: Store): Promise<Wish[]> {
    const held: Wish[] = [];
    const deltas = new WishedDeltas(this.deltas, store);
    for (const { delta: _, ...asked } of wishes) {
      const wish = await deltas.added(asked);
      if (wish.release === null && (await wishOf(store, wish.device)) !== wish.wish) continue;
      const desired = desiredOf(wish);
      const text = desired && JSON.stringify(desired);
      // Known before it is written: the news of it may come before the answer does.
      this.told?.set(wish.device, text);
      await store.updateTable('devices').set({ desired: text }).where('name', '=', wish.device).execute();
      held.push(wish);
    }
    const told = held.map((wish) => ({ wish, desired: desiredOf(wish) }));
    await this.events.recordAll(
      told.map(({ wish, desired }) => ({
        ...{ who: 'platform', type: 'device.desire' as const, subject: wish.device },
        data: { desired },
      })),
      store,
    );
    return held;
  }

  /** Has the broker tell what was written. */
  async tell(wishes: readonly Wish[]): Promise<void> {
    for (let i = 0; i < wishes.length; i += 100) {
      await Promise.all(
        wishes.slice(i, i + 100).map((wish) => {
          const desired = desiredOf(wish);
          return this.publish(
            topicOf(wish.device, 'desired'),
            desired ? encodeMessage(desired) : Buffer.alloc(0),
          );
        }),
      );
    }
  }

  /**
   * Tells the broker of this process what other processes have set, until the returned function is called: for devices that
   * are connected here. Not where all have the same broker.
   */
  watch(changes: Changes): () => void {
    if (!changes.shared) return () => {};
    this.told = new Map();
    const follow = changes.followDevices();
    const inTurn = serially();
    const catchUp = () => inTurn(() => follow((names) => this.catchUp(names)));
    // What cannot be read now is read with the next change.
    return changes.on('devices', () => void catchUp().catch(() => {}));
  }

  private async catchUp(names: readonly string[]): Promise<void> {
    for (let i = 0; i < names.length; i += 1000) {
      const some = names.slice(i, i + 1000);
      const rows = this.store.selectFrom('devices').select(['name', 'desired']).where('name', 'in', some);
      for (const { name, desired } of await rows.execute()) {
        if ((this.told?.get(name) ?? null) === desired) continue;
        this.told?.set(name, desired);
        await this.publish(topicOf(name, 'desired'), Buffer.from(desired ?? ''));
      }
    }
  }

  /** After a start the broker has forgotten all retained messages: desired and reported come from the database. */
  async restore(devices: readonly { name: string; reported: Reported | null }[]): Promise<void> {
    const rows = await this.store.selectFrom('devices').select(['name', 'desired']).execute();
    for (const { name, desired } of rows) {
      this.told?.set(name, desired);
      if (desired !== null) await this.publish(topicOf(name, 'desired'), Buffer.from(desired));
    }
    for (const { name, reported } of devices) {
      if (reported !== null) await this.publish(topicOf(name, 'reported'), encodeMessage(reported));
    }
  }

  /** Nothing of a device that had this name before is told to the new one, or of it. */
  async forget(device: string): Promise<void> {
    for (const channel of ['desired', 'reported', 'presence'] as const) {
      await this.publish(topicOf(device, channel), Buffer.alloc(0));
    }
  }

  /** What an earlier board of this name reported is told no longer; what the device is to run stays. */
  async moved(device: string): Promise<void> {
    for (const channel of ['reported', 'presence'] as const) {
      await this.publish(topicOf(device, channel), Buffer.alloc(0));
    }
  }
}

async function wishOf(store: Store, device: string): Promise<string | undefined> {
  const row = await store
    .selectFrom('devices')
    .select('desired')
    .where('name', '=', device)
    .executeTakeFirst();
  return row?.desired ? (JSON.parse(row.desired) as Desired).rollout : undefined;
}

/** Where the registry of a kind is. */
const nouns = { firmware: 'firmware', config: 'configs' };

/** The message that tells a device of a wish; null = nothing. */
export function desiredOf({ wish, release, soakMs, shadow, delta }: Wish): Desired | null {
  if (release === null) return null;
  const { kind, name, version, sequence } = release;
  const manifest =
    kind === 'model'
      ? `/api/v1/manifests/${sequence}`
      : `/api/v1/${nouns[kind]}/${encodeURIComponent(name)}/versions/${version}/manifest?sequence=${sequence}`;
  const asked = { ...(soakMs ? { soakMs } : {}), ...(shadow ? { shadow } : {}), ...(delta ? { delta } : {}) };
  return { rollout: wish, kind, name, version, sequence, manifest, ...asked };
}
