import { expect, it } from 'vitest';
import { csvText, fileName } from '../../web/app/csv.js';
import { plotCsv } from '../../web/parts/plot-csv.js';

const start = Date.UTC(2026, 10, 30) / 1000;
const series = [{ label: 'temperature, °C' }, { label: 'current' }];

it('a plot is saved with times in ISO 8601 and empty fields for gaps', () => {
  const data = [
    [start, start + 0.5, start + 1],
    [20.5, null, -3],
    [null, null, 1e-7],
  ];
  expect(plotCsv({ data, series, clock: true })).toBe(
    [
      'time,"temperature, °C",current',
      '2026-11-30T00:00:00.000Z,20.5,',
      '2026-11-30T00:00:01.000Z,-3,1e-7',
      '',
    ].join('\r\n'),
  );
});

it('only the visible span of a plot is saved', () => {
  const data = [
    [0, 0.1, 0.2, 0.3],
    [1, 2, 3, 4],
  ];
  const csv = plotCsv({ data, series: [{ label: 'x' }], view: [0.1, 0.2] });
  expect(csv).toBe('seconds,x\r\n0.1,2\r\n0.2,3\r\n');
});

it('texts that spreadsheets would run are disarmed, and negative numbers are not', () => {
  expect(csvText([['=1+1', '-2', '-2.5e-7', '-1+cmd', '@x', 'a"b']])).toBe(
    `'=1+1,-2,-2.5e-7,'-1+cmd,'@x,"a""b"\r\n`,
  );
});

it('file names contain only characters that every file system accepts', () => {
  expect(['imu of press-4, live', '../..', 'a/b'].map(fileName)).toEqual([
    ...['imu-of-press-4-live', 'plot', 'a-b'],
  ]);
});
