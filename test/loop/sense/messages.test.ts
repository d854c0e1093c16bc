import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../../src/lib/loop/sense/address.js';
import { createBatcher } from '../../../src/lib/loop/sense/batcher.js';

const fields = ['x', 'y', 'z'].map((name) => ({ name, unit: 'g' }));
const sensor = (query = '') => parseAddress(`mqtt://127.0.0.1/motion${query}`);

function read(messages: unknown[], query = '', of = fields) {
  const told: string[] = [];
  const batcher = createBatcher({ fields: of, rateHz: 100 }, sensor(query), (_, text) => told.push(text));
  const why = messages.map((message, i) =>
    batcher.add(
      Buffer.from(typeof message === 'string' ? message : JSON.stringify(message)),
      1_700_000_000_000 + i * 10,
    ),
  );
  const batches = batcher.take();
  return {
    why,
    told,
    values: batches.flatMap(({ values }) => [...values]),
    times: batches.flatMap(({ times }) => [...times]),
    lost: batches.map(({ lost }) => lost),
    apart: batches.map(({ apart }) => apart),
    timing: batcher.timing,
    rateHz: batcher.rateHz,
  };
}

describe('message formats', () => {
  const same: [string, unknown, string?][] = [
    ['an object', { x: 1, y: 2, z: 3 }],
    ['an object with extra fields', { deviceID: '0', z: 3, y: 2, x: 1, note: 'n' }],
    ['numbers as texts', { x: '1', y: '2.0', z: '3e0' }],
    ['names of the drivers', { ax: 1, ay: 2, az: 3, gx: 9 }],
    ['names in common spellings', { acc_x: 1, AccY: 2, 'accel.z': 3 }],
    ['other names', { p: 1, q: 2, r: 3 }, '?map=x:p,y:q,z:r'],
    ['nested fields', { acc: { x: 1, y: 2, z: 3 } }, '?map=x:acc.x,y:acc.y,z:acc.z'],
    ['an array of numbers', [1, 2, 3]],
    ['an array of numbers with names', [0, 3, 2, 1], '?columns=n,z,y,x'],
    ['an array of an array', [[1, 2, 3]]],
    ['an array of an object', [{ x: 1, y: 2, z: 3 }]],
    ['columns', { x: [1], y: [2], z: [3] }],
    ['a line with commas', '1,2,3'],
    ['a line with spaces and an end', ' 1 2\t3\r\n'.replace('\t', ' ')],
    ['a line with semicolons', '1; 2; 3'],
    ['a line with a NUL at its end', '1,2,3\0'],
    ['a line with names', 'x=1, y=2, z=3'],
    ['a line with names and colons', 'ax:1 ay:2 az:3'],
    ['a line with named columns', '7,1,2,3', '?columns=n,x,y,z'],
  ];
  it.each(same)('%s is one sample', (_, message, query) => {
    expect(read([message], query)).toMatchObject({ why: [null], values: [1, 2, 3], lost: [0] });
  });

  it.each([
    [
      'rows of arrays',
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    ],
    [
      'rows of objects',
      [
        { x: 1, y: 2, z: 3 },
        { x: 4, y: 5, z: 6 },
      ],
    ],
    ['columns of arrays', { x: [1, 4], y: [2, 5], z: [3, 6] }],
  ])('%s are a batch', (_, message) => {
    expect(read([message])).toMatchObject({ why: [null], values: [1, 2, 3, 4, 5, 6] });
  });

  it('include a header line with the column names', () => {
    expect(read(['t,z,y,x', '5,3,2,1'])).toMatchObject({ why: [null, null], values: [1, 2, 3] });
  });

  it('include bare numbers for a single field, and arrays of numbers as a batch', () => {
    const of = [{ name: 'temperature', unit: 'degC' }];
    expect(read(['21.5', { temp: 22 }, [23, 24]], '', of).values).toEqual([21.5, 22, 23, 24]);
  });

  it.each([
    ['an object that lacks a field', { x: 1, y: 2 }, 'expected z in the message, got x, y', 1],
    ['a field that is null', { x: 1, y: null, z: 3 }, 'expected a number for y, got null', 1],
    ['a field that is a word', { x: 1, y: 'NaN', z: 3 }, 'expected a number for y, got "NaN"', 1],
    ['columns of different lengths', { x: [1, 2], y: [1], z: [1, 2] }, 'expected 2 samples of y, got [1]', 1],
    ['a truncated line', '1,2', 'expected 3 numbers (x, y, z), got ["1","2"]', 1],
    ['a message without the fields', { state: 'on' }, 'expected x in the message, got state', 0],
    ['text', 'hello world', 'expected 3 numbers (x, y, z), got ["hello","world"]', 0],
    ['damaged JSON', '{"x": 1,', 'expected JSON, got "{\\"x\\": 1,"', 0],
    ['null', 'null', 'expected 3 numbers (x, y, z), got ["null"]', 0],
    [
      'a deep nesting of brackets',
      `${'['.repeat(1e5)}${']'.repeat(1e5)}`,
      'expected 3 numbers (x, y, z), got […',
      0,
    ],
  ])('%s is skipped as a whole, and the next sample is complete', (_, message, why, lost) => {
    const got = read([[1, 2, 3], message, [4, 5, 6]]);
    expect(got.values).toEqual([1, 2, 3, 4, 5, 6]);
    if (why !== '') expect(got.why[1]).toBe(why);
    // A damaged sample is counted as missing; a message that never was a sample is not.
    expect(got.lost).toEqual([0, lost]);
  });
});

describe('the message reader', () => {
  it.each<[string, unknown[], string, number[]]>([
    ['ms since 1970', [{ t: 1_795_168_216_492 }], '', [1_795_168_216_492]],
    ['s since 1970', [{ timeStamp: 1_795_168_216.5 }], '', [1_795_168_216_500]],
    ['µs since 1970', [{ ts: 1_795_168_216_492_250 }], '', [1_795_168_216_492.25]],
    ['a date', [{ time: '2026-11-20T10:00:00.250Z' }], '', [Date.UTC(2026, 10, 20, 10, 0, 0, 250)]],
    [
      'ms since the board’s start',
      [{ millis: 5000 }, { millis: 5010 }],
      '',
      [1_700_000_000_000, 1_700_000_000_010],
    ],
    ['s since the board’s start', [{ t: 5.5 }, { t: 5.51 }], '', [1_700_000_000_000, 1_700_000_000_010]],
    [
      'a field with another name, in µs',
      [{ w: 7000 }, { w: 17_000 }],
      '?time=w:us',
      [1_700_000_000_000, 1_700_000_000_010],
    ],
  ])('reads timestamps given as %s', (_, stamps, query, times) => {
    const got = read(
      stamps.map((stamp) => ({ ...(stamp as object), x: 1, y: 2, z: 3 })),
      query,
    );
    expect(got.timing).toBe('own');
    got.times.forEach((t, i) => {
      expect(t).toBeCloseTo(times[i]!, 3);
    });
  });

  it('derives times from a telemetry batch’s rate, losses from its numbers, and separates recordings', () => {
    const batch = (seq: number, recording = 'a') => ({
      seq,
      t: 1_795_168_216_000 + seq * 20,
      rate: 100,
      recording,
      x: [1, 4],
      y: [2, 5],
      z: [3, 6],
    });
    const got = read([batch(0), batch(1), batch(1), batch(4), batch(0, 'b')]);
    expect(got.rateHz).toBe(100);
    expect(got.times.slice(0, 4).map((t) => t - 1_795_168_216_000)).toEqual([0, 10, 20, 30]);
    expect(got.lost).toEqual([0, 0, 4, 0]);
    expect(got.apart).toEqual([false, false, false, true]);
  });

  it('spaces the samples of a batch without a rate up to the time of the next batch', () => {
    const rows = (t: number) => ({ t: 1_795_168_216_000 + t, x: [1, 2], y: [1, 2], z: [1, 2] });
    const got = read([rows(0), rows(40), rows(80)]);
    expect(got.times.map((t) => t - 1_795_168_216_000)).toEqual([0, 10, 40, 60, 80, 100]);
    expect(got.rateHz).toBeNull();
  });

  it('starts over when a board restarts or its counter overflows', () => {
    const sample = (millis: number) => ({ millis, x: millis, y: 0, z: 0 });
    const got = read([sample(4_294_967_280), sample(4_294_967_290), sample(4), sample(14)]);
    expect(got.times.map((t) => t - 1_700_000_000_000)).toEqual([0, 10, 20, 30]);
    expect(got.apart).toEqual([false, false, true, false]);
  });

  it.each<[string, number, boolean]>([
    ['learns the time while running', 50, true],
    ['sets its clock for the first time', 4.2e12, true],
    ['sends an invalid time', 1e300, false],
  ])('continues from the current time if a board %s', (_, odd, apart) => {
    const at = 1_700_000_000_000;
    const got = read([at, odd, at + 20].map((t) => ({ t, x: 1, y: 2, z: 3 })));
    expect(got.times.map((t) => t - at)).toEqual([0, 10, 20]);
    expect(got.apart).toEqual([false, apart, apart]);
  });

  it('times samples by arrival if timestamps are whole seconds, unless that is a coincidence', () => {
    const line = (t: string) => `{"t":${t},"x":1,"y":2,"z":3}`;
    expect(read([line('1700000000'), line('1700000000')])).toMatchObject({
      timing: 'arrival',
      told: ['the timestamps of the messages are whole seconds, so samples are timed by arrival'],
    });
    expect(read([line('"2023-11-14T22:13:20Z"')]).timing).toBe('arrival');
    expect(read([line('1700000000.0'), line('1700000000.01')])).toMatchObject({ timing: 'own', told: [] });
  });

  it('ignores impossible sequence numbers and rates', () => {
    const of = (seq: number) => ({ seq, x: seq, y: 0, z: 0 });
    const got = read([of(1), of(9e15), of(2)]);
    expect(got.lost).toEqual([0, 0, 0]);
    expect(got.apart).toEqual([false, true, true]);
    expect(read([{ t: 1_700_000_000_000, rate: 1e300, x: [1, 2], y: [1, 2], z: [1, 2] }]).rateHz).toBeNull();
  });

  it('treats a reset sequence number as a restart, and a repeated one as a duplicate', () => {
    const message = (n: number) => ({ n, x: n, y: 0, z: 0 });
    const got = read([5, 6, 6, 7, 9, 0, 1].map(message), '?seq=n');
    expect(got.values.filter((_, i) => i % 3 === 0)).toEqual([5, 6, 7, 9, 0, 1]);
    expect(got.lost).toEqual([0, 0, 0, 1, 0, 0]);
    expect(got.apart).toEqual([false, false, false, false, true, false]);
  });

  it('uses one of several devices, and reports that', () => {
    const of = (deviceID: string) => ({ deviceID, x: Number(deviceID), y: 0, z: 0 });
    const got = read([of('1'), of('2'), of('1')]);
    expect(got.values.filter((_, i) => i % 3 === 0)).toEqual([1, 1]);
    expect(got.told).toEqual([
      'samples of 2 are ignored; samples of 1 are used: a loop has one sensor; choose it with ?device=NAME',
    ]);
    expect(read([of('1'), of('2')], '?device=2').values[0]).toBe(2);
  });
});
