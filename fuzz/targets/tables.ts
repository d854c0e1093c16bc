import { readArchive, writeArchive } from '../../src/lib/formats/archive.js';
import { decodeCbor } from '../../src/lib/formats/cbor.js';
import { createColumnsReader } from '../../src/lib/formats/csv/columns.js';
import { csvColumns, parseCsv, parseLabelledCsv, parseMixedCsv } from '../../src/lib/formats/csv/parse.js';
import { parseTable, writeCsv } from '../../src/lib/formats/csv/table.js';
import { readZip, writeZip } from '../../src/lib/formats/zip.js';
import { createRowReader } from '../../src/lib/stream/file/rows.js';
import { filesIn } from '../seeds.js';
import type { Target } from '../types.js';

const csv = writeCsv(
  ['x', 'y', 'z'],
  [
    [1, 2.5, -3e-7],
    [0, 1, 2],
    [7, 8, 9],
  ],
);
const mixed =
  'time,device,value,label\n2024-01-01T00:00:00Z,"a, b",1.5,on\n2024-01-01T00:00:01Z,"say ""x""",nan,off\n,b,-inf,\n';
const members = [
  { name: 'model.json', data: Buffer.from('{"a":1}') },
  { name: 'weights.bin', data: Buffer.alloc(40, 3) },
];

/** Targets that read tables and archives. */
export const tables: readonly Target[] = [
  {
    name: 'formats/csv',
    seeds: () => [csv, mixed, ...filesIn('test/golden', '.csv')],
    run: (input) => parseCsv(input, 'it'),
    words: ['"', '""', ',', '\n', 'nan', '-inf', '1e308', '0.1'],
  },
  {
    name: 'formats/csv-labelled',
    seeds: () => [csv, mixed, 'x,label\n1,a\n2,b\n'],
    run: (input) => parseLabelledCsv(input, 'it', ['label', 'device', 'time']),
  },
  {
    name: 'formats/csv-mixed',
    seeds: () => [csv, mixed],
    run: (input) => parseMixedCsv(input, 'it', () => true),
  },
  {
    name: 'formats/csv-table',
    seeds: () => [csv, mixed, 'x,group,label\n1,g,a\n2,g,b\n'],
    run: (input) => parseTable(input, 'it'),
  },
  {
    name: 'formats/csv-columns',
    seeds: () => [csv, mixed],
    run: (input) => {
      const reader = createColumnsReader('it');
      // The reader's callers pass whole lines.
      reader.lines(Buffer.concat([input, Buffer.from('\n')]));
      return [reader.end(), csvColumns(input, 'it')];
    },
  },
  {
    name: 'stream/csv-rows',
    seeds: () => [csv, mixed],
    run: (input) => {
      const read = createRowReader('it', undefined);
      const lines = input.toString().split('\n');
      return lines.slice(0, 200).map((text, line) => read({ text, line }));
    },
  },
  {
    name: 'formats/cbor',
    seeds: () => [
      Buffer.from('a26161018261626163', 'hex'),
      Buffer.from('bf61619f0102ff6162f93e00ff', 'hex'),
      Buffer.from('c249010000000000000000', 'hex'),
      Buffer.from('fb3ff199999999999a', 'hex'),
    ],
    run: (input) => decodeCbor(input),
    throws: ['CborError'],
  },
  {
    name: 'formats/archive',
    seeds: () => [writeArchive(members)],
    run: (input) =>
      readArchive(
        input,
        members.map(({ name }) => name),
      ),
    words: ['ustar', '../../x', '/etc/passwd'],
  },
  {
    name: 'formats/zip',
    seeds: () => [writeZip(members, 0)],
    run: (input) =>
      readZip(
        input,
        members.map(({ name }) => name),
      ),
    words: ['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06'],
  },
];
