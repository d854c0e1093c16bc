import { describe, expect, it } from 'vitest';
import { parseCsv, parseLabelledCsv } from '../../src/lib/formats/csv/parse.js';
import { parseTable, writeCsv } from '../../src/lib/formats/csv/table.js';
import { fc, runs } from '../support/property.js';

const parse = (text: string, wanted?: string[]) => parseCsv(Buffer.from(text), 'a.csv', wanted);
const rows = ({ columns, data }: ReturnType<typeof parse>) => [columns, ...data.map((column) => [...column])];

describe('reading CSV', () => {
  it.each([
    ['with LF line endings', 'x,y\n1,2\n3,4\n'],
    ['without a final line ending', 'x,y\n1,2\n3,4'],
    ['with CRLF', 'x,y\r\n1,2\r\n3,4\r\n'],
    ['with a byte order mark', '\ufeffx,y\n1,2\n3,4\n'],
    ['with every number format', 'x,y\n1.,+2\n3e0,.4E1\n'],
  ])('accepts a file %s', (_, text) => {
    expect(rows(parse(text))).toEqual([
      ['x', 'y'],
      [1, 3],
      [2, 4],
    ]);
  });

  it('returns the columns in the requested order', () => {
    expect(rows(parse('x,y\n1,2\n', ['y', 'x']))).toEqual([['y', 'x'], [2], [1]]);
  });

  it.each([
    ['x,y\n1,abc\n', 'AIOT_FILE_MALFORMED', 'a.csv:2:3: expected a finite number for "y", got "abc"'],
    ['x,y\n1,2\n1,NaN\n', 'AIOT_FILE_MALFORMED', 'a.csv:3:3: expected a finite number for "y", got "NaN"'],
    ['x,y\n1,Infinity\n', 'AIOT_FILE_MALFORMED', 'got "Infinity"'],
    ['x,y\n1,1e999\n', 'AIOT_FILE_MALFORMED', 'got "1e999"'],
    ['x,y\n1,0x10\n', 'AIOT_FILE_MALFORMED', 'got "0x10"'],
    ['x,y\n1, 2\n', 'AIOT_FILE_MALFORMED', 'got " 2"'],
    ['x,y\n1,\n', 'AIOT_FILE_MALFORMED', 'a.csv:2:3: expected a finite number for "y", got nothing'],
    ['x,y\n1,2,3\n', 'AIOT_FILE_MALFORMED', 'a.csv:2:5: expected no more columns, got "3"'],
    ['x,y\n1\n', 'AIOT_FILE_MALFORMED', 'a.csv:2:2: expected 2 columns, got 1'],
    ['x,y\n1,2\n\n3,4\n', 'AIOT_FILE_MALFORMED', 'a.csv:3:1: expected a finite number for "x", got nothing'],
    ['x,y\n1,2\n\n', 'AIOT_FILE_MALFORMED', 'a.csv:3:1: expected a finite number for "x", got nothing'],
    ['x,y\n', 'AIOT_CSV_EMPTY', 'a.csv: no data rows after the header'],
    ['x,y', 'AIOT_CSV_EMPTY', 'a.csv: no data rows after the header'],
    [
      '',
      'AIOT_CSV_COLUMNS',
      'a.csv:1:1: expected a header row with a name for each column, got an empty line',
    ],
    ['1,2\n3,4\n', 'AIOT_CSV_COLUMNS', 'got "1" in column 1'],
    ['x,x\n1,2\n', 'AIOT_CSV_COLUMNS', 'expected unique names, got "x" in columns 1 and 2'],
  ])('rejects %j', (text, code, message) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });

  it.each([['x'], ['x,y,w'], ['x,z']])('rejects the columns %s if x,y are expected', (header) => {
    const row = header.replace(/[a-z]/g, '1');
    expect(() => parse(`${header}\n${row}\n`, ['x', 'y'])).toThrow(
      expect.objectContaining({
        code: 'AIOT_CSV_COLUMNS',
        message: `a.csv:1:1: expected the columns x,y, got "${header}"`,
      }),
    );
  });

  it('reads two megabytes in well under a second', () => {
    const text = writeCsv(
      ['x', 'y', 'z'],
      [1, 2, 3].map((k) => Float64Array.from({ length: 34_000 }, (_, i) => Math.sin(i * k))),
    );
    const bytes = Buffer.from(text);
    expect(bytes.length).toBeGreaterThan(1_900_000);
    const began = process.cpuUsage();
    parseCsv(bytes, 'big.csv');
    // Not the time that passes, because all tests share the cores.
    expect(process.cpuUsage(began).user / 1000).toBeLessThan(500);
  });
});

describe('a CSV file with text columns', () => {
  const text = Buffer.from('x,label,device,y\n1,0,pump é,2\n3,walking,b,4\n');

  it('is read into separate text and numeric columns, in file order', () => {
    const { columns, data, texts } = parseLabelledCsv(text, 't.csv', ['label', 'group', 'device']);
    expect(columns).toEqual(['x', 'y']);
    expect(data.map((column) => [...column])).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(texts).toEqual({ label: ['0', 'walking'], device: ['pump é', 'b'] });
  });

  it('is rejected if a text cell is empty', () => {
    const empty = Buffer.from('x,label\n1,\n');
    expect(() => parseLabelledCsv(empty, 't.csv', ['label'])).toThrow('t.csv:2:3: expected');
  });
});

describe('a table read from CSV', () => {
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  it.each([
    [
      'a label in Latin-1',
      'x,label\n1,gr\xfcn\n2,gr\xe4n\n',
      't.csv:2:3: expected text in UTF-8, got "grün"',
    ],
    ['a header in Latin-1', 'x,m\xe4\n1,2\n', 't.csv:1:3: expected text in UTF-8'],
    [
      'an image file',
      '\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR',
      't.csv:1:1: expected a CSV file, got a binary one',
    ],
    ['UTF-16', '\xff\xfex\x00,\x00', 'got a binary one (it begins with the bytes ff fe 78 00)'],
  ])('is rejected: %s', (_, text, message) => {
    const refused = {
      code: 'AIOT_FILE_MALFORMED',
      subject: 'csv',
      message: expect.stringContaining(message),
    };
    expect(() => parseTable(bytes(text), 't.csv')).toThrow(expect.objectContaining(refused));
  });

  it('keeps labels with different non-ASCII letters apart', () => {
    expect(parseTable(Buffer.from('x,label\n1,grün\n2,grän\n'), 't.csv').labels).toEqual(['grün', 'grän']);
  });

  it('is rejected if float32 cannot represent a number', () => {
    const text = Buffer.from('label,x,y\na,1,2\nb,3,-1e300\n');
    expect(() => parseTable(text, 't.csv')).toThrow('t.csv:3:5: expected a number of at most 3.4e38 for "y"');
    expect(parseTable(Buffer.from('x,label\n3.4e38,a\n'), 't.csv').rows).toBe(1);
  });

  const kit = { label: 'class', inputs: ['hum', 'temp'], columns: ['sensor', 'temp', 'hum', 'class'] };
  it.each([
    ['without a header', ''],
    ['with just that header', 'sensor,temp,hum,class\n'],
    ['that begins with a byte order mark', '\uFEFF'],
  ])('uses the given column names for a file %s', (_, header) => {
    const table = parseTable(Buffer.from(`${header}0xBC,26.5,41.25,low\n0xBC,30,40,high\n`), 't.csv', kit);
    expect(table).toMatchObject({ columns: ['hum', 'temp'], rows: 2, labels: ['low', 'high'] });
    expect([...table.inputs]).toEqual([41.25, 26.5, 40, 30]);
  });

  it('reports the line in a file without a header, and a missing input', () => {
    expect(() => parseTable(Buffer.from('0xBC,26.5,4e39,low\n'), 't.csv', kit)).toThrow('t.csv:1:11: ');
    expect(() => parseTable(Buffer.from('0xBC,26.5,wet,low\n'), 't.csv', kit)).toThrow(
      't.csv:1:11: expected a finite number for "hum", got "wet"',
    );
    expect(() => parseTable(Buffer.from('a,class\n1,x\n'), 't.csv', { ...kit, columns: undefined })).toThrow(
      't.csv:1:1: expected a column "hum" of inputs, got a, class',
    );
  });

  it('accepts wide headers quickly, and rejects too many columns', () => {
    const wide = (count: number) => Array.from({ length: count }, (_, i) => `c${i}`).join(',');
    const began = process.cpuUsage();
    const row = new Array(60_000).fill('1').join(',');
    expect(parse(`${wide(60_000)}\n${row}\n`).columns).toHaveLength(60_000);
    expect(() => parse(`${wide(300_000)}\n`)).toThrow('expected at most 65536 columns, got 300000');
    // Comparing each name with every other would take a minute.
    expect(process.cpuUsage(began).user / 1000).toBeLessThan(5000);
  });
});

describe('writing CSV', () => {
  it('writes numbers that read back unchanged', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.double({ noNaN: true, noDefaultInfinity: true }),
            fc.double({ noNaN: true, noDefaultInfinity: true }),
          ),
          {
            minLength: 1,
          },
        ),
        (samples) => {
          // Minus zero is read back as zero, because CSV is for measurements.
          const data = [0, 1].map((c) => Float64Array.from(samples, (sample) => sample[c]! + 0));
          const back = parse(writeCsv(['a', 'b'], data), ['a', 'b']);
          expect(back.data.map((column) => [...column])).toEqual(data.map((column) => [...column]));
        },
      ),
    );
  });

  it('rounds to the requested decimals, and rejects NaN', () => {
    expect(writeCsv(['a'], [[0.12345, 2]], 3)).toBe('a\n0.123\n2.000\n');
    expect(() => writeCsv(['a'], [[1, Number.NaN]])).toThrow('row 2, column a: NaN');
  });
});

describe('numbers in CSV', () => {
  const text = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.double({ min: -16, max: 16, noNaN: true }).map((value) => value.toPrecision(17)),
    fc
      .tuple(fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n }), fc.nat(26))
      .map(([whole, after]) => `${whole}.${'7'.repeat(after)}`),
    fc.tuple(fc.integer(), fc.integer({ min: -30, max: 30 })).map(([m, e]) => `${m}e${e}`),
  );

  it('are parsed like Number() at any length', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (cells) => {
        const got = parse(`x\n${cells.join('\n')}\n`).data[0]!;
        cells.forEach((cell, i) => {
          expect(got[i], cell).toBe(Number(cell));
        });
      }),
      { numRuns: runs(2000) },
    );
  });

  it('are rounded correctly at or near the midpoint of two doubles', () => {
    // 2⁵³ + 1, and its neighbors in the last digit.
    for (const cell of ['9007199254740993', '9007199254740993.0000001', '9007199254740992.9999999']) {
      expect(parse(`x\n${cell}\n`).data[0]![0]).toBe(Number(cell));
    }
  });
});
