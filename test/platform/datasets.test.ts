import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { datasetsOf } from '../../src/lib/platform/datasets/datasets.js';
import type { Labels } from '../../src/lib/platform/datasets/labels.js';
import { RetentionService } from '../../src/lib/platform/datasets/retention.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { localTurns } from '../../src/lib/platform/store/engine.js';
import { runCli } from '../support/cli.js';
import { motionDataset } from '../support/motion-dataset.js';
import type { TestPlatform } from '../support/platform.js';

type RetentionParts = ConstructorParameters<typeof RetentionService>[0];

let own: TestPlatform;
let folder: string;
let publish: (payload: object) => Promise<unknown>;
let undo: () => Promise<void>;

beforeAll(async () => {
  ({ own, folder, publish, undo } = await motionDataset());
});
afterAll(() => undo());

const textOf = async (query: object) => {
  let text = '';
  for await (const chunk of await own.client.datasets.export('motion', query))
    text += Buffer.from(chunk).toString();
  return text;
};

describe('labels', () => {
  it('apply to whole recordings and to parts: the latest wins, and the history is kept', async () => {
    const say = (recording: string, ...words: string[]) =>
      runCli(['data', 'label', `motion/m1/${recording}`, ...words, '--json']);
    expect(await say('r1', 'resting')).toMatchObject({ code: 0, json: { labels: 1 } });
    await say('r1', 'walking');
    await say('r1', 'falling', '--from', '20', '--to', '40');
    await say('r1', 'jumping', '--from', '40', '--to', '60');
    await say('r1', '--remove', '--from', '20', '--to', '40');
    const { json } = await runCli(['data', 'show', 'motion/m1/r1', '--json']);
    expect(json).toMatchObject({
      label: 'walking',
      parts: [{ label: 'jumping', from: 40, to: 60 }],
      samples: 10,
    });
    const { history } = json as { history: { label: string | null; who: string }[] };
    expect(history.map(({ label }) => label)).toEqual(['resting', 'walking', 'falling', 'jumping', null]);
    expect(history.every(({ who }) => who.length > 0)).toBe(true);
    const csv = await textOf({ recording: 'r1', label: 'jumping' });
    expect(csv).toBe(
      'device,recording,seq,t,label,x,y\nm1,r1,2,40,jumping,2,\nm1,r1,2,50,jumping,2.5,\nm1,r1,3,60,jumping,3,\n',
    );
  });

  it('are imported from a file for many recordings, or not at all', async () => {
    const file = join(folder, 'labels.csv');
    await writeFile(
      file,
      'device,recording,label\nm1,r2,walking\nm1,r3,\n{"device":"m1","recording":"r3","label":"sit, down"}\n',
    );
    expect(await runCli(['data', 'label', 'motion', '--file', file, '--json'])).toMatchObject({
      json: { labels: 3 },
    });
    await writeFile(file, 'm1,r2,other\nm1,../r3,walking\n');
    const bad = await runCli(['data', 'label', 'motion', '--file', file]);
    expect(bad).toMatchObject({ code: 2 });
    expect(bad.stderr).toContain('line 2: recording');
    const { recordings } = await own.client.datasets.get('motion');
    expect(recordings.map(({ label }) => label)).toEqual(['walking', 'walking', 'sit, down']);
    expect((await runCli(['data', 'label', 'motion/m1'])).code).toBe(2);
  });
});

describe('lists', () => {
  it('are paged by device and name, and can be filtered', async () => {
    const first = await runCli(['data', 'list', 'motion', '--limit', '2', '--json']);
    expect(first.json).toMatchObject({
      recordings: [{ id: 'r1' }, { id: 'r2' }],
      next: 'm1/r2',
      fields: ['x', 'y'],
    });
    const rest = await runCli(['data', 'list', 'motion', '--limit', '2', '--after', 'm1/r2', '--json']);
    expect(rest.json).toMatchObject({ recordings: [{ id: 'r3' }], next: null });
    const some = await runCli(['data', 'list', 'motion', '--label', 'walking', '--json']);
    expect((some.json as { recordings: unknown[] }).recordings).toHaveLength(2);
    const of = async (selector: string) => {
      const { json } = await runCli(['data', 'list', 'motion', '--selector', selector, '--json']);
      return (json as { recordings: unknown[] }).recordings.length;
    };
    const { type } = await own.client.devices.get('m1');
    expect([await of('m1'), await of('nobody,m1'), await of(`type=${type}`), await of('all')]).toEqual([
      3, 3, 3, 3,
    ]);
    expect([await of('nobody'), await of(`not type=${type}`)]).toEqual([0, 0]);
    expect((await runCli(['data', 'list', 'motion', '--selector', 'type='])).code).toBe(2);
    const streams = await runCli(['data', 'streams', '--json']);
    expect(streams.json).toMatchObject({
      datasets: [{ name: 'motion', recordings: 3, samples: 30, labels: { walking: 2, 'sit, down': 1 } }],
    });
    expect((await runCli(['data', 'list', 'motion'])).stdout).toMatch(/ started \(UTC\) +problems$/im);
    expect((await runCli(['data', 'list', 'nothing'])).code).toBe(4);
    for (const command of [['list'], ['export', '--out', join(folder, 'typo.csv')]]) {
      const { stderr, code } = await runCli(['data', ...command, 'moton']);
      expect(stderr).toContain('the stream moton has no recordings. Did you mean motion?');
      expect(code).toBe(4);
    }
  });
});

describe('exports', () => {
  it('are CSV or NDJSON rows that read back, filtered by time and device', async () => {
    const lines = (await textOf({ format: 'ndjson' })).trimEnd().split('\n');
    expect(lines).toHaveLength(30);
    expect(JSON.parse(lines[10] ?? '')).toEqual({
      ...{ device: 'm1', recording: 'r2', seq: 0, t: 10_000, label: 'walking', x: 0, y: 1 },
    });
    const csv = await textOf({ from: 10_010, to: 10_020 });
    expect(csv).toBe(
      'device,recording,seq,t,label,x,y\nm1,r2,0,10010,walking,0.5,2\nm1,r2,1,10020,walking,1,1\n',
    );
    expect(await textOf({ selector: 'nobody' })).toBe('device,recording,seq,t,label,x,y\n');
    expect(await textOf({ selector: 'name=m1 or name=nobody', from: 10_010, to: 10_020 })).toBe(csv);
    expect(await textOf({ recording: 'r3', from: 20_090 })).toContain('"sit, down"');
  });

  it('leave no partial file if they fail, and keep the existing one', async () => {
    const out = join(folder, 'kept.csv');
    await writeFile(out, 'before');
    expect((await runCli(['data', 'export', 'nothing', '--out', out])).code).toBe(4);
    expect(await readFile(out, 'utf8')).toBe('before');
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect((await runCli(['data', 'export', 'motion', '--out', out, '--from', 'yesterday'])).code).toBe(2);
  });
});

describe('retention', () => {
  it('previews the exact set, keeps labeled recordings, and frees the space', async () => {
    await publish({ seq: 0, t: 1, recording: 'r4', x: 1 });
    const set = await runCli(['data', 'retention', 'motion', '--size', '1B', '--json']);
    expect(set.json).toEqual({
      policies: [{ stream: 'motion', days: null, bytes: 1, labelled: false }],
      removed: null,
      logs: null,
      removedLogs: null,
    });
    const dry = await runCli(['data', 'retention', 'motion', '--dry-run', '--json']);
    const told = (dry.json as { removed: { recordings: { recording: string }[]; kept: number } }).removed;
    expect(told).toMatchObject({ kept: 3, dryRun: true });
    expect(told.recordings.map(({ recording }) => recording)).toEqual(['r4']);
    const done = await runCli(['data', 'retention', '--run', '--yes', '--json']);
    const { removed } = done.json as { removed: { recordings: unknown[]; freed: number; bytes: number } };
    expect(removed.recordings).toEqual(told.recordings);
    expect(removed.freed).toBeGreaterThan(0);
    expect((await own.client.datasets.get('motion')).recordings.map(({ id }) => id)).toEqual([
      'r1',
      'r2',
      'r3',
    ]);
    expect((await runCli(['data', 'retention', 'motion', '--forever', '--json'])).json).toMatchObject({
      policies: [],
    });
    expect((await runCli(['data', 'retention', 'motion', '--forever'])).code).toBe(4);
    expect((await runCli(['data', 'retention', '--days', '3'])).code).toBe(2);
  });

  it('allows removing a recording manually, but a labeled one only with --labeled', async () => {
    const kept = await runCli(['data', 'remove', '--yes', 'motion/m1/r3', '--json']);
    expect(kept.json).toMatchObject({ recordings: [], kept: 1 });
    const dry = await runCli(['data', 'remove', '--yes', 'motion/m1/r3', '--labeled', '--dry-run', '--json']);
    expect(dry.json).toMatchObject({ recordings: [{ recording: 'r3' }], dryRun: true });
    expect((await own.client.datasets.get('motion')).recordings).toHaveLength(3);
    await runCli(['data', 'remove', '--yes', 'motion/m1/r3', '--labeled', '--json']);
    expect((await own.client.datasets.get('motion')).recordings).toHaveLength(2);
    expect((await runCli(['data', 'remove', '--yes', 'motion/m1/r3'])).code).toBe(4);
    const audit = await own.client.audit.list('motion/m1/r3');
    expect(audit.map(({ action }) => action)).toContain('data.remove');
    expect((await own.client.datasets.show('motion', 'm1', 'r1')).label).toBe('walking');
  });

  it('removes the labels too: a new recording with the same name has none', async () => {
    await publish({ seq: 0, t: 20_000, recording: 'r3', x: 1 });
    const anew = await own.client.datasets.show('motion', 'm1', 'r3');
    expect(anew).toMatchObject({ label: null, parts: [], history: [] });
    expect((await own.client.datasets.show('motion', 'm1', 'r1')).history.length).toBeGreaterThan(0);
  });
});

describe('an export by a user limited to some devices', () => {
  it('ends with an error once a device has left the limits, instead of as a shorter file', async () => {
    const take = { device: 'm1', recording: 'r1', startedAt: 0 };
    let isIn = true;
    const telemetry = {
      stream: async () => ({ name: 'motion', fields: ['x'] }),
      takes: async () => [take],
      settled: async () => {},
      take: async () => take,
      async *read() {
        for (let seq = 0; seq < 3; seq++) {
          yield { channel: 'telemetry', at: 0, stream: 'motion', payload: { seq, t: seq, x: [seq] } };
          isIn = false;
        }
      },
    };
    const labels = { ofDevices: async () => new Map() };
    const datasets = datasetsOf(telemetry as unknown as Telemetry, labels as unknown as Labels);
    const reach = { selectors: ['site=lab'], text: 'site=lab', has: () => isIn, matches: () => isIn };
    const read = async (chunks: AsyncIterable<Buffer | string>) => {
      let text = '';
      for await (const chunk of chunks) text += chunk;
      return text;
    };
    for (const open of [
      () => datasets.export('motion', 'csv', { devices: ['m1'], reach }),
      () => datasets.csv('motion', 'm1', 'r1', reach),
    ]) {
      isIn = true;
      await expect(read(await open())).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    }
    const whole = await datasets.csv('motion', 'm1', 'r1');
    expect(await read(whole)).toBe('x\n0\n1\n2\n');
  });
});

describe('removing recordings by a user limited to some devices', () => {
  it('is rejected if the device has left the limits while the removal waited', async () => {
    const turns = localTurns();
    const asked: string[] = [];
    const telemetry = {
      takes: async ({ stream }: { stream: string }) => {
        asked.push(stream);
        return [];
      },
    };
    const retention = new RetentionService({ turns, telemetry } as unknown as RetentionParts);
    let isIn = true;
    const reach = { selectors: ['site=lab'], text: 'site=lab', has: () => isIn, matches: () => isIn };
    const remove = () =>
      retention.remove('motion', { device: 'm1', labelled: false, dryRun: false }, 'ann', reach);
    await expect(remove()).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    const others = turns.of('retention')(async () => {
      isIn = false;
    });
    await expect(remove()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    await others;
    expect(asked).toEqual(['motion']);
  });
});
