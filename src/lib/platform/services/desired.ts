import { type Desired, encodeMessage, type Reported, topicOf } from '../../device/index.js';
import type { Store } from '../store/database.js';

/** Sends one retained message at QoS 1; an empty payload takes the retained one back. */
export type PublishRetained = (topic: string, payload: Buffer) => Promise<void>;

/** What each device is to run: in the database first, then retained at the broker. */
export class DesiredStates {
  constructor(
    private readonly store: Store,
    private readonly publish: PublishRetained,
  ) {}

  async set(devices: string[], desired: Desired): Promise<void> {
    await this.write(devices, JSON.stringify(desired));
    for (const device of devices) await this.publish(topicOf(device, 'desired'), encodeMessage(desired));
  }

  /** After a start the broker has forgotten all retained messages: desired and reported come from the database. */
  async restore(devices: { name: string; reported: Reported | null }[]): Promise<void> {
    const rows = await this.store.selectFrom('devices').select(['name', 'desired']).execute();
    for (const { name, desired } of rows) {
      if (desired !== null) await this.publish(topicOf(name, 'desired'), Buffer.from(desired));
    }
    for (const { name, reported } of devices) {
      if (reported !== null) await this.publish(topicOf(name, 'reported'), encodeMessage(reported));
    }
  }

  /** Takes it back, unless another rollout has set it since. */
  async withdraw(device: string, rollout: string): Promise<void> {
    const row = await this.store
      .selectFrom('devices')
      .select('desired')
      .where('name', '=', device)
      .executeTakeFirst();
    if (!row?.desired || (JSON.parse(row.desired) as Desired).rollout !== rollout) return;
    await this.write([device], null);
    await this.publish(topicOf(device, 'desired'), Buffer.alloc(0));
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

  private async write(devices: string[], desired: string | null): Promise<void> {
    await this.store.transaction().execute(async (store) => {
      for (const device of devices) {
        await store.updateTable('devices').set({ desired }).where('name', '=', device).execute();
      }
    });
  }
}
