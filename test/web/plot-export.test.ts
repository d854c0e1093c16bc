import { expect, it } from 'vitest';
import { csvText, fileName } from '../../web/app/csv.js';
import { plotCsv } from '../../web/parts/plot-csv.js';
import { legendHeight, legendPlaces } from '../../web/parts/plot-legend.js';

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

it('the legend of a picture wraps into rows, and shortens a label that is longer than a row', () => {
  expect(legendHeight(legendPlaces([100], 390))).toBe(30);
  // A row of 390 px has room from 56 px to 380 px: two entries of 21 + 100 px with 18 px between them.
  const places = legendPlaces([100, 100, 100, 900, 50], 390);
  expect(places).toEqual([
    { left: 56, top: 4, width: 100 },
    { left: 195, top: 4, width: 100 },
    { left: 56, top: 26, width: 100 },
    { left: 56, top: 48, width: 303 },
    { left: 56, top: 70, width: 50 },
  ]);
  expect(legendHeight(places)).toBe(96);
  const ten = legendPlaces(new Array(10).fill(80), 900);
  expect(ten.filter(({ left, width }) => left + 21 + width > 890)).toEqual([]);
  expect(ten.at(-1)?.top).toBe(26);
});
