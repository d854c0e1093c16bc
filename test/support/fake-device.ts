import type { MqttClient } from 'mqtt';
import type { Desired, Reported } from '../../src/lib/device/protocol/messages.js';
import { connectDevice } from './mqtt.js';

/** A device that sends only what a test requests, because only the platform is under test. */
export interface FakeDevice {
  name: string;
  client: MqttClient;
  /** The desired releases, newest last; null = withdrawn. */
  desired: (Desired | null)[];
  /** Waits until this many requests have arrived, and returns the last one. */
  heard(count: number): Promise<Desired | null>;
  report(state: Reported['state'], more?: Partial<Reported>): Promise<void>;
}

export async function fakeDevice(url: string, identity: string, name: string): Promise<FakeDevice> {
  const client = await connectDevice(url, identity);
  const desired: (Desired | null)[] = [];
  client.on('message', (_topic, payload) => {
    desired.push(payload.length === 0 ? null : JSON.parse(payload.toString('utf8')));
  });
  await client.subscribeAsync(`aiot/v1/${name}/desired`, { qos: 1 });
  return {
    name,
    client,
    desired,
    async heard(count) {
      for (let waited = 0; desired.length < count && waited < 20_000; waited += 10) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      if (desired.length < count) throw new Error(`${name} heard ${desired.length} of ${count}`);
      return desired[count - 1] ?? null;
    },
    async report(state, more = {}) {
      const last = desired.findLast((message) => message !== null);
      const message: Reported = {
        t: Date.now(),
        type: 'virtual',
        state,
        rollout: last?.rollout ?? null,
        model: null,
        floor: 0,
        download: null,
        golden: null,
        error: null,
        ...more,
      };
      await client.publishAsync(`aiot/v1/${name}/reported`, JSON.stringify(message), {
        qos: 1,
        retain: true,
      });
    },
  };
}
