import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { verifyBrokerLog } from '../../src/lib/platform/broker/session-log.js';
import { openStore } from '../../src/lib/platform/store/database.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
const data = (...parts: string[]) => join(own.folder, 'data', ...parts);

beforeEach(async () => {
  own = await testPlatform({ plain: { port: 0 } });
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
});
afterEach(() => own.stop());

async function useContext() {
  await mkdir(process.env.AIOT_CONFIG_DIR ?? '', { recursive: true });
  await writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
  });
}

/** Records messages of ten rows each, one second apart, from one device. */
async function record(messages: number) {
  const out = join(own.folder, 'dev');
  await provisionDevice({ client: own.client, name: 'motor-1', type: 'virtual', out });
  const device = await connectDevice(own.platform.urls.mqtts, out);
  for (let seq = 0; seq < messages; seq++) {
    const x = Array.from({ length: 10 }, (_, i) => seq * 10 + i);
    const payload = JSON.stringify({ seq, t: 1_700_000_000_000 + seq * 1000, rate: 10, recording: 'r', x });
    await device.publishAsync('aiot/v1/motor-1/telemetry/motion', payload, { qos: 1 });
  }
  await device.endAsync();
}

async function flip(path: string, ...texts: string[]) {
  const bytes = await readFile(path);
  for (const text of texts) {
    let at = bytes.indexOf(text);
    expect(at).toBeGreaterThan(0);
    // SQLite's pages may contain the text twice, once in unused space.
    for (; at >= 0; at = bytes.indexOf(text, at + 1)) bytes[at] = (bytes[at] ?? 0) ^ 2;
  }
  await writeFile(path, bytes);
}

const iso = (seq: number) => new Date(1_700_000_000_000 + seq * 1000).toISOString();
const findings = async () => {
  const all = (await own.client.audit.list()).filter(({ action }) => action.startsWith('damage.'));
  return all.reverse().map(({ action: type, subject, detail: data }) => ({ type, subject, data }));
};
const metrics = async () => {
  const { request, Agent } = await import('undici');
  const dispatcher = new Agent({ connect: { ca: own.ca } });
  const headers = { authorization: `Bearer ${own.token}` };
  const answer = await request(`${own.platform.urls.http}/metrics`, { dispatcher, headers });
  const text = await answer.body.text();
  await dispatcher.close();
  return text;
};

describe('altered telemetry', () => {
  it('is reported by the export (exit code 3), the status, the metrics and one event', async () => {
    await record(30);
    await own.platform.stop();
    await flip(data('telemetry.db'), '"x":[40,', '"x":[90,');
    await own.start();
    await useContext();
    const out = join(own.folder, 'motion.csv');
    const args = ['data', 'export', 'motion', '--out', out, '--context', 'lab'];
    const exported = await runCli([...args, '--json']);
    const lost = { stream: 'motion', device: 'motor-1', from: iso(4), to: iso(9), rows: 20 };
    expect(exported).toMatchObject({ code: 3, json: { damaged: { rows: 20, places: [lost], more: 0 } } });
    expect((await readFile(out, 'utf8')).trimEnd().split('\n')).toHaveLength(281);
    const shown = await runCli([...args, '--allow-damaged']);
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain(`20 rows of motion from motor-1 between ${iso(4)} and ${iso(9)}`);

    const status = await own.client.status();
    expect(status.damage).toMatchObject([{ part: 'journal', place: 'telemetry.db', lost }]);
    expect(status.warnings.filter(({ about }) => about === 'damage')).toMatchObject([
      { message: expect.stringContaining('20 rows of motion from motor-1 between') },
    ]);
    const told = await metrics();
    expect(told).toContain(
      `aiot_damaged_rows{part="journal",place="telemetry.db",stream="motion",device="motor-1",from="${iso(4)}",to="${iso(9)}"} 20`,
    );
    expect(told).toContain('aiot_damage_findings{part="journal"} 1');
    expect(await findings()).toMatchObject([
      { type: 'damage.find', subject: 'journal', data: { findings: 1, rows: 20, places: [{ lost }] } },
    ]);
  });
});

describe('deleted telemetry', () => {
  it('is reported until it is acknowledged, even after restarts', async () => {
    await record(20);
    await own.platform.stop();
    await rm(data('telemetry.db'));
    await own.start();
    await own.restart();
    await useContext();
    const lost = { stream: 'motion', device: 'motor-1', from: iso(0), to: iso(19), rows: 200 };
    const [damage] = (await own.client.status()).damage;
    expect(damage).toMatchObject({ place: 'telemetry.db', problem: 'is gone', lost });
    expect((await runCli(['status', '--context', 'lab'])).stdout).toContain(
      '200 rows of motion from motor-1',
    );
    // Nothing of the stream is left, but the record of the loss contains its name.
    const file = join(own.folder, 'motion.csv');
    const refused = await runCli(['data', 'export', 'motion', '--out', file, '--context', 'lab']);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain('all stored rows of the stream motion (200) are lost');
    const looked = await runCli(['platform', 'acknowledge', '--dry-run', '--context', 'lab']);
    expect(looked.stdout).toContain(damage?.id);
    expect((await own.client.status()).damage).toHaveLength(1);
    const done = await runCli(['platform', 'acknowledge', '--context', 'lab', '--json']);
    expect(done).toMatchObject({ code: 0, json: { acknowledged: [{ id: damage?.id }] } });
    await own.restart();
    expect((await own.client.status()).damage).toEqual([]);
    expect(await own.client.damage.list()).toMatchObject([
      { id: damage?.id, acknowledged: expect.any(Number) },
    ]);
    expect((await findings()).map(({ type }) => type)).toEqual(['damage.find', 'damage.acknowledge']);
    await expect(own.client.damage.acknowledge(['none'])).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });
});

describe("the broker's log", () => {
  const reader = (clean: boolean) =>
    connect(own.platform.urls.mqtt ?? '', {
      ...{ username: 'operator', password: own.token, clientId: 'reader', clean },
    });
  const log = async () => {
    const [name = ''] = await readdir(data('broker'));
    return data('broker', name);
  };
  const remember = async () => {
    const client = await reader(false);
    await client.subscribeAsync('jobs/#', { qos: 1 });
    await client.publishAsync('plant/line', 'kept', { qos: 1, retain: true });
    await client.publishAsync('plant/door', 'kept too', { qos: 1, retain: true });
    await client.endAsync();
    await own.platform.stop();
  };

  it.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'emptied',
      async () => truncate(await log(), 0),
      /shorter than it was: 2 retained messages and 1 session of MQTT are gone \(retained message plant\/line, retained message plant\/door, session .*reader/,
    ],
    ['deleted', () => rm(data('broker'), { recursive: true }), /is gone: 2 retained messages and 1 session/],
    [
      'changed in a byte of a payload',
      async () => flip(await log(), Buffer.from('kept too').toString('base64')),
      /contains 1 damaged line: 1 retained message and 0 sessions of MQTT are gone \(retained message plant\/door\)/,
    ],
  ])('is reported as damaged, with the lost entries, if %s', async (_, damage, problem) => {
    await remember();
    const check = async () => {
      const store = await openStore(data('state.db'));
      const found = await verifyBrokerLog(data(), { store });
      await store.destroy();
      return found;
    };
    expect(await check()).toEqual([]);
    await damage();
    expect(await check()).toMatchObject([{ part: 'broker', repairable: false }]);
    await own.start();
    expect((await own.client.status()).damage).toMatchObject([
      { part: 'broker', problem: expect.stringMatching(problem) },
    ]);
    await own.restart();
    expect((await findings()).map(({ type }) => type)).toEqual(['damage.find']);
  });
});
