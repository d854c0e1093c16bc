import { describe, expect, it } from 'vitest';
import type { Column } from '../../src/lib/formats/csv/cells.js';
import { createColumnsReader } from '../../src/lib/formats/csv/columns.js';
import { fc, runs } from '../support/property.js';

function read(text: string, pieces = [text.length]): { columns: Column[]; header: string[]; rows: number } {
  const reader = createColumnsReader('rows.csv', { bytes: text.length });
  let at = 0;
  for (const end of pieces) {
    reader.lines(Buffer.from(text.slice(at, end)));
    at = end;
  }
  return reader.end();
}
const values = (text: string) => {
  const [column] = read(text).columns;
  return column?.kind === 'number' ? Array.from(column.values) : column;
};

describe('columns of a CSV file', () => {
  it('are numeric or text depending on their cells', () => {
    const { columns, rows } = read('a,b\n1.5,x\n-2,y\n3e2,x\n');
    expect(rows).toBe(3);
    expect(columns[0]).toMatchObject({
      name: 'a',
      kind: 'number',
      values: Float64Array.of(1.5, -2, 300),
      missing: 0,
    });
    expect(columns[1]).toMatchObject({
      name: 'b',
      kind: 'text',
      codes: Int32Array.of(0, 1, 0),
      words: ['x', 'y'],
    });
  });

  it.each([
    ['missing values', 'a,b\n,1\nNaN,1\nNA,1\nnull,1\n4,1\n', [NaN, NaN, NaN, NaN, 4]],
    ['infinities', 'a,b\ninf,1\n-Infinity,1\n', [Infinity, -Infinity]],
    ['blanks', 'a,b\n 1,1\n2 ,1\n', [1, 2]],
    ['Windows line endings', 'a,b\r\n1,1\r\n2,1\r\n', [1, 2]],
    ['empty lines', 'a,b\n1,1\n\n2,1\n\n', [1, 2]],
    [
      'more digits than a double has',
      'a,b\n0.12345678901234567890,1\n123456789012345678,1\n',
      [0.12345678901234568, 123456789012345680],
    ],
    ['minus zero', 'a,b\n-0.0,1\n', [0]],
  ])('accept %s', (_, text, expected) => {
    expect(values(text)).toEqual(expected);
  });

  it('count cells that are not numbers, with their positions', () => {
    const [column] = read('a,b\n1,2\noops,2\n3,2\n').columns;
    expect(column).toMatchObject({
      kind: 'number',
      words: 1,
      first: [{ line: 3, col: 1, cell: 'oops', column: 'a' }],
    });
  });

  it('become text even if the first words appear late', () => {
    const blank = 'x,\n'.repeat(3000);
    const reader = createColumnsReader('rows.csv');
    reader.lines(Buffer.from(`a,b\n${blank}`));
    reader.lines(Buffer.from('x,late\n'));
    expect(reader.end().columns[1]).toMatchObject({ kind: 'text', words: ['late'] });
  });

  it('can be quoted and contain commas and quotes', () => {
    const { columns } = read('"a","b"\n"1","x, ""y"""\n2,"z"\n');
    expect(columns[0]).toMatchObject({ name: 'a', values: Float64Array.of(1, 2) });
    expect(columns[1]).toMatchObject({ words: ['x, "y"', 'z'] });
  });

  it('add a name to an unnamed index column', () => {
    expect(read(',a\n0,1\n').header).toEqual(['index', 'a']);
  });

  it.each([
    ['a missing cell', 'a,b\n1,2\n3\n', 'rows.csv:3:2: expected 2 columns, got 1'],
    ['an extra cell', 'a,b\n1,2\n3,4,5\n', 'rows.csv:3:6: expected 2 columns, got 3'],
    ['an open quote', 'a,b\n1,"x\n', 'rows.csv:2:3: a quoted cell does not end on its line'],
    ['a file without rows', 'a,b\n', 'rows.csv: no data rows after the header'],
    ['a duplicate name', 'a,a\n1,2\n', '"a" in columns 1 and 2'],
  ])('reject %s', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  it('are the same however the file is split, and match Number()', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.double({ noNaN: true }), fc.integer()), { minLength: 1, maxLength: 40 }),
        fc.nat(),
        (rows, cut) => {
          const lines = rows.map(([a, b]) => `${a},${b}\n`);
          const text = `a,b\n${lines.join('')}`;
          const at = `a,b\n${lines.slice(0, cut % (lines.length + 1)).join('')}`.length;
          const { columns } = read(text, [at, text.length]);
          expect(
            columns.map((column) => (column.kind === 'number' ? Array.from(column.values) : null)),
          ).toEqual([rows.map(([a]) => a + 0), rows.map(([, b]) => b)]);
        },
      ),
      { numRuns: runs(100) },
    );
  });
});
