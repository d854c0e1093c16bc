import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import type { DatasetListing } from '../../src/lib/api/contract/data.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { loadProject } from '../../src/lib/core/project.js';
import { extractData, extractedSchema } from '../../src/lib/data/sources/extract.js';
import { ok, refusal } from '../support/up.js';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-extract-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

it('data extract copies the rows of a project’s table unchanged, and counts them', async () => {
  const rows = 'a,b,label\n1,2,x\n3,4,y\n5,6,x';
  await writeFile(join(dir, 'rows.csv'), rows);
  await writeFile(join(dir, 'aiot.yaml'), 'name: t\nmodel: { table: { file: rows.csv } }\n');
  const out = join(dir, 'extracted.csv');
  const told = await ok(extractedSchema, ['data', 'extract', '--project', dir, '--out', out]);
  expect(told).toMatchObject({ source: 'project', kind: 'table', rows: 3 });
  expect(await readFile(out, 'utf8')).toBe(rows);
  await writeFile(join(dir, 'aiot.yaml'), 'name: t\nmodel: { table: { file: rows.csv, label: state } }\n');
  expect(await refusal(['data', 'extract', '--project', dir, '--out', `${out}2`])).toMatchObject({
    code: 'AIOT_CSV_COLUMNS',
    message: expect.stringContaining('expected a column state, got a, b, label'),
  });
});

it('data extract turns a folder of recordings into a dataset, and rejects a changed dataset', async () => {
  const yaml =
    'name: r\nstream: { topic: t, fields: { x: { unit: g } } }\nsignal: { rate: 10, window: 2, stride: 2 }\nmodel: { labels: { up: [up], down: [down] } }\n';
  await writeFile(join(dir, 'aiot.yaml'), yaml);
  const loose = await mkdtemp(join(dir, 'loose-'));
  for (const name of ['up1', 'down1']) await writeFile(join(loose, `${name}.csv`), 'x\n1\n2\n3\n');
  const out = join(dir, 'made');
  const told = await ok(extractedSchema, [
    'data',
    'extract',
    '--project',
    dir,
    '--data',
    loose,
    '--out',
    out,
  ]);
  expect(told).toMatchObject({
    source: 'project',
    kind: 'recordings',
    recordings: 2,
    rows: 6,
    unlabelled: 0,
  });
  expect((await readdir(join(out, 'recordings'))).sort()).toEqual(['down1.csv', 'up1.csv']);

  const further = join(dir, 'further');
  await ok(extractedSchema, ['data', 'extract', '--project', dir, '--data', out, '--out', further]);
  expect(await readFile(join(further, 'dataset.json'), 'utf8')).toBe(
    await readFile(join(out, 'dataset.json'), 'utf8'),
  );
  expect(await refusal(['data', 'extract', '--project', dir, '--data', out, '--out', further])).toMatchObject(
    {
      code: 'AIOT_FOLDER_NOT_EMPTY',
    },
  );
  await writeFile(join(out, 'recordings', 'up1.csv'), 'x\n1\n2\n4\n');
  const changed = ['data', 'extract', '--project', dir, '--data', out, '--out', join(dir, 'third')];
  expect(await refusal(changed)).toMatchObject({ code: 'AIOT_DATA_CHANGED' });
});

it('data extract uses the project’s own data if the platform has only unlabeled recordings', async () => {
  const at = await mkdtemp(join(dir, 'both-'));
  const yaml =
    'name: r\nstream: { topic: t, fields: { x: { unit: g } } }\nsignal: { rate: 10, window: 2, stride: 2 }\nmodel: { labels: { up: [up], down: [down] } }\n';
  await writeFile(join(at, 'aiot.yaml'), yaml);
  const stored = (label: string | null) =>
    ({
      name: 't',
      fields: ['x'],
      recordings: [{ id: 'r1', device: 'd1', label, parts: [] }],
      next: null,
    }) as unknown as DatasetListing;
  const asked: string[] = [];
  const client = (label: string | null) =>
    ({
      datasets: {
        get: async () => stored(label),
        export: async () => {
          asked.push('export');
          throw new AiotError('AIOT_DATA_EMPTY', 'the platform was asked');
        },
      },
    }) as unknown as RegistryClient;
  const project = await loadProject(at);
  const extract = (label: string | null, out: string) =>
    extractData({ project, from: 'auto', out: join(at, out), client: client(label), guide: null });
  // If the project has no data of its own, the platform's unlabeled recordings are requested.
  await expect(extract(null, 'none')).rejects.toThrow('the platform was asked');
  await mkdir(join(at, 'data', 'recordings'), { recursive: true });
  for (const name of ['up1', 'down1'])
    await writeFile(join(at, 'data', 'recordings', `${name}.csv`), 'x\n1\n2\n3\n');
  asked.length = 0;
  expect(await extract(null, 'own')).toMatchObject({ source: 'project', recordings: 2 });
  expect(asked).toEqual([]);
  await expect(extract('up', 'theirs')).rejects.toThrow('the platform was asked');
});
