import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rollout, rolloutHasEnded } from '../../../src/lib/api/rollouts/schema.js';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import type { Desired, Reported } from '../../../src/lib/device/protocol/messages.js';
import { provisionDevice } from '../../../src/lib/provision/provision.js';
import { pushTiny } from '../../support/bundle.js';
import { connectDevice } from '../../support/mqtt.js';
import { Pump, pumpSchema } from '../../support/pump.js';
import { startVictim, type Victim } from './harness.js';

/** The number of kills during each rollout, and the number of rollouts; AIOT_LONG=1 runs a hundred kills. */
const [kills, rollouts] = [4, process.env.AIOT_LONG ? 25 : 1];
const names = Array.from({ length: 12 }, (_, i) => `dev-${String(i).padStart(2, '0')}`);

/** A device that installs each offer once, and reports its state after each connection. */
class Taker {
  /** The rollouts that the device started, in order. */
  readonly begun: string[] = [];
  private state: Pick<Reported, 'state' | 'rollout' | 'model' | 'golden'> = {
    ...{ state: 'IDLE', rollout: null, model: null, golden: null },
  };
  private constructor(
    readonly name: string,
    private readonly client: MqttClient,
    private readonly order: string[],
  ) {}

  static async connect(victim: Victim, name: string, order: string[]): Promise<Taker> {
    const client = await connectDevice(victim.mqtts, join(victim.folder, name), { reconnectPeriod: 100 });
    const taker = new Taker(name, client, order);
    client.on('message', (_topic, payload) => {
      if (payload.length > 0) void taker.take(JSON.parse(payload.toString('utf8')) as Desired);
    });
    const begin = async () => {
      await client.subscribeAsync(`aiot/v1/${name}/desired`, { qos: 1 });
      await taker.report();
    };
    client.on('connect', () => void begin().catch(() => {}));
    client.on('error', () => {});
    await begin();
    return taker;
  }

  end(): Promise<void> {
    return this.client.endAsync(true);
  }

  private async take({ rollout, name, version, sequence }: Desired): Promise<void> {
    // A rollout that was started or completed is not started again.
    if (this.state.rollout === rollout) return;
    this.begun.push(rollout);
    this.state = { ...this.state, rollout, state: 'DOWNLOADING', golden: null };
    await this.report();
    await delay(20);
    this.order.push(this.name);
    const model = { name, version, sequence, digest: `sha256:${'0'.repeat(64)}` };
    this.state = { rollout, model, state: 'COMMITTED', golden: { vectors: 3, passed: 3 } };
    await this.report();
  }

  private async report(): Promise<void> {
    const rest = { t: Date.now(), type: 'virtual', floor: 0, download: null, error: null };
    const message = JSON.stringify({ ...rest, ...this.state });
    await this.client
      .publishAsync(`aiot/v1/${this.name}/reported`, message, { qos: 1, retain: true })
      .catch(() => {});
  }
}

let victim: Victim;
const takers: Taker[] = [];
const order: string[] = [];
beforeAll(async () => {
  victim = await startVictim();
  for (const name of names) {
    const out = join(victim.folder, name);
    await provisionDevice({ client: victim.client, name, type: 'virtual', out });
  }
  for (let seed = 0; seed < rollouts; seed++) await pushTiny(victim.client, victim.key, { seed });
  for (const name of names) takers.push(await Taker.connect(victim, name, order));
}, 120_000);
afterAll(async () => {
  for (const taker of takers) await taker.end();
  await victim?.stop();
});

describe('a rollout whose platform is killed at any moment', () => {
  it('resumes: no device is skipped or started twice, and no wave opens early', {
    timeout: 60_000 + rollouts * kills * 20_000,
  }, async () => {
    const random = seededRandom(Number(process.env.AIOT_SEED ?? 1));
    for (let version = 1; version <= rollouts; version++) {
      const { sequence } = await victim.client.models.get('tiny', version);
      const releases = [{ kind: 'model' as const, name: 'tiny', version, sequence }];
      const policy = { waves: [1, '25%', '50%'], perMinute: null };
      const { waves } = await victim.client.rollouts.plan({ releases, selector: 'all', policy });
      order.length = 0;
      const { id } = await victim.client.rollouts.start({ releases, selector: 'all', policy });
      for (let kill = 0; kill < kills; kill++) {
        await delay(Math.floor(random() * 250));
        await victim.kill();
        await victim.start();
      }
      const ended = await end(id);
      expect(ended).toMatchObject({
        state: 'done',
        waves: waves.map(({ length }) => ({ state: 'passed', devices: length, committed: length })),
      });
      for (const { name, begun } of takers) {
        expect(
          begun.filter((wish) => wish.startsWith(id)),
          name,
        ).toEqual([id]);
      }
      expect(order).toHaveLength(names.length);
      let from = 0;
      for (const wave of waves) {
        expect(order.slice(from, from + wave.length).sort()).toEqual([...wave].sort());
        from += wave.length;
      }
      expect(ended.runs).toEqual([{ name: 'tiny', version, devices: names.length }]);
      const history = await victim.client.rollouts.devices(id);
      expect(history.every(({ offers }) => offers === 1)).toBe(true);
    }
  });
});

describe('a rollout of settings whose platform is killed at any moment', () => {
  const [pumps, known] = [[] as Pump[], ['pump-0', 'pump-1', 'pump-2', 'pump-3', 'pump-4', 'pump-5']];
  beforeAll(async () => {
    await victim.client.settings.apply({
      ...{ project: 'pumps', settings: [{ type: 'pump', schema: pumpSchema }] },
    });
    for (const name of known) {
      const out = join(victim.folder, name);
      await provisionDevice({ client: victim.client, name, type: 'pump', out });
      await victim.client.settings.change(name, { set: { site: name } });
      pumps.push(await Pump.connect(victim.mqtts, out));
    }
  }, 120_000);
  afterAll(async () => {
    for (const pump of pumps) await pump.end();
  });

  it('changes each device, in the order of the waves, and returns all of them to their own former values', {
    timeout: 60_000 + 2 * rollouts * kills * 20_000,
  }, async () => {
    const random = seededRandom(Number(process.env.AIOT_SEED ?? 1));
    const under = async (id: string) => {
      for (let kill = 0; kill < kills; kill++) {
        await delay(Math.floor(random() * 250));
        await victim.kill();
        await victim.start();
      }
      return end(id);
    };
    for (let round = 0; round < rollouts; round++) {
      const rpm = 1000 + round;
      const change = { set: { rpm }, unset: ['site'] };
      const { id } = await victim.client.rollouts.start({
        releases: [{ kind: 'settings', name: 'pump', change }],
        ...{ selector: 'type=pump', policy: { waves: [1, '50%', '100%'] } },
      });
      expect(await under(id)).toMatchObject({
        state: 'done',
        waves: [1, 2, 3].map((committed) => ({ committed })),
      });
      for (const pump of pumps) expect(pump.sent.at(-1)?.values).toMatchObject({ rpm });
      for (const name of known) expect((await victim.client.settings.of(name)).own).toEqual({ rpm });
      await victim.client.rollouts.rollback(id);
      expect(await under(id)).toMatchObject({ state: 'rolledBack' });
      for (const name of known) {
        const { own, state } = await victim.client.settings.of(name);
        expect({ own, state }, name).toEqual({ own: { site: name }, state: 'same' });
      }
    }
  });
});

async function end(id: string) {
  let rollout: Rollout | undefined;
  for (let waited = 0; waited < 30_000; waited += 100) {
    rollout = await victim.client.rollouts.get(id);
    if (rolloutHasEnded(rollout)) break;
    await delay(100);
  }
  return victim.client.rollouts.get(id);
}
