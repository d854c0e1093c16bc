// Costs of one `aiot up` with fleets of different sizes: memory, CPU time and disk space. All devices stay connected over TLS, and the fleet
// sends one telemetry message a minute for each device. The messages are published by eight connections, because simulated devices have no
// sensors. Usage: npx tsx bench/scale/one-machine.ts [DEVICES…], by default 10 1000 10000. For docs/background/scale.md.
import { mkdtempSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { createClient } from '../../src/lib/api/client.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connectDevice } from '../../test/support/mqtt.js';
import { startFleetProcess } from '../fleet/fleet.js';
import { cpuSeconds, machine, memoryOf, mostMemoryOf } from '../harness/process.js';
import { tidyAtEnd } from '../harness/tidy.js';
import { startPlatformProcess } from '../platform/process.js';

const publishers = 8;
const measuredMs = 60_000;

interface Cost {
  devices: number;
  messagesPerSecond: number;
  /** Memory of the platform's process while the devices only stay connected and send, and its peak since the start, MB. */
  memory: number;
  peak: number;
  /** Share of one core, in percent: without and with telemetry. */
  idle: number;
  busy: number;
  /** Growth of the telemetry database by message, bytes. */
  bytes: number;
}

async function costOf(devices: number): Promise<Cost> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
  tidyAtEnd(folder);
  const platform = await startPlatformProcess(folder);
  const pid = platform.child.pid as number;
  const ca = readFileSync(platform.ca, 'utf8');
  const client = createClient({ url: platform.urls.http, ca, token: platform.token });
  const fleet = await startFleetProcess(folder, ['--count', String(devices)]);
  const clients: MqttClient[] = [];
  for (let i = 0; i < publishers; i++) {
    const out = join(folder, `publisher-${i}`);
    await provisionDevice({ client, name: `publisher-${i}`, type: 'virtual', out });
    clients.push(await connectDevice(platform.urls.mqtts, out));
  }
  // Registration and connection are not part of the measurement.
  await delay(10_000);
  const share = async (work: () => Promise<unknown>) => {
    const [before, begun] = [cpuSeconds(pid), performance.now()];
    await work();
    return (100 * (cpuSeconds(pid) - before)) / ((performance.now() - begun) / 1000);
  };
  const idle = await share(() => delay(measuredMs / 2));
  const perSecond = devices / 60;
  const telemetry = join(folder, 'platform', 'telemetry.db');
  const size = (await stat(telemetry)).size;
  let sent = 0;
  const busy = await share(async () => {
    const begun = performance.now();
    for (let now = 0; now < measuredMs; now = performance.now() - begun) {
      const due = Math.floor((now / 1000) * perSecond) - sent;
      await Promise.all(Array.from({ length: due }, () => publish(clients, sent++)));
      await delay(20);
    }
  });
  const [memory, peak] = [memoryOf(pid), mostMemoryOf(pid)];
  for (const one of clients) await one.endAsync(true);
  await fleet.stop();
  await client.close();
  // The platform moves the write-ahead log into the file when it stops.
  await platform.stop();
  const bytes = ((await stat(telemetry)).size - size) / sent;
  return { devices, messagesPerSecond: perSecond, memory, peak, idle, busy, bytes };
}

/** Publishes one sample with four fields, and resolves when it is acknowledged. */
async function publish(clients: readonly MqttClient[], seq: number): Promise<void> {
  const at = seq % publishers;
  const sample = {
    seq,
    t: Date.now(),
    rate: 1,
    recording: 'r',
    x: Math.sin(seq),
    y: Math.cos(seq),
    z: seq / 7,
    v: 3.3,
  };
  await clients[at]?.publishAsync(`aiot/v1/publisher-${at}/telemetry/scale`, JSON.stringify(sample), {
    qos: 1,
  });
}

const sizes = process.argv.slice(2).map(Number);
console.log(JSON.stringify(machine()));
for (const devices of sizes.length > 0 ? sizes : [10, 1000, 10_000]) {
  const { messagesPerSecond, memory, peak, idle, busy, bytes } = await costOf(devices);
  const columns = [
    `${devices} devices, ${messagesPerSecond.toFixed(1)} messages/s`,
    `${memory.toFixed(0)} MB (peak ${peak.toFixed(0)} MB)`,
    `${idle.toFixed(2)} % of a core idle, ${busy.toFixed(2)} % with telemetry`,
    `${bytes.toFixed(0)} bytes a message`,
  ];
  console.log(columns.join('; '));
}
