import { cp, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { loadProject, type Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import type { Recording } from '../../src/lib/data/types.js';
import { openModel } from '../../src/lib/loop/model/open-model.js';
import {
  createRing,
  createTeacher,
  readMark,
  type TeachEvent,
  type TeacherOptions,
} from '../../src/lib/loop/teach.js';
import type { ModelKeeper } from '../../src/lib/loop/types.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';

let shared: string;
let folder: string;
let project: Project;
let keeper: ModelKeeper;
let events: TeachEvent[];

const axes = ['x', 'y', 'z'];

function teacherOf(options: Partial<TeacherOptions> = {}) {
  return createTeacher({
    project,
    keeper,
    fields: axes,
    rateHz: 100,
    device: 'pi-1',
    onEvent: (event) => events.push(event),
    ...options,
  });
}

const kinds = () => events.map(({ kind }) => kind);

/** A recording that no model was trained on, scaled down to weak movements. */
async function weakWalk(gain: number): Promise<Float64Array[]> {
  const { recordings } = await openDataset(project);
  const { test } = keeper.current().info.lineage.split;
  const { columns } = recordings.find(
    ({ id, label }) => test.includes(id) && label === 'walking',
  ) as Recording;
  return columns.map((column) => {
    const mean = column.reduce((a, b) => a + b, 0) / column.length;
    return column.map((value) => mean + gain * (value - mean));
  });
}

function batchOf(columns: Float64Array[], from: number, to: number, lost = 0) {
  const count = to - from;
  const values = Float64Array.from(
    { length: count * 3 },
    (_, i) => columns[i % 3]![from + Math.floor(i / 3)]!,
  );
  const times = Float64Array.from({ length: count }, (_, i) => 1_700_000_000_000 + (from + i) * 10);
  return { values, times, count, lost };
}

/** Share of the windows that the current model labels as walking. */
function walkingShare(columns: Float64Array[], from: number, to: number): number {
  const predictor = keeper.current().createPredictor();
  const labels: (string | null)[] = [];
  for (let i = from; i < to; i++) {
    const answer = predictor.push(columns.map((column) => column[i]!));
    if (answer) labels.push(answer.label);
  }
  return labels.filter((label) => label === 'walking').length / labels.length;
}

describe('a teacher', () => {
  beforeAll(async () => {
    shared = await mkdtemp(join(tmpdir(), 'aiot-teach-'));
  });
  afterAll(() => rm(shared, { recursive: true, force: true }));
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-teach-'));
    await cp(join(import.meta.dirname, '../../templates/har-imu'), folder, { recursive: true });
    project = await loadProject(folder);
    // Trained only once; afterward, the model is found in the cache.
    keeper = await openModel({ project, simulate: true, cache: shared });
    events = [];
  });
  afterEach(async () => {
    await keeper.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('keeps labeled recordings, retrains the last layer, and improves on later samples', async () => {
    const before = keeper.current();
    const walk = await weakWalk(0.03);
    const share = walkingShare(walk, 4000, 7500);
    expect(share).toBeLessThan(0.75);
    const teacher = teacherOf({ seconds: 12 });
    expect(teacher.keys).toContainEqual({ key: '3', label: 'walking' });
    for (const start of [0, 1300, 2600]) {
      teacher.push(batchOf(walk, start, start + 1300));
      expect(teacher.key('3')).toBe(true);
      await teacher.settled();
    }
    expect(teacher.key('?')).toBe(false);
    expect(kinds().filter((kind) => kind === 'marked')).toHaveLength(3);
    expect(kinds()).toContain('taught');
    expect(kinds()).not.toContain('refused');
    expect(walkingShare(walk, 4000, 7500)).toBeGreaterThan(share + 0.15);

    // The taught model is a separate bundle that documents its lineage.
    const { digest, bundle } = keeper.current();
    expect(digest).not.toBe(before.digest);
    const bytes = await readFile(join(folder, 'build/model.taught.aiot'));
    expect(digestOf(bytes)).toBe(digest);
    const opened = unpackBundle(bytes);
    expect(checkGolden(opened).failures).toEqual([]);
    expect(opened.lineage.taught?.recordings[0]).toMatch(/^taught-walking-/);
    expect(opened.info.lineage.split.train).toEqual(
      expect.arrayContaining(opened.lineage.taught!.recordings),
    );
    expect(bundle?.info.metrics.int8.macroF1).toBeGreaterThan(0.95);
    // All layers except the last are unchanged.
    const tensors = await import('../../src/lib/formats/index.js').then(({ readTflite }) =>
      [before.bundle!.model, opened.model].map((model) => readTflite(model).tensors.map(({ data }) => data)),
    );
    const other = tensors[0]!.filter(
      (data, i) => data && !Buffer.from(data.buffer).equals(Buffer.from(tensors[1]![i]!.buffer)),
    );
    expect(other.length).toBeGreaterThan(0);
    expect(other.length).toBeLessThanOrEqual(2);

    // The recordings are part of the dataset, as if `data record` had made them.
    const { recordings } = await openDataset(project);
    const marked = recordings.filter(({ id }) => id.startsWith('taught-'));
    expect(marked).toHaveLength(3);
    expect(marked[0]).toMatchObject({ label: 'walking', device: 'pi-1', rateHz: 100 });
    expect(marked[0]?.columns[0]).toHaveLength(1200);
    // If it misbehaves, the previous model is restored.
    keeper.misbehaved(keeper.current(), new Error('NaN'));
    expect(keeper.current().digest).not.toBe(digest);
  });

  it('keeps the current model if retraining makes it worse, unless confirmed', async () => {
    const { digest, info } = keeper.current();
    const { recordings } = await openDataset(project);
    const lying = recordings.find(
      ({ id, label }) => label === 'lying' && info.lineage.split.test.includes(id),
    )!;
    const first = teacherOf();
    first.push(batchOf(lying.columns, 0, 3000));
    first.mark('{"label":"walking","seconds":30}');
    const refused = await first.retrain();
    expect(refused).toMatchObject({ used: false, what: 'last layer' });
    expect(refused!.after).toBeLessThan(refused!.before);
    expect(keeper.current().digest).toBe(digest);
    expect(await stat(join(folder, 'build')).catch(() => null)).toBeNull();
    expect(events.at(-1)?.text).toMatch(/is unchanged, because .* worse: macro-F1 .* held out/);
    const teacher = teacherOf({ yes: true });
    expect((await teacher.retrain())?.used).toBe(true);
    expect(keeper.current().digest).not.toBe(digest);
  });

  it('adjusts only the biases if earlier training data is not on this machine, and reports that', async () => {
    const walk = await weakWalk(0.03);
    const teacher = teacherOf({ folder: join(folder, 'elsewhere') });
    teacher.push(batchOf(walk, 0, 1500));
    teacher.mark('walking');
    const result = await teacher.retrain();
    expect(result?.what).toBe('biases');
    expect(events.at(-1)?.text).toContain('biases only');
    if (result?.used) expect(checkGolden(keeper.current().bundle!).failures).toEqual([]);
  });

  it('keeps a recording whose label is not a class of the model, and explains what is needed', async () => {
    const walk = await weakWalk(1);
    const teacher = teacherOf();
    teacher.push(batchOf(walk, 0, 1500));
    const { digest } = keeper.current();
    teacher.mark('jumping');
    await teacher.settled();
    expect(kinds()).toEqual(['marked', 'kept']);
    expect(events[1]?.text).toMatch(/no class for jumping.*full training/);
    expect(keeper.current().digest).toBe(digest);
  });

  it('rejects an invalid mark with an explanation, and continues', async () => {
    const teacher = teacherOf({ folder: join(folder, 'elsewhere') });
    for (const [payload, text] of [
      ['stairs', /recorded as upstairs or downstairs/],
      ['{"label": 3}', /expected a label, or JSON/],
      ['{"label": "walking", "seconds": -1}', /seconds/],
      ['{label}', /expected a label, or JSON/],
      ['  ', /expected a label/],
      ['walking', /only 0\.0 s without a gap have been received/],
    ] as const) {
      events = [];
      teacher.mark(payload);
      await teacher.settled();
      expect(kinds(), payload).toEqual(['refused']);
      expect(events[0]?.text).toMatch(text);
    }
    await teacher.retrain();
    expect(events[1]?.text).toMatch(/all labeled intervals are shorter/);
  });
});

describe('a mark', () => {
  it('covers the latest samples in order, and none from before a gap', () => {
    const ring = createRing(1, 5);
    const push = (values: number[], lost = 0) =>
      ring.push({
        values: Float64Array.from(values),
        times: Float64Array.from(values, (value) => 1000 + value),
        count: values.length,
        lost,
      });
    expect(ring.last(3)).toEqual({ columns: [new Float64Array(0)], startedAt: null });
    push([1, 2, 3]);
    push([4, 5, 6, 7]);
    expect([...ring.last(3).columns[0]!]).toEqual([5, 6, 7]);
    expect([...ring.last(99).columns[0]!]).toEqual([3, 4, 5, 6, 7]);
    expect(ring.last(99).startedAt).toBe(1003);
    push([9], 1);
    expect([...ring.last(99).columns[0]!]).toEqual([9]);
    push(Array.from({ length: 12 }, (_, i) => 10 + i));
    expect([...ring.last(99).columns[0]!]).toEqual([17, 18, 19, 20, 21]);
  });

  it('is parsed from a message', () => {
    expect(readMark(' walking \n')).toEqual({ label: 'walking' });
    expect(readMark('{"label":"walking","seconds":4.5}')).toEqual({ label: 'walking', seconds: 4.5 });
  });
});
