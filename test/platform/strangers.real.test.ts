import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { descriptorLimit } from '../../src/lib/platform/connections.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { startVictim, type Victim } from './kills/harness.js';

/**
 * Connections without credentials, first from few hosts and then from many, to a platform in a separate process. The test reads /proc,
 * and needs the many loopback addresses that only Linux has.
 */
const program = fileURLToPath(new URL('../support/crowd-of-strangers.mjs', import.meta.url));
type Crowd = ChildProcessByStdio<Writable, Readable, null>;

let victim: Victim;
const crowds: { child: Crowd; made: number }[] = [];
beforeAll(async () => {
  victim = await startVictim();
  const { client, folder } = victim;
  await provisionDevice({ client, name: 'pump', type: 'virtual', out: `${folder}/pump` });
}, 60_000);
afterAll(async () => {
  for (const { child } of crowds) child.kill('SIGKILL');
  await victim?.stop();
}, 60_000);

function comes(
  listener: 'http' | 'mqtts',
  kind: 'silent' | 'hello' | 'head',
  count: number,
  first: number,
  hosts: number,
) {
  const { port } = new URL(victim[listener]);
  const child: Crowd = spawn(process.execPath, [program, port, kind, `${count}`, `${first}`, `${hosts}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const crowd = { child, made: 0 };
  child.stdout.on('data', (data) => {
    crowd.made = Number(String(data).trim().split('\n').at(-1));
  });
  crowds.push(crowd);
}
async function go() {
  await Promise.all(
    crowds.splice(0).map(
      ({ child }) =>
        new Promise<void>((resolve) => {
          child.once('exit', () => resolve());
          child.kill('SIGKILL');
        }),
    ),
  );
}
const residentMiB = async () =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${victim.pid()}/status`, 'utf8'))?.[1]) / 1024;

describe.each([
  ['four hosts', 4],
  ['as many hosts as connections', 9000],
])('25,000 silent and 2,000 slow connections from %s', (_, hosts) => {
  it('do not disrupt devices and operators, and take less than 500 MiB of memory', async () => {
    // No single process may hold all connections, so three processes open silent ones and two open slow ones.
    expect(await descriptorLimit()).toBeGreaterThan(10_000);
    comes('http', 'silent', 9000, 0, hosts);
    comes('mqtts', 'silent', 8000, hosts > 4 ? 9000 : 0, hosts);
    comes('http', 'silent', 8000, hosts > 4 ? 17_000 : 0, hosts);
    comes('http', 'hello', 1000, hosts > 4 ? 25_000 : 0, hosts);
    comes('http', 'head', 1000, hosts > 4 ? 26_000 : 0, hosts);
    const device = await connectDevice(victim.mqtts, `${victim.folder}/pump`);
    const { client, ca } = victim;
    const made = () => crowds.reduce((sum, crowd) => sum + crowd.made, 0);
    await expect.poll(made, { timeout: 60_000, interval: 500 }).toBeGreaterThan(25_000);
    let most = 0;
    const slowest = { device: 0, operator: 0, newcomer: 0 };
    const timed = async (who: keyof typeof slowest, what: () => Promise<unknown>) => {
      const began = performance.now();
      await what();
      slowest[who] = Math.max(slowest[who], performance.now() - began);
    };
    const end = performance.now() + 25_000;
    for (let seq = 0; performance.now() < end; seq++) {
      const row = JSON.stringify({ seq, t: Date.now(), recording: `r${hosts}`, v: seq });
      await timed('device', () => device.publishAsync('aiot/v1/pump/telemetry/flow', row, { qos: 1 }));
      await timed('operator', () => client.devices.list());
      await timed('newcomer', async () => {
        const fresh = createClient({ url: victim.http, ca, token: victim.token });
        await fresh.status();
        await fresh.close();
        const user = await connect(victim.mqtts, { ca, username: 'u', password: victim.token });
        await user.endAsync();
      });
      most = Math.max(most, await residentMiB());
      await delay(250);
    }
    const all = made();
    await go();
    await device.endAsync();
    process.stderr.write(
      `${hosts} hosts: ${all} connections, ${most.toFixed(0)} MiB, slowest ms ${JSON.stringify(slowest)}\n`,
    );
    expect(most).toBeLessThan(500);
    expect(slowest.device).toBeLessThan(5000);
    expect(slowest.operator).toBeLessThan(5000);
    expect(slowest.newcomer).toBeLessThan(10_000);
    // After they are gone, the platform works as before.
    expect(await client.status()).toMatchObject({});
  }, 180_000);
});
