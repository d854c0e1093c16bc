import { expect, it } from 'vitest';
import { firstLines, joinedLines, linesOf, nameOf } from '../../web/pages/fleet/lines.js';
import { joinedSeries, linesOfSeries } from '../../web/pages/fleet/series.js';
import { plotCsv } from '../../web/parts/plot-csv.js';

const start = Date.UTC(2026, 10, 30);
const message = (seconds: number, stream: string, fields: object) => ({
  ...{ at: start + seconds * 1000, stream },
  payload: { t: start + seconds * 1000, seq: 1, ...fields },
});

it('the numeric fields of a device’s telemetry are lines, with a gap where it paused', () => {
  const messages = [
    message(0, 'imu', { rate: 2, z: [1, 2], x: [3, 4], note: 'text' }),
    message(2, 'imu', { rate: 2, z: [5], x: [6] }),
    message(9, 'imu', { rate: 2, z: [7], x: [8] }),
    message(1, 'climate', { temperature: 20.5 }),
  ];
  const s = start / 1000;
  const times = [s, s + 0.5, s + 2, s + 2.001, s + 9];
  const lines = linesOf(messages, 60);
  expect(lines).toEqual([
    { stream: 'climate', field: 'temperature', times: [s + 1], values: [20.5] },
    { stream: 'imu', field: 'x', times, values: [3, 4, 6, null, 8] },
    { stream: 'imu', field: 'z', times, values: [1, 2, 5, null, 7] },
  ]);
  // With a longer time, the pause is too short to be seen.
  expect(linesOf(messages, 600)[1]?.values).toEqual([3, 4, 6, 8]);
  expect(nameOf({ stream: '', field: 'rpm' })).toBe('rpm');
});

it('the field that most devices have is shown first, and otherwise a device’s own first field', () => {
  const line = (field: string) => ({ stream: 'motor', field, times: [1], values: [2] });
  const devices = [[line('current'), line('rpm')], [line('rpm')], [line('load')], []];
  expect(firstLines(devices).map((one) => one?.field)).toEqual(['rpm', 'rpm', 'load', undefined]);
  expect(firstLines([])).toEqual([]);
});

it('lines with different times are joined, and only pauses are gaps', () => {
  const data = joinedLines([
    { times: [1, 2, 3, 5], values: [10, null, 30, 50] },
    { times: [2, 4, 5], values: [-2, -4, -5] },
  ]);
  expect(data).toEqual([
    [1, 2, 3, 4, 5],
    [10, null, 30, undefined, 50],
    [undefined, -2, undefined, -4, -5],
  ]);
  expect(plotCsv({ data, series: [{ label: 'a rpm' }, { label: 'b rpm' }] })).toBe(
    'seconds,a rpm,b rpm\r\n1,10,\r\n2,,-2\r\n3,30,\r\n4,,-4\r\n5,50,-5\r\n',
  );
  expect(joinedLines([])).toEqual([[]]);
});

it('buckets are lines with minima and maxima, and a pause is a gap', () => {
  const hour = 3_600_000;
  const bucket = (hours: number, mean: number) => ({
    ...{ at: start + hours * hour, count: 2, min: mean - 1, mean, max: mean + 1 },
  });
  const part = (from: number, to: number, series: object[]) => ({
    ...{ from, to, bucketMs: hour, readFrom: from, fieldsLeftOut: 0, series: series as never },
  });
  const parts = [
    part(0, 1, [{ stream: 'motor', field: 'rpm', buckets: [bucket(0, 10), bucket(1, 20)] }]),
    part(1, 2, [
      { stream: 'motor', field: 'rpm', buckets: [bucket(9, 30)] },
      { stream: 'climate', field: 'x', buckets: [bucket(9, 5)] },
    ]),
  ];
  const s = start / 1000;
  const middle = (hours: number) => s + hours * 3600 + 1800;
  // Five hours are more than 5 % of the shown time, but not of a hundred times as much.
  expect(linesOfSeries(joinedSeries(parts), hour, 24 * 3600)).toEqual([
    { stream: 'climate', field: 'x', times: [middle(9)], values: [5], low: [4], high: [6] },
    {
      ...{ stream: 'motor', field: 'rpm' },
      times: [middle(0), middle(1), s + 2 * 3600, middle(9)],
      values: [10, 20, null, 30],
      low: [9, 19, null, 29],
      high: [11, 21, null, 31],
    },
  ]);
  expect(linesOfSeries(joinedSeries(parts), hour, 2400 * 3600)[1]?.values).toEqual([10, 20, 30]);
});
