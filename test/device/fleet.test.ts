import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { pushConfig } from '../../src/lib/api/config/push.js';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import { pushFirmware } from '../../src/lib/api/firmware/push.js';
import {
  type RolloutRequest,
  rolloutHasEnded,
  type SignedRelease,
} from '../../src/lib/api/rollouts/schema.js';
import { releaseText } from '../../src/lib/api/rollouts/words.js';
import { arrivals, parseClock, parseLatency, parseShare } from '../../src/lib/device/fleet/network.js';
import { type FleetEvent, fleetEventSchema, simulateFleet } from '../../src/lib/device/fleet/simulate.js';
import { reportedSchema } from '../../src/lib/device/protocol/messages.js';
import type { UnsignedManifest } from '../../src/lib/formats/manifest/manifest.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { described, espApp, espImage } from '../support/esp-image.js';
import { type UpForTests, upForTests } from '../support/up.js';

const count = 24;
let own: UpForTests;
let client: RegistryClient;
let key: string;
beforeAll(async () => {
  own = await upForTests({ plainPort: 0 });
  client = await clientFor();
  key = await operatorKey((await contextFor()).name);
});
afterAll(async () => {
  await client.close();
  await own.stop();
});

/** A policy that tolerates failures. */
const borne = { waves: ['25%'], maxFailures: '100%', minSuccess: 0, attempts: 1 };

async function forEsp32(seed: number): Promise<SignedRelease> {
  const change = (manifest: UnsignedManifest) => ({ ...manifest, deviceTypes: ['esp32'] });
  const { name, version, sequence } = await pushTiny(client, key, { seed, change });
  return { kind: 'model', name, version, sequence };
}

/** Creates an image that, if `says` is set, describes its application as version 1.4.0. */
async function firmwareOf(bytes: number, says = false): Promise<SignedRelease> {
  const path = join(own.folder, `app-${bytes}.bin`);
  await writeFile(
    path,
    says
      ? espImage({ starts: described('press', '1.4.0'), bytes, address: 0x3f40_0020 })
      : espApp('esp32', bytes),
  );
  const { name, version, sequence } = await pushFirmware({ client, path, name: 'app', privatePem: key });
  return { kind: 'firmware', name, version, sequence };
}

async function configOf(sampleHz: number): Promise<SignedRelease> {
  const path = join(own.folder, 'press.json');
  await writeFile(path, JSON.stringify({ spec: 'aiot-config/1', sampleHz }));
  const about = { client, path, name: 'press', deviceTypes: ['esp32'], privatePem: key };
  const { name, version, sequence } = await pushConfig(about);
  return { kind: 'config', name, version, sequence };
}

function eventsOf(stdout: string): FleetEvent[] {
  const lines = stdout.trimEnd().split('\n');
  return lines.map((line) => fleetEventSchema.parse(JSON.parse(line)));
}

/** Runs a fleet during a rollout, and returns the results of both. */
async function under(
  releases: SignedRelease[],
  more: Partial<Parameters<typeof simulateFleet>[0]> = {},
  network: Partial<Parameters<typeof simulateFleet>[0]['network']> = {},
  afterwards: () => Promise<void> = async () => {},
  policy: RolloutRequest['policy'] = borne,
) {
  const stop = new AbortController();
  const events: FleetEvent[] = [];
  let isConnected: () => void;
  const connected = new Promise<void>((resolve) => {
    isConnected = resolve;
  });
  const fleet = simulateFleet({
    ...{
      count,
      type: 'esp32',
      template: 'sim-###',
      clock: 100,
      mutual: 0.25,
      download: 'once',
      cleanUp: false,
    },
    network: { seed: 7, loss: 0, latencyMs: [0, 0], offline: 0, failRate: 0, ...network },
    signal: stop.signal,
    onEvent: (event) => {
      events.push(event);
      if (event.event === 'connected') isConnected();
    },
    ...more,
  });
  try {
    await Promise.race([connected, fleet]);
    const { id } = await client.rollouts.start({ releases, rollback: null, selector: 'type=esp32', policy });
    await ended(id);
    const devices = await client.rollouts.devices(id);
    await afterwards();
    stop.abort();
    await fleet;
    const failed = devices.filter(({ state }) => state === 'rolledBack').map((device) => device.name);
    return { rollout: await client.rollouts.get(id), devices, failed, events };
  } finally {
    // A fleet that keeps running would take names from the next test's fleet.
    stop.abort();
    await fleet;
  }
}

/**
 * Waits until the rollout has ended or paused. After a minute, it fails and lists the devices that have not
 * finished.
 */
async function ended(id: string): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  try {
    for await (const { rollout } of client.rollouts.watch(id, { signal }))
      if (rolloutHasEnded(rollout) || rollout.state === 'paused') return;
  } catch (error) {
    if (!signal.aborted) throw error;
    const devices = await client.rollouts.devices(id);
    const open = devices.filter(({ state }) => state !== 'committed' && state !== 'rolledBack');
    throw new Error(`the rollout did not end: ${JSON.stringify(open)}`);
  }
}

describe('a fleet of simulated devices', () => {
  it('completes a rollout over a connection per device, some of them with a certificate', async () => {
    const { rollout, devices, events } = await under([await forEsp32(1)]);
    expect(rollout.state).toBe('done');
    expect(devices.map(({ times }) => Object.keys(times).sort())).toContainEqual([
      'booted',
      'committed',
      'downloaded',
      'golden',
      'offered',
      'verified',
    ]);
    // Devices with a certificate sign what they have committed.
    expect(devices.filter(({ proof }) => proof?.state === 'proven')).toHaveLength(6);
    expect(devices.filter(({ proof }) => proof?.state === 'said')).toHaveLength(18);
    expect(events[0]).toMatchObject({ event: 'enlisted', made: count, mutual: 6, plain: 18, tls: 0 });
    const last = events.at(-1);
    expect(last).toMatchObject({ event: 'stopped', online: count, downloads: 1, removed: 0 });
    expect(last).toHaveProperty('models', { [releaseText(rollout.releases[0]!)]: count });
  });

  it('runs a model as a shadow alongside the current one, and then commits it', async () => {
    const first = await forEsp32(11);
    const second = await forEsp32(12);
    await under([first], {}, {}, async () => {
      // On a busy machine, the devices of a wave can take more than a second to report.
      const shadow = { ms: 4000, minWindows: 10, maxLatency: 1000 };
      const policy = { waves: ['25%'], shadow };
      const { id } = await client.rollouts.start({ releases: [second], selector: 'type=esp32', policy });
      for await (const { rollout } of client.rollouts.watch(id))
        if (rolloutHasEnded(rollout) || rollout.state === 'paused') break;
      const { state, reason, waves } = await client.rollouts.get(id);
      expect(state, JSON.stringify(reason)).toBe('done');
      for (const wave of waves) {
        expect(wave).toMatchObject({
          committed: wave.devices,
          shadow: { passed: true, devices: wave.devices },
        });
        expect(wave.shadow!.figures).toMatchObject({ disagreements: 0, candidate: { arenaBytes: 64 } });
      }
    });
  });

  it('installs firmware, a configuration, and a model in turn, and reports the version of each', async () => {
    const faults = join(own.folder, 'power.json');
    await writeFile(faults, JSON.stringify({ devices: { 'sim-002': 'power' } }));
    const [first, second] = [await firmwareOf(4096, true), await firmwareOf(2048)];
    const reportOf = async (name: string) =>
      reportedSchema.parse((await client.devices.state(name)).reported);
    const later = async () => {
      expect(await reportOf('sim-001')).toMatchObject({
        ...{ state: 'COMMITTED', model: { name: 'tiny' }, config: { name: 'press', version: 1 } },
        firmware: { name: 'press', version: '1.4.0', release: { name: 'app', version: first.version } },
      });
      // The next program boots like the first one, even on devices whose power was cut in between.
      const request = { releases: [second], selector: 'type=esp32', policy: borne };
      const { id } = await client.rollouts.start(request);
      for await (const { rollout } of client.rollouts.watch(id)) if (rolloutHasEnded(rollout)) break;
      const devices = await client.rollouts.devices(id);
      expect(devices.map(({ state }) => state)).toEqual(devices.map(() => 'committed'));
      const signed = devices.find(({ proof }) => proof?.state === 'proven')?.proof?.signed;
      const said = JSON.parse(Buffer.from(signed?.payload ?? '', 'base64').toString());
      expect(said).toMatchObject({ kind: 'firmware', release: { version: second.version }, golden: null });
      expect((await reportOf('sim-002')).firmware).toMatchObject({
        ...{ name: 'app', version: String(second.version), release: { version: second.version } },
      });
    };
    const releases = [first, await configOf(100), await forEsp32(21)];
    const { rollout, devices, events } = await under(releases, { faults }, { latencyMs: [1, 20] }, later);
    expect(rollout, JSON.stringify(rollout.reason)).toMatchObject({ state: 'done', reason: null });
    expect(devices.filter(({ proof }) => proof?.state === 'proven')).toHaveLength(6);
    expect(events.at(-1)).toMatchObject({
      firmware: { [`app@${second.version}`]: count },
      ...{ configs: { 'press@1': count }, online: count },
    });
  });

  it('pauses a rollout of bad firmware in its first wave, and keeps the devices’ previous state', async () => {
    const policy = { waves: ['25%'], maxFailures: '1%' };
    const bad = { failRate: 1 };
    const { rollout, failed, devices, events } = await under(
      [await firmwareOf(8192)],
      ...[{}, bad, async () => {}, policy],
    );
    expect(rollout).toMatchObject({ state: 'paused', reason: { code: 'AIOT_ROLLOUT_FAILURES' } });
    expect(failed.length).toBeGreaterThan(0);
    expect(devices.filter(({ state }) => state === 'pending').length).toBeGreaterThanOrEqual(count * 0.75);
    expect(devices.find(({ name }) => name === failed[0])).toMatchObject({
      error: { code: 'AIOT_UPDATE_TRIAL', message: "the program's self-test failed" },
    });
    expect(events.at(-1)).toMatchObject({ firmware: { none: count } });
    await client.rollouts.command(rollout.id, 'abort');
  });

  it('reuses its names, and fails the same devices with the same seed', async () => {
    const bad = { failRate: 0.3, latencyMs: [1, 40] as const, loss: 0.1 };
    const first = await under([await forEsp32(2)], {}, bad);
    expect(first.events[0]).toMatchObject({ made: 0 });
    expect(first.rollout.state).toBe('partly');
    expect(first.failed.length).toBeGreaterThan(0);
    const second = await under([await forEsp32(3)], { download: 'all' }, bad);
    expect(second.failed).toEqual(first.failed);
    // A fleet starts blank, so its devices receive their previous desired state again.
    const last = second.events.at(-1);
    expect(last?.event === 'stopped' && last.downloads).toBeGreaterThanOrEqual(count);
    const other = await under([await forEsp32(4)], {}, { ...bad, seed: 8 });
    expect(other.failed).not.toEqual(first.failed);
  });

  it('simulates devices that disconnect and reconnect, and faults on named devices', async () => {
    const faults = join(own.folder, 'faults.json');
    const devices = { 'sim-001': 'golden', 'sim-002': 'power', 'sim-003': 'download' };
    await writeFile(faults, JSON.stringify({ devices }));
    const { devices: told } = await under([await forEsp32(5)], { faults, clock: 600 }, { offline: 0.3 });
    const stateOf = (name: string) => told.find((device) => device.name === name);
    expect(stateOf('sim-001')).toMatchObject({
      state: 'rolledBack',
      error: { code: 'AIOT_GOLDEN_MISMATCH' },
    });
    expect(stateOf('sim-002')).toMatchObject({ state: 'committed' });
    expect(stateOf('sim-003')).toMatchObject({ state: 'failed', error: { code: 'AIOT_UPDATE_DOWNLOAD' } });
    expect(told.filter(({ state }) => state === 'committed')).toHaveLength(count - 2);
  });

  it('reports vitals, with a low battery and a crash on named devices, which need attention', async () => {
    const faults = join(own.folder, 'unwell.json');
    await writeFile(faults, JSON.stringify({ devices: { 'sim-001': 'battery', 'sim-002': 'crash' } }));
    const causesOf = async (name: string) =>
      (await client.attention.get(name)).causes.map(({ code, message }) => `${code}: ${message}`).join();
    const slow = { timeout: 30_000 };
    const later = async () => {
      await expect
        .poll(async () => (await client.crashes.list({ selector: 'sim-002' })).groups, slow)
        .toMatchObject([{ reason: 'simulated crash, a fault of the fleet', kind: 'exception' }]);
      await expect
        .poll(() => causesOf('sim-002'), slow)
        .toMatch(/restarting: .*its last restart was a crash of its firmware/);
      await expect.poll(() => causesOf('sim-001'), slow).toContain('battery-empty: its battery is at 3 %');
      expect(await causesOf('sim-003')).not.toMatch(/battery|crash/);
      const { vitals } = reportedSchema.parse((await client.devices.state('sim-003')).reported);
      expect(vitals).toMatchObject({ boot: { reason: 'power-on' }, queue: { dropped: 0 } });
      expect(vitals?.uptimeMs).toBeGreaterThanOrEqual(0);
      expect(vitals?.battery).toBeUndefined();
    };
    const policy = { ...borne, waves: ['100%' as const], maxFailures: 0, soakMs: 600_000 };
    const { rollout } = await under([await forEsp32(31)], { faults }, {}, later, policy);
    expect(rollout).toMatchObject({ state: 'paused', waves: [{ crashed: 1 }] });
    expect(rollout.reason?.message).toMatch(/^1 of 24 devices of wave 1 crashed after the update/);
    await client.rollouts.command(rollout.id, 'abort');
  });

  it('is started by a command that prints JSON lines and removes the devices it created', async () => {
    const { stdout, code } = await runCli([
      ...['fleet', 'simulate', '--count', '5', '--type', 'esp32', '--template', 'press-##,site=lab'],
      ...['--fail-rate', '0.02', '--latency', '1..2ms', '--clean-up', '--for', '200ms', '--json'],
    ]);
    expect(code).toBe(0);
    const events = eventsOf(stdout);
    expect(events[0]).toMatchObject({ event: 'enlisted', devices: 5, made: 5 });
    expect(events.at(-1)).toMatchObject({ event: 'stopped', removed: 5 });
    expect(await client.devices.list('site=lab')).toEqual([]);
  });

  it('rejects the name of a device that is not simulated', async () => {
    await runCli(['device', 'provision', 'real-1', '--type', 'esp32', '--out', join(own.folder, 'real-1')]);
    const { json } = await runCli([
      ...['fleet', 'simulate', '--count', '2', '--type', 'esp32', '--template', 'real-#', '--json'],
    ]);
    expect(json).toMatchObject({ error: { code: 'AIOT_ALREADY_EXISTS', subject: 'device' } });
    expect((await client.devices.get('real-1')).tags).toEqual({});
  });

  it('leaves the devices of a running fleet alone, and reuses them after it ends', async () => {
    const first = new AbortController();
    let running = Promise.resolve();
    await new Promise<void>((resolve, reject) => {
      running = simulateFleet({
        ...{
          count: 3,
          type: 'twice',
          template: 'twice-#',
          clock: 1,
          mutual: 0,
          download: 'once',
          cleanUp: false,
        },
        network: { seed: 1, loss: 0, latencyMs: [0, 0], offline: 0, failRate: 0 },
        signal: first.signal,
        onEvent: ({ event }) => event === 'connected' && resolve(),
      });
      running.catch(reject);
    });
    const again = [
      'fleet',
      'simulate',
      '--count',
      '3',
      '--type',
      'twice',
      '--template',
      'twice-#',
      '--for',
      '1s',
    ];
    const { code, json } = await runCli([...again, '--json']);
    expect({ code, json }).toMatchObject({ code: 1, json: { error: { code: 'AIOT_DEVICE_ONLINE' } } });
    expect((await client.devices.list('online=true and name~twice-*')).length).toBe(3);

    first.abort();
    await running;
    const { code: then, stderr } = await runCli([...again, '--json']);
    expect(then, stderr).toBe(0);
  });
});

it('a simulated link delivers a delayed message before those sent after it, however late its timer is', async () => {
  const delays = [5, 0, 0];
  const came: number[] = [];
  const deliver = arrivals(() => delays.shift()!);
  deliver(() => came.push(1));
  // Blocks the event loop until the first message is overdue.
  for (const until = performance.now() + 20; performance.now() < until; );
  deliver(() => came.push(2));
  deliver(() => came.push(3));
  await expect.poll(() => came).toEqual([1, 2, 3]);
});

it('the fleet options are parsed as shares, latencies, and clocks, and errors name the expected form', () => {
  expect(parseShare('loss', '5%')).toBe(0.05);
  expect(parseShare('loss', '0.02')).toBe(0.02);
  expect(parseLatency('20..200ms')).toEqual([20, 200]);
  expect(parseLatency('50ms')).toEqual([50, 50]);
  expect(parseClock('x60')).toBe(60);
  expect(() => parseShare('loss', '500%')).toThrow('--loss: expected a fraction');
  expect(() => parseLatency('2..1s')).toThrow('the lower bound first');
  for (const wrong of ['x', '20', '1..x'])
    expect(() => parseLatency(wrong)).toThrow(/^--latency: expected a time/);
  expect(() => parseClock('fast')).toThrow('expected a factor');
});
