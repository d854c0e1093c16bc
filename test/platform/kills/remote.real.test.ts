import { connect as connectTo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../../src/lib/api/client.js';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { type AgentEvent, runAgent } from '../../../src/lib/device/remote/agent.js';
import { copyFile, type ForwardEvent, forwardPort } from '../../../src/lib/device/remote/operate.js';
import { provisionDevice } from '../../../src/lib/provision/provision.js';
import { startVictim, type Victim } from './harness.js';

/** The number of kills; AIOT_LONG=1 runs more. */
const rounds = process.env.AIOT_LONG ? 60 : 3;

let victim: Victim;
beforeAll(async () => {
  victim = await startVictim();
}, 60_000);
afterAll(() => victim?.stop());

describe('a platform killed while devices are accessed remotely', () => {
  it('is reached again by agents and forwarded ports, and audits each session once', {
    timeout: 60_000 + rounds * 30_000,
  }, async () => {
    const random = seededRandom(Number(process.env.AIOT_SEED ?? 1));
    await provisionDevice({ client: victim.client, name: 'pi', type: 'pi', out: join(victim.folder, 'pi') });
    const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const { port } = echo.address() as { port: number };
    const ending = new AbortController();
    const { signal } = ending;
    const agentEvents: AgentEvent[] = [];
    const agent = runAgent({
      ...{ identityDir: join(victim.folder, 'pi'), allow: [`forward=${port}`, 'copy=/etc'] },
      ...{ onEvent: (event: AgentEvent) => agentEvents.push(event), signal },
    });
    const connections = () => agentEvents.filter(({ event }) => event === 'connected').length;
    await expect.poll(connections, { timeout: 20_000 }).toBe(1);
    const client = createClient({ url: victim.http, ca: victim.ca, token: victim.token });
    const events: ForwardEvent[] = [];
    const forwarding = forwardPort({
      ...{ client, device: 'pi', ports: { local: 0, host: '127.0.0.1', port }, forMs: 3_600_000 },
      ...{ onEvent: (event: ForwardEvent) => events.push(event), signal },
    });
    forwarding.catch(() => {});
    try {
      await expect.poll(() => events.at(-1)?.event, { timeout: 20_000 }).toBe('listening');
      const local = Number(events[0]?.from.split(':')[1]);
      const echoed = (text: string) =>
        new Promise<string>((resolve, reject) => {
          const socket = connectTo(local, '127.0.0.1', () => socket.write(text));
          socket.once('data', (data) => {
            socket.destroy();
            resolve(String(data));
          });
          socket.once('close', () => reject(new Error('the connection ended')));
          socket.once('error', reject);
        });
      let copied = 0;
      let stopped = false;
      // Short sessions, so that kills also happen while a session opens or ends.
      const copying = (async () => {
        for (; !stopped; copied++)
          await copyFile({
            ...{ client, from: 'pi:/etc/hostname', to: join(victim.folder, 'copy'), forMs: 10_000, signal },
          }).catch(() => delay(50));
      })();
      for (let round = 1; round <= rounds; round++) {
        expect(await echoed(`round ${round}`)).toBe(`round ${round}`);
        await delay(200 + random() * 600);
        await victim.kill();
        await victim.start();
        const resumed = () => events.filter(({ event }) => event === 'resumed').length;
        await expect.poll(resumed, { timeout: 25_000 }).toBe(round);
        await expect.poll(connections).toBe(round + 1);
      }
      stopped = true;
      await copying;
      expect(copied).toBeGreaterThan(rounds);
    } finally {
      ending.abort();
      await forwarding.catch(() => {});
      await agent;
      await client.close();
      echo.close();
    }
    const sessions = async (type: 'device.remote' | 'device.remote-ended') =>
      (await victim.client.events.page({ types: [type], limit: 1000 })).events
        .map(({ data }) => String(data.session))
        .sort();
    await expect
      .poll(async () => (await sessions('device.remote-ended')).length, { timeout: 10_000 })
      .toBe((await sessions('device.remote')).length);
    const opened = await sessions('device.remote');
    expect(await sessions('device.remote-ended')).toEqual(opened);
    expect(new Set(opened).size).toBe(opened.length);
    const killed = (await victim.client.events.page({ types: ['device.remote-ended'], limit: 1000 })).events;
    const reasons = killed.map(({ data }) => data.reason);
    expect(
      reasons.filter((reason) => reason === 'the platform stopped unexpectedly').length,
    ).toBeGreaterThanOrEqual(rounds);
  });
});
