import { AiotError, newId } from '../../core/index.js';
import { mayConnect } from '../../fleet/index.js';
import { type SimulatedReply, type SimulatedRequest, simulatedTag } from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Devices, NewDevice } from './devices.js';
import type { Events } from './events.js';
import { simulatedSecret } from './secrets.js';

interface Parts {
  devices: Devices;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Devices of a simulation: many in one transaction. */
export class Simulated {
  constructor(private readonly parts: Parts) {}

  /**
   * Those that are there already get a new secret. @throws AIOT_DEVICE_EXISTS for a name of other hardware, or of another type,
   * AIOT_DEVICE_ONLINE where another simulation runs one of them
   */
  enlist({ type, devices: asked, tags = {} }: SimulatedRequest, who: string): Promise<SimulatedReply> {
    const { devices, events, now } = this.parts;
    return devices.inTurn(async () => {
      const fresh = asked.filter(({ name }) => !this.isThere(name, type));
      const created = now();
      const news = fresh.map(({ name }): NewDevice & { tags: Record<string, string> } => ({
        ...{ name, type, created, id: newId('dev', created), state: 'provisioned' },
        ...{ fingerprint: null, expires: null, mac: null, chipId: null },
        tags: { ...tags, [simulatedTag]: 'yes' },
      }));
      await devices.insertAll(news, async (store: Store) => {
        for (const { name, digest } of asked) {
          const secret = simulatedSecret(digest);
          await store.updateTable('devices').set({ secret }).where('name', '=', name).execute();
        }
        const type = 'device.secret' as const;
        await events.recordAll(
          fresh.map(({ name }) => ({ who, type, subject: name })),
          store,
        );
      });
      return { made: fresh.length, kept: asked.length - fresh.length };
    });
  }

  private isThere(name: string, type: string): boolean {
    const there = this.parts.devices.find(name);
    if (!there) return false;
    if (there.tags[simulatedTag] === 'yes' && there.type === type && mayConnect(there.state)) {
      if (!this.parts.devices.online(name)) return true;
      throw new AiotError('AIOT_DEVICE_ONLINE', `another simulation runs ${name}: it is online`);
    }
    const what = there.tags[simulatedTag] === 'yes' ? 'simulated, but' : 'no simulated device: it';
    throw new AiotError(
      'AIOT_DEVICE_EXISTS',
      `${name} is ${what} is of type ${there.type} and ${there.state}`,
      {
        next: 'Give the simulation other names: --template "press-####"',
      },
    );
  }
}
