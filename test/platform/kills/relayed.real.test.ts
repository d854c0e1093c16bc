import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { type KafkaBroker, kcat, startKafka } from '../../support/kafka.js';
import { connect } from '../../support/mqtt.js';
import { type NatsServer, natsClient, startNats } from '../../support/nats.js';
import { describeReal } from '../../support/real.js';
import { stateLoad } from './api-loads.js';
import { guideDataLoad } from './guide-loads.js';
import { killUnder, type Load, startVictim, type Victim } from './harness.js';
import { publishUntilGone, telemetryLoad } from './mqtt-loads.js';

/** The number of kills; AIOT_LONG=1 runs more. */
const rounds = process.env.AIOT_LONG ? 60 : 2;
const random = seededRandom(Number(process.env.AIOT_SEED ?? 3));
const moments = Array.from({ length: rounds }, () => ({ waitMs: 700 + Math.floor(random() * 1500) }));
const timeout = rounds * 45_000 + 90_000;

/**
 * Publishes telemetry as an operator. Acknowledged values are added to `owed`, the values that the
 * destination must receive.
 */
function relayedLoad(owed: Set<number>): Load {
  let seq = 0;
  return {
    name: 'relayed telemetry',
    async run({ mqtts, ca, token }, signal) {
      const client = await connect(mqtts, { ca, username: 'operator', password: token }).catch(() => null);
      if (!client) return;
      const next = () => {
        const value = ++seq;
        const payload = { t: value, seq: value, recording: 'r', rateHz: 10, fields: { x: [value] } };
        return {
          topic: 'aiot/v1/relayed/telemetry/imu',
          payload: JSON.stringify(payload),
          acknowledged: () => owed.add(value),
        };
      };
      await publishUntilGone(client, signal, next, 10);
    },
    async verify() {},
    acknowledged: () => owed.size,
  };
}

/** The distinct values, in the order of their first arrival. */
const firsts = (values: readonly number[]) => [...new Set(values)];

describeReal('nats', 'a platform killed while it relays to NATS', () => {
  let nats: NatsServer;
  let victim: Victim;
  beforeAll(async () => {
    nats = await startNats();
    victim = await startVictim({ engines: { events: nats.url } });
  }, 60_000);
  afterAll(async () => {
    await victim?.stop();
    await nats?.stop();
  });

  it('delivers all acknowledged messages and all events in order', { timeout }, async () => {
    const owed = new Set<number>();
    await killUnder(victim, [telemetryLoad(1), stateLoad(), relayedLoad(owed)], moments);
    // Denied attempts are recorded up to a second later, so later events than these may still arrive.
    const { last: recorded } = await victim.client.events.page({ from: 'now' });
    const behind = async () => {
      const { relay } = await victim.client.status();
      return (relay?.telemetry.waitingSince ?? 0) + (relay?.events.behind ?? 1);
    };
    await expect.poll(behind, { timeout: 30_000, interval: 200 }).toBe(0);
    const peer = await natsClient(nats);
    const stream = await peer.jetstream().streams.get('AIOT');
    const { last_seq: last } = (await stream.info()).state;
    const telemetry: number[] = [];
    const events: number[] = [];
    const consumer = await stream.getConsumer();
    for await (const message of await consumer.consume()) {
      const { payload, id, device } = message.json() as {
        payload?: { seq: number };
        id?: number;
        device?: string;
      };
      if (message.subject === 'aiot.events') events.push(id ?? 0);
      else if (device === 'relayed') telemetry.push(payload?.seq ?? 0);
      if (message.seq === last) break;
    }
    await peer.close();
    const there = new Set(telemetry);
    expect([...owed].filter((value) => !there.has(value))).toEqual([]);
    expect(firsts(telemetry)).toEqual([...there].sort((a, b) => a - b));
    const told = firsts(events);
    expect(told).toEqual(told.map((_, i) => i + 1));
    expect(recorded).toBeGreaterThan(0);
    expect(told.length).toBeGreaterThanOrEqual(recorded);
  });
});

describeReal('kafka', 'a platform killed while it relays the guide’s data to Kafka', () => {
  let kafka: KafkaBroker;
  let victim: Victim;
  beforeAll(async () => {
    kafka = await startKafka();
    const engines = { events: `kafka://${kafka.address}` };
    victim = await startVictim({ compat: ['architects-guide'], compatMaxRows: 20, engines });
  }, 120_000);
  afterAll(async () => {
    await victim?.stop();
    await kafka?.stop();
  });

  it('delivers all acknowledged data', { timeout }, async () => {
    const owed = new Set<number>();
    const load = guideDataLoad((value) => owed.add(value));
    // The rows are read from Kafka here; the load's own check of files runs in doors.real.test.ts.
    await killUnder(victim, [{ ...load, verify: async () => {} }], moments);
    const lost = () => {
      const there = kcat(kafka.address, 'shaded-pole-motor-sensor_data', '%s\n');
      const values = new Set([...there.matchAll(/"current": (\d+)/g)].map(([, value]) => Number(value)));
      return [...owed].filter((value) => !values.has(value));
    };
    await expect.poll(lost, { timeout: 30_000, interval: 500 }).toEqual([]);
    expect(owed.size).toBeGreaterThan(0);
  });
});
