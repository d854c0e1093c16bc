import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import DataSchema from '../../src/commands/data/schema.js';
import DataStats from '../../src/commands/data/stats.js';
import { initProject } from '../../src/lib/project/init.js';
import { runCli } from '../support/cli.js';

let dir: string;
let project: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-stats-'));
  project = join(dir, 'motor');
  await initProject({ dir: project, template: 'motor-watch', name: 'motor' });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function csv(name: string, text: string): Promise<string> {
  await writeFile(join(dir, name), text);
  return join(dir, name);
}

describe('aiot data stats', () => {
  it('describes numbers and text, and numbers by label', async () => {
    const rows = ['x,what,label', '1,a,up', '2,a,up', '3,b,down', ',a,down', 'inf,,down'];
    const file = await csv('stats.csv', `${rows.join('\n')}\n`);
    const { json, code } = await runCli(['data', 'stats', file, '--json']);
    expect(code).toBe(0);
    expect(DataStats.result.parse(json)).toMatchObject({
      rows: 5,
      fields: [
        {
          name: 'x',
          count: 3,
          missing: 1,
          infinite: 1,
          min: 1,
          max: 3,
          mean: 2,
          deviation: Math.sqrt(2 / 3),
          quantiles: { p25: 1.5, p50: 2 },
        },
        {
          name: 'what',
          kind: 'text',
          count: 4,
          missing: 1,
          categories: [
            { word: 'a', count: 3 },
            { word: 'b', count: 1 },
          ],
        },
      ],
      label: { name: 'label' },
      byLabel: [
        { name: 'up', rows: 2, fields: [{ name: 'x', count: 2, mean: 1.5, deviation: 0.5 }] },
        { name: 'down', rows: 3, fields: [{ name: 'x', count: 1, mean: 3, deviation: 0 }] },
      ],
    });
    const { stdout } = await runCli(['data', 'stats', file]);
    expect(stdout).toContain('what  a 60.0 %, b 20.0 %, missing 20.0 %');
    expect(stdout).toContain('1.5 ± 0.5');
  });

  it('describes a project, by label and by recording', async () => {
    const { stdout } = await runCli(['data', 'stats', '--project', project]);
    expect(stdout).toMatch(/current\s+A\s+–/);
    expect(stdout).toMatch(/blocked\s+32000\s+1\.65/);
    const by = await runCli(['data', 'stats', '--project', project, '--by', 'recording']);
    expect(by.stdout).toMatch(/healthy10\s+3200/);
  });

  it('rejects a missing file', async () => {
    expect((await runCli(['data', 'stats', join(dir, 'none.csv')])).code).toBe(4);
  });
});

describe('aiot data schema', () => {
  const rows = (change: (row: (string | number)[], i: number) => void = () => {}) =>
    Array.from({ length: 200 }, (_, i) => {
      const row: (string | number)[] = [(i % 50) / 10, i % 4, i % 2 === 0 ? 'on' : 'off'];
      change(row, i);
      return row.join(',');
    });
  const header = 'level,count,state_of_it';

  it('infers and saves a schema that matches the same rows', async () => {
    const file = await csv('schema.csv', `${header}\n${rows().join('\n')}\n`);
    const out = join(dir, 'schema.json');
    const { json } = await runCli(['data', 'schema', file, '--save', out, '--json']);
    expect(DataSchema.result.parse(json)).toMatchObject({
      ok: true,
      schema: {
        fields: [
          {
            name: 'level',
            type: 'float',
            seen: [0, 4.9],
            range: [-0.49, 5.39],
            missing: 0,
            categories: null,
          },
          { name: 'count', type: 'int', seen: [0, 3], range: [-1, 4] },
          { name: 'state_of_it', type: 'text', categories: ['off', 'on'] },
        ],
      },
    });
    expect(JSON.parse(await readFile(out, 'utf8')).spec).toBe('aiot-schema/1');
    const again = await runCli(['data', 'schema', file, '--against', out]);
    expect(again.code).toBe(0);
    expect(again.stdout).toContain(`Matches ${out}.`);
  });

  it.each([
    [
      'range',
      'level',
      [3, 7],
      (row: (string | number)[], i: number) => {
        if (i === 2 || i === 6) row[0] = 99;
      },
    ],
    [
      'type',
      'count',
      [5],
      (row: (string | number)[], i: number) => {
        if (i === 4) row[1] = 1.5;
      },
    ],
    [
      'type',
      'level',
      [5],
      (row: (string | number)[], i: number) => {
        if (i === 4) row[0] = 'much';
      },
    ],
    [
      'category',
      'state_of_it',
      [1],
      (row: (string | number)[], i: number) => {
        if (i === 0) row[2] = 'broken';
      },
    ],
    [
      'missing',
      'count',
      [1, 2, 3, 4, 5],
      (row: (string | number)[], i: number) => {
        if (i < 9) row[1] = '';
      },
    ],
    [
      'infinite',
      'level',
      [8],
      (row: (string | number)[], i: number) => {
        if (i === 7) row[0] = 'inf';
      },
    ],
  ] as const)('reports a violation: %s of %s', async (kind, column, places, change) => {
    const base = await csv('keep.csv', `${header}\n${rows().join('\n')}\n`);
    const out = join(dir, 'keep.json');
    await runCli(['data', 'schema', base, '--save', out, '--json']);
    const broken = await csv('broken.csv', `${header}\n${rows(change).join('\n')}\n`);
    const { json, code } = await runCli(['data', 'schema', broken, '--against', out, '--json']);
    expect(code).toBe(6);
    const { violations } = DataSchema.result.parse(json) as {
      violations: { kind: string; column: string; places: { row: number }[] }[];
    };
    expect(violations.map((one) => [one.kind, one.column, one.places.map(({ row }) => row)])).toEqual([
      [kind, column, [...places]],
    ]);
    expect((await runCli(['data', 'schema', broken, '--against', out])).stdout).toContain(
      `rows ${places[0]}`,
    );
  });

  it('reports missing and new columns', async () => {
    const base = await csv('gone.csv', `${header}\n${rows().join('\n')}\n`);
    const out = join(dir, 'gone.json');
    await runCli(['data', 'schema', base, '--save', out, '--json']);
    const other = await csv('other.csv', 'level,count,extra\n1,1,1\n2,2,2\n');
    const { json, code } = await runCli(['data', 'schema', other, '--against', out, '--json']);
    expect(code).toBe(6);
    expect(json).toMatchObject({
      violations: [
        { kind: 'no-column', column: 'state_of_it', severity: 'error' },
        { kind: 'new-column', column: 'extra', severity: 'warning' },
      ],
    });
  });

  it('can use the project’s schema', async () => {
    expect((await runCli(['data', 'schema', '--project', project])).code).toBe(0);
    const hot = await csv('hot.csv', 'current,temperature,vibration,sound\n1,20,0,50\n1,200,0,50\n');
    const { json, code } = await runCli([
      'data',
      'schema',
      hot,
      '--against',
      'project',
      '--project',
      project,
      '--json',
    ]);
    expect(code).toBe(6);
    expect(json).toMatchObject({
      against: ['stream.fields'],
      violations: [
        { kind: 'range', column: 'temperature', places: [{ row: 2, recording: null, value: '200' }] },
      ],
    });
  });

  it('rejects a file that is not a schema', async () => {
    const file = await csv('no-schema.json', '{"spec":"other"}');
    const rowsFile = await csv('rows.csv', 'a\n1\n');
    expect((await runCli(['data', 'schema', rowsFile, '--against', file])).code).toBe(2);
  });
});
