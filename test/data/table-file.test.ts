import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openTable, openTableFile, type TableFile } from '../../src/lib/data/tables/table.js';
import type { TableShape } from '../../src/lib/formats/csv/table.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-table-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

/** Enough rows for a file of several pieces. */
const long = 40_000;
const line = (row: number) => `${row % 97}.25,${(row * 7919) % 1000},d${row % 3},${row % 2 ? 'on' : 'off'}`;
const lines = (rows: number) => Array.from({ length: rows }, (_, row) => line(row));

async function written(text: string): Promise<string> {
  const file = join(dir, `${Math.random().toString(36).slice(2)}.csv`);
  await writeFile(file, text);
  return file;
}

/** Joins all pieces into one table. */
function whole({ columns, rows, digest, pieces }: TableFile) {
  const all = [...pieces()];
  const inputs = Float32Array.from(all.flatMap((piece) => [...piece.inputs]));
  const texts = (of: 'labels' | 'groups') =>
    all[0]![of] === null ? null : all.flatMap((piece) => piece[of] ?? []);
  return { columns, rows, digest, inputs, labels: texts('labels'), groups: texts('groups') };
}

const header = 'x,y,device,label';
const bodies: [string, string, TableShape?][] = [
  ['several pieces', [header, ...lines(long), ''].join('\n')],
  ['no trailing newline', [header, ...lines(long)].join('\n')],
  ['CRLF line endings', [header, ...lines(long), ''].join('\r\n')],
  ['one row', `${header}\n${line(0)}`],
  ['no header', lines(long).join('\n'), { columns: header.split(','), inputs: ['y'] }],
  ['a unique label for each row', ['x,label', ...lines(long).map((_, row) => `1,${row}`)].join('\n')],
  ['neither label nor group', ['x', ...lines(long).map((_, row) => String(row)), ''].join('\n')],
];

it.each(bodies)(
  'a table file has the same content whether it is read in pieces or at once: %s',
  async (_, text, shape) => {
    const file = await written(text);
    const [table, opened] = [await openTable(file, shape), await openTableFile(file, shape)];
    expect(whole(opened)).toEqual(table);
    expect([...opened.pieces()].length).toBe(table.rows > 1 ? Math.ceil(text.length / 262_144) : 1);
    expect(opened.groups).toBe(table.groups && new Set(table.groups).size);
    expect(opened.kinds).toEqual(table.labels && [...new Set(table.labels)].slice(0, 10_001));
  },
);

it.each([
  ['a word among numbers', 'oops,1,d0,on'],
  ['a missing cell', '1,2,d0'],
  ['an extra cell', '1,2,d0,on,5'],
  ['a number beyond float32', '1,1e39,d0,on'],
  ['an empty line', ''],
  ['invalid UTF-8', '1,2,d0,\xe4'],
])('a table file reports the same error location in a later piece: %s', async (_, bad) => {
  const text = [header, ...lines(long), bad, ...lines(10), ''].join('\n');
  const file = await written('');
  await writeFile(file, text, 'latin1');
  const error = await openTable(file).catch((refused: unknown) => refused);
  expect(error).toMatchObject({
    code: 'AIOT_FILE_MALFORMED',
    subject: 'csv',
    message: expect.stringContaining(`:${long + 2}:`),
  });
  await expect(openTableFile(file)).rejects.toMatchObject({ message: (error as Error).message });
});

it.each([
  ['', 'AIOT_CSV_COLUMNS'],
  [`${header}\n`, 'AIOT_CSV_EMPTY'],
  ['label,device\non,d0\n', 'AIOT_CSV_COLUMNS'],
])('a table file rejects %j, as does a table that is read at once', async (text, code) => {
  const file = await written(text);
  const error = await openTable(file).catch((refused: unknown) => refused);
  expect(error).toMatchObject({ code });
  await expect(openTableFile(file)).rejects.toMatchObject({ code, message: (error as Error).message });
});

it('a table file detects an overwrite, and ignores appended rows', async () => {
  const text = [header, ...lines(long), ''].join('\n');
  const file = await written(text);
  const opened = await openTableFile(file);
  await appendFile(file, `${line(1)}\n`);
  expect(whole(opened).inputs.length).toBe(2 * long);
  await writeFile(file, text.replace('0.25,0,', '9.25,0,'));
  expect(() => [...opened.pieces()]).toThrow(expect.objectContaining({ code: 'AIOT_DATA_CHANGED' }));
  await writeFile(file, text.slice(0, text.length / 2));
  expect(() => [...opened.pieces()]).toThrow();
});
