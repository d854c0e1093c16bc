import { basename } from 'node:path';
import type { MqttClient } from 'mqtt';
import { connectDevice } from './mqtt.js';

const everyS = { type: 'integer', minimum: 1, default: 60 };
/** The settings of a pump. */
export const pumpSchema = {
  type: 'object',
  properties: {
    rpm: { type: 'integer', minimum: 0, maximum: 3000, default: 900 },
    report: {
      ...{ type: 'object', properties: { everyS }, default: { everyS: 60 }, additionalProperties: false },
    },
    site: { type: 'string' },
  },
  additionalProperties: false,
};

export interface SettingsMessage {
  digest: string;
  values: Record<string, unknown>;
}

type Check = (sent: SettingsMessage) => { code: string; message: string } | null;

/** A device that applies and reports its settings, except those for which a check returns an error. */
export class Pump {
  /** The settings that it received, in order. */
  readonly sent: SettingsMessage[] = [];
  /** Whether it answers only on request. */
  isSlow = false;
  private applied: SettingsMessage | null = null;

  private constructor(
    readonly name: string,
    private readonly client: MqttClient,
    private readonly check: Check,
  ) {}

  /** @param folder the identity, whose last part is the device's name */
  static async connect(url: string, folder: string, check: Check = () => null): Promise<Pump> {
    const client = await connectDevice(url, folder, { reconnectPeriod: 100 });
    const pump = new Pump(basename(folder), client, check);
    const topic = `aiot/v1/${pump.name}/settings`;
    client.on('message', (_topic, payload) => {
      if (payload.length === 0) return;
      pump.sent.push(JSON.parse(payload.toString()) as SettingsMessage);
      if (!pump.isSlow) void pump.answer().catch(() => {});
    });
    client.on('connect', () => void client.subscribeAsync(topic, { qos: 1 }).catch(() => {}));
    client.on('error', () => {});
    await client.subscribeAsync(topic, { qos: 1 });
    return pump;
  }

  /** Applies and reports the settings that it received last. */
  async answer(): Promise<void> {
    const last = this.sent.at(-1);
    if (!last) return;
    const error = this.check(last);
    if (!error) this.applied = last;
    const { digest = null, values } = this.applied ?? {};
    await this.tell({ digest, values, error: error && { ...error, digest: last.digest } });
  }

  async tell(settings: object): Promise<void> {
    const report = {
      ...{ t: Date.now(), type: 'pump', state: 'IDLE', rollout: null, model: null, floor: 0 },
      ...{ download: null, golden: null, error: null, settings },
    };
    const topic = `aiot/v1/${this.name}/reported`;
    await this.client.publishAsync(topic, JSON.stringify(report), { qos: 1, retain: true });
  }

  async end(): Promise<void> {
    await this.client.endAsync(true);
  }
}
