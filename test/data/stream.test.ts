import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { pullDataset } from '../../src/lib/data/dataset/pull.js';
import { recordStream } from '../../src/lib/data/sources/record.js';
import { toLine } from '../../src/lib/stream/file/line.js';
import { makeProject } from './support.js';

let project: Project;
let clean: () => Promise<void>;
let messages: string;

beforeEach(async () => {
  ({ project, clean } = await makeProject());
  messages = join(project.dir, 'messages.ndjson');
});
afterEach(() => clean());

const topic = (device: string) => `aiot/v1/${device}/telemetry/motion`;
async function play(list: [string, unknown][]): Promise<string> {
  const lines = list.map(([name, payload], i) =>
    JSON.stringify(
      toLine({ topic: name, payload: Buffer.from(JSON.stringify(payload)), time: 1000 + i, source: 'test' }),
    ),
  );
  await writeFile(messages, `${lines.join('\n')}\n`);
  return pathToFileURL(messages).href;
}

describe('recording a stream', () => {
  it('writes one recording per device, drops duplicates, and counts missing messages', async () => {
    const url = await play([
      [topic('a'), { seq: 0, t: 5000, x: [1, 2], y: [3, 4] }],
      [topic('b'), { x: 9, y: 9 }],
      [topic('a'), { seq: 0, t: 5000, x: [1, 2], y: [3, 4] }],
      [topic('a'), { seq: 3, t: 5040, rate: 50, x: [5, 6], y: [7, 8] }],
      ['other/topic', { temperature: 20 }],
    ]);
    const result = await recordStream({ project, url, label: 'walking' });
    expect(result).toMatchObject({ ignored: 1, duplicates: 1 });
    const { recordings } = await openDataset(project);
    expect(recordings).toMatchObject([
      { id: 'walking1', label: 'walking', device: 'a', startedAt: 5000, missing: 2 },
      { id: 'walking2', label: 'walking', device: 'b' },
    ]);
    expect(recordings[0]!.columns.map((column) => [...column])).toEqual([
      [1, 2, 5, 6],
      [3, 4, 7, 8],
    ]);
  });

  it('stops at the count, and continues with the next number', async () => {
    const url = await play([1, 2, 3, 4].map((x) => [topic('a'), { x: [x, x], y: [x, x] }]));
    await recordStream({ project, url, label: 'lying', count: 3 });
    const second = await recordStream({ project, url, label: 'lying', count: 5 });
    expect(second.recordings).toMatchObject([{ id: 'lying2', samples: 5 }]);
    const { recordings } = await openDataset(project);
    expect(recordings.map(({ columns }) => columns[0]!.length)).toEqual([3, 5]);
  });

  it.each([
    ['an unknown label', { label: 'running' }, [[topic('a'), { x: 1, y: 1 }]], 'AIOT_LABEL_UNKNOWN'],
    ['a different rate', {}, [[topic('a'), { rate: 100, x: [1], y: [1] }]], 'AIOT_DATA_RATE'],
    ['messages without all fields', {}, [[topic('a'), { x: 1 }]], 'AIOT_DATA_EMPTY'],
    ['fields of unequal length', {}, [[topic('a'), { x: [1, 2], y: [1] }]], 'AIOT_DATA_EMPTY'],
    ['text instead of numbers', {}, [[topic('a'), { x: '1', y: '2' }]], 'AIOT_DATA_EMPTY'],
  ] as [string, object, [string, unknown][], string][])(
    'rejects %s and writes nothing',
    async (_, options, list, code) => {
      const url = await play(list);
      await expect(recordStream({ project, url, ...options })).rejects.toMatchObject({ code });
      await expect(openDataset(project)).rejects.toMatchObject({ code: 'AIOT_DATA_EMPTY' });
    },
  );

  it('names the address of the messages if no samples arrive', async () => {
    const url = await play([['other', { x: 1 }]]);
    const opened: string[] = [];
    const onOpen = (...addresses: string[]) => void opened.push(...addresses);
    const error = await recordStream({ project, url, onOpen }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      message: `no samples arrived from ${opened[0]} (${opened[1]}): other: expected numbers for "y", got nothing`,
      next: `Check that devices are sending. To see the messages, run \`aiot stream tail ${opened[1]}\`.`,
    });
    expect(opened[1]).toContain('messages.ndjson');
  });

  it('sets aside recordings whose rate is wrong according to the device’s clock, and keeps the others', async () => {
    const list = Array.from({ length: 200 }, (_, i): [string, unknown][] => [
      [topic('a'), { t: i * 40, x: i, y: i }],
      [topic('b'), { t: i * 20, x: i, y: i }],
    ]);
    const aside = join(project.dir, 'data', 'refused', 'walking2.csv');
    const url = await play(list.flat());
    await expect(recordStream({ project, url, label: 'walking' })).rejects.toMatchObject({
      code: 'AIOT_DATA_RATE',
      message: `a: expected 50 samples per second (signal.rate), got about 25.0; set aside in ${aside}; recorded successfully: walking1`,
    });
    expect((await readFile(aside, 'utf8')).split('\n', 2)).toEqual(['x,y', '0,0']);
    const { recordings } = await openDataset(project);
    expect(recordings).toMatchObject([{ id: 'walking1', device: 'b' }]);
    // A second recording overwrites nothing.
    await expect(recordStream({ project, url, label: 'walking' })).rejects.toMatchObject({
      message: expect.stringContaining('walking4.csv; recorded successfully: walking3'),
    });
  });

  it.each([
    // A message has the time of its first sample, so the span from the first message to the last does not include the samples of the
    // last one.
    ['3 s in batches of a second', [0, 1000, 2000], 50],
    ['4 s in batches of a second', [0, 1000, 2000, 3000], 50],
    ['many batches', Array.from({ length: 30 }, (_, i) => i * 500), 25],
    ['timestamps that are off by half a batch', [500, 1000, 2000, 3000, 4000], 50],
    ['two messages, which are too few', [0, 9000], 200],
  ])('does not mistake a correct rate for a wrong one: %s', async (_, times, batch) => {
    const values = Array.from({ length: batch }, (_, i) => i);
    const list = times.map((t, seq): [string, unknown] => [topic('a'), { seq, t, x: values, y: values }]);
    const { recordings } = await recordStream({ project, url: await play(list), label: 'walking' });
    expect(recordings).toMatchObject([{ samples: times.length * batch }]);
  });

  it('does not mistake lost messages for a different rate', async () => {
    const values = Array.from({ length: 50 }, (_, i) => i);
    const list = [0, 1, 2, 3, 4, 20, 21].map((seq): [string, unknown] => [
      topic('a'),
      { seq, t: seq * 1000, x: values, y: values },
    ]);
    const { recordings } = await recordStream({ project, url: await play(list), label: 'walking' });
    expect(recordings).toMatchObject([{ samples: 350 }]);
  });

  it('keeps the samples received before the stream failed', async () => {
    const url = await play([
      [topic('a'), { x: [1, 2], y: [1, 2] }],
      [topic('b'), { rate: 10, x: [1], y: [1] }],
    ]);
    await expect(recordStream({ project, url, label: 'lying' })).rejects.toMatchObject({
      code: 'AIOT_DATA_RATE',
      message:
        'aiot/v1/b/telemetry/motion: expected 50 samples per second (signal.rate), got 10; recorded successfully: lying1',
    });
    expect((await openDataset(project)).recordings).toMatchObject([{ id: 'lying1', device: 'a' }]);
  });
});

describe('pulling a dataset', () => {
  const listed = (id: string, device: string, label: string | null) => ({
    id,
    device,
    label,
    rateHz: 50,
    samples: 2,
    startedAt: 7,
    duplicates: 0,
    missing: 1,
  });
  const client = (recordings: ReturnType<typeof listed>[]) => ({
    datasets: {
      list: async () => [],
      get: async (name: string) => ({ name, fields: ['x', 'y'], recordings }),
      csv: async (_: string, device: string, id: string) => `x,y\n1,${device.length}\n2,${id.length}\n`,
    },
  });

  it('writes recordings like a live capture, prefixing duplicate names with the device', async () => {
    const dir = join(project.dir, 'data');
    const found = [
      listed('walking1', 'a', 'walking'),
      listed('take', 'a', 'lying'),
      listed('take', 'bb', null),
    ];
    const result = await pullDataset({ client: client(found), stream: 'motion', dir });
    expect(result).toEqual({ recordings: 3, samples: 6 });
    expect((await openDataset(project)).recordings).toMatchObject([
      { id: 'a.take', label: 'lying', device: 'a', missing: 1 },
      { id: 'bb.take', label: null, device: 'bb' },
      { id: 'walking1', label: 'walking', device: 'a', startedAt: 7 },
    ]);
  });

  it('replaces previously pulled recordings, and keeps the rest', async () => {
    const dir = join(project.dir, 'data');
    await pullDataset({
      client: client([listed('t1', 'a', null), listed('t2', 'a', null)]),
      stream: 'motion',
      dir,
    });
    await pullDataset({ client: client([listed('t2', 'a', 'walking')]), stream: 'motion', dir });
    expect((await openDataset(project)).recordings.map(({ id, label }) => [id, label])).toEqual([
      ['t1', null],
      ['t2', 'walking'],
    ]);
    expect(JSON.parse(await readFile(join(dir, 'dataset.json'), 'utf8')).spec).toBe('aiot-dataset/1');
  });
});
