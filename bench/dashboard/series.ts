import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import type { RegistryClient } from '../../src/lib/registry/client.js';

const series = 10;
const rateHz = 100;
const batch = 10;

/** A device that sends until what is returned is called. */
export async function sendSeries(
  { client, mqtts, folder }: { client: RegistryClient; mqtts: string; folder: string },
  name: string,
): Promise<() => Promise<void>> {
  const out = join(folder, name);
  await provisionDevice({ client, name, type: 'virtual', out });
  const file = (of: string) => readFileSync(join(out, of));
  const identity = { cert: file('device.crt'), key: file('device.key'), ca: file('ca.crt') };
  const connection = await mqtt.connectAsync(mqtts, identity);
  let seq = 0;
  const timer = setInterval(
    () => {
      const columns = Object.fromEntries(
        Array.from({ length: series }, (_, c) => [
          `f${c}`,
          Array.from({ length: batch }, (_, i) => c + Math.sin((seq * batch + i) / (8 + c)) / 2),
        ]),
      );
      const message = { seq: seq++, t: Date.now() - (1000 * batch) / rateHz, rate: rateHz, ...columns };
      connection
        .publishAsync(`aiot/v1/${name}/telemetry/imu`, JSON.stringify(message), { qos: 1 })
        .catch(() => {});
    },
    (1000 * batch) / rateHz,
  );
  return async () => {
    clearInterval(timer);
    await connection.endAsync(true);
  };
}
