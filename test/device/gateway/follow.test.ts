import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type FollowEvent, followRollouts } from '../../../src/lib/device/gateway/follow.js';
import { SimulatedMcuboot, simulatedImage } from '../../../src/lib/flash/smp/simulated.js';
import { runCli } from '../../support/cli.js';
import { anyBundle, ddiClient, pushBundle, rollOut } from '../../support/ddi.js';
import { type TestPlatform, testPlatform } from '../../support/platform.js';
import { rolloutEnd, rolloutNow } from '../../support/rollout.js';
import { type SmpServer, serveUdp } from '../../support/smp-server.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-follow-'));
const at = (name: string) => join(folder, name);
let own: TestPlatform;
let count = 0;
const servers: SmpServer[] = [];
beforeAll(async () => {
  own = await testPlatform();
  writeFileSync(at('ca.pem'), own.ca);
});
afterAll(async () => {
  await own.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

/** A registered board, and a rollout of an image to it. */
async function offered(image: Uint8Array, options: ConstructorParameters<typeof SimulatedMcuboot>[0] = {}) {
  const device = new SimulatedMcuboot({ resetDelayMs: 20, startMs: 20, ...options });
  const server = await serveUdp(device);
  servers.push(server);
  const client = await ddiClient(own, `board-${++count}`, 'zephyr');
  const release = await pushBundle(own, `zephyr-${count}`, Buffer.from(image), ['zephyr']);
  const rollout = await rollOut(own, release, `name=${client.name}`);
  writeFileSync(at(client.name), client.secret);
  const args = ['--port', server.port, '--url', own.platform.urls.http, '--ca', at('ca.pem')];
  const timing = ['--timeout', '300ms', '--soak', '0s', '--restart', '2s', '--once', '--json'];
  const follow = (...more: string[]) =>
    runCli(['board', 'image', 'follow', client.name, ...args, ...timing, ...more]);
  return {
    device,
    server,
    client,
    rollout,
    follow: (...more: string[]) => follow('--token-file', at(client.name), ...more),
    raw: follow,
  };
}

const eventsOf = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as FollowEvent);

describe('aiot board image follow', () => {
  it('installs the image of a rollout, which counts as committed when the board runs it', async () => {
    const { device, follow, rollout } = await offered(simulatedImage('2.0.0'));
    const { code, stdout } = await follow();
    expect({ code, stdout }).toMatchObject({ code: 0 });
    const events = eventsOf(stdout);
    expect(events.filter(({ event }) => event !== 'step')).toMatchObject([
      { event: 'offered', bytes: simulatedImage('2.0.0').length },
      { event: 'installed', version: '2.0.0', before: '1.0.0' },
      { event: 'ended', polls: 1, installed: 1, failed: 0 },
    ]);
    device.start();
    expect(device.version).toBe('2.0.0');
    expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({
      state: 'done',
      devices: [{ state: 'committed' }],
    });
    expect(eventsOf((await follow()).stdout)).toMatchObject([{ event: 'ended', installed: 0 }]);
  });

  it('reports an image that MCUboot reverts as failed, with the reason', async () => {
    const { device, follow, rollout } = await offered(simulatedImage('2.0.0'), { crashing: ['2.0.0'] });
    const events = eventsOf((await follow()).stdout);
    expect(events.find(({ event }) => event === 'failed')).toMatchObject({ code: 'AIOT_FLASH_UNHEALTHY' });
    device.start();
    expect(device.version).toBe('1.0.0');
    const [state] = (await rolloutEnd(own.client, rollout.id)).devices;
    expect(state).toMatchObject({ state: 'failed', error: { code: 'AIOT_DDI_FAILED' } });
    expect(JSON.stringify(state)).toContain('MCUboot reverted to 1.0.0');
  });

  it('reports a file that is not an image as failed, before it reaches the board', async () => {
    const { device, follow, rollout } = await offered(anyBundle());
    expect((await follow()).code).toBe(0);
    expect(device.events).toEqual(['started 1.0.0']);
    expect((await rolloutEnd(own.client, rollout.id)).devices).toMatchObject([{ state: 'failed' }]);
  });

  it('tries again if the board was off, or lost its power during the upload', async () => {
    const { device, server, client, rollout, follow } = await offered(simulatedImage('2.0.0'));
    await server.close();
    servers.splice(0);
    const away = await follow();
    expect(away).toMatchObject({ code: 1, json: { error: { code: 'AIOT_SMP_SILENT' } } });
    const [state] = (await rolloutNow(own.client, rollout.id)).devices;
    expect(state?.state).not.toBe('failed');
    let power = false;
    const back = await serveUdp(device, () => (power ? 1 : 0));
    servers.push(back);
    device.powerFailsIn = 1;
    const abort = new AbortController();
    const events: FollowEvent[] = [];
    await followRollouts({
      ...{ name: client.name, url: own.platform.urls.http, ca: own.ca, once: false, signal: abort.signal },
      token: { scheme: 'TargetToken', value: client.secret },
      board: { port: back.port, baud: 115_200, timeoutMs: 300 },
      ...{ soakMs: 0, restartMs: 2000 },
      clock: {
        now: Date.now,
        sleep: async () => {
          power = true;
        },
      },
      onEvent: (event) => {
        events.push(event);
        if (event.event === 'installed') abort.abort();
      },
    }).catch((error: unknown) => {
      if (!abort.signal.aborted) throw error;
    });
    const told = events.map(({ event }) => event);
    expect(told).toContain('postponed');
    expect(told.at(-2)).toBe('installed');
    expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({ devices: [{ state: 'committed' }] });
  });

  it('confirms a cancellation', async () => {
    const { client, follow, rollout, device } = await offered(simulatedImage('2.0.0'));
    // The offer was seen, but not carried out.
    const id = await client.offered();
    await client.call(`/deploymentBase/${id}`);
    await own.client.rollouts.command(rollout.id, 'abort');
    expect(eventsOf((await follow()).stdout)).toMatchObject([
      { event: 'canceled', action: id },
      { event: 'ended' },
    ]);
    expect((await rolloutEnd(own.client, rollout.id)).devices).toMatchObject([{ state: 'withdrawn' }]);
    expect(device.version).toBe('1.0.0');
  });

  it('accepts the token of a gateway, and rejects others', async () => {
    const { raw } = await offered(simulatedImage('2.0.0'));
    const { token } = await own.client.tokens.create({
      name: `smp-${count}`,
      role: 'ci',
      scopes: ['ddi:gateway'],
    });
    writeFileSync(at('gateway'), token);
    expect(eventsOf((await raw('--token-file', at('gateway'), '--gateway')).stdout).at(-1)).toMatchObject({
      installed: 1,
    });
    writeFileSync(at('wrong'), 'x'.repeat(32));
    const wrong = await raw('--token-file', at('wrong'));
    expect(wrong).toMatchObject({ json: { error: { code: 'AIOT_TOKEN_INVALID' } } });
    const none = await raw();
    expect(none).toMatchObject({ code: 2, json: { error: { code: 'AIOT_USAGE' } } });
  });
});
