import { expect, it, vi } from 'vitest';
import { errorMaker } from '../../src/lib/core/errors.js';
import { hex } from '../../src/lib/core/figures.js';
import { Exposition, Histogram } from '../../src/lib/core/prometheus.js';
import { deferred } from '../../src/lib/core/tasks.js';
import { parsedJson, textOrBase64 } from '../../src/lib/core/text.js';
import { backOffMs, withJitter } from '../../src/lib/core/time.js';

it('hex formats numbers, optionally padded', () => {
  expect([hex(0x10000), hex(9, 4), hex(0xffffffff, 2)]).toEqual(['0x10000', '0x0009', '0xffffffff']);
});

it('parsedJson parses JSON, and returns undefined for invalid JSON', () => {
  expect([parsedJson('{"a":1}'), parsedJson(Buffer.from('null')), parsedJson('{')]).toEqual([
    { a: 1 },
    null,
    undefined,
  ]);
});

it('textOrBase64 shows bytes as UTF-8, or as base64 if they are not UTF-8', () => {
  const bytes = Uint8Array.of(0, 0xc3, 0xa9, 0xff);
  expect([textOrBase64(bytes.subarray(1, 3)), textOrBase64(bytes.subarray(2))]).toEqual(['é', 'qf8=']);
});

it('a deferred promise is settled from outside, and may be rejected before anything waits for it', async () => {
  const one = deferred<number>();
  one.resolve(3);
  expect(await one.promise).toBe(3);
  const other = deferred();
  other.reject(new Error('no'));
  await new Promise((done) => setImmediate(done));
  await expect(other.promise).rejects.toThrow('no');
});

it('backOffMs doubles the wait after each failure, up to the longest wait', () => {
  const waits = [1, 2, 3, 4, 2000].map((failures) => backOffMs(failures, 100, 500));
  expect(waits).toEqual([100, 200, 400, 500, 500]);
  expect(backOffMs(11, 1)).toBe(1024);
});

it('withJitter shortens a wait by up to a quarter', () => {
  const chance = vi.spyOn(Math, 'random').mockReturnValueOnce(0).mockReturnValueOnce(0.5);
  expect([withJitter(100), withJitter(100)]).toEqual([75, 87.5]);
  chance.mockRestore();
});

it('errorMaker creates errors of one code with a common prefix and next step', () => {
  const unfit = errorMaker('AIOT_MODEL_UNFIT', 'this network: ', { next: 'Another one.' });
  const cause = new Error('why');
  expect(unfit('has no layers')).toMatchObject({
    code: 'AIOT_MODEL_UNFIT',
    message: 'this network: has no layers',
    next: 'Another one.',
  });
  expect(unfit('is cut off', { cause, next: 'Copy it again.' })).toMatchObject({
    cause,
    next: 'Copy it again.',
  });
});

it('Exposition writes metrics in Prometheus’ text format', () => {
  const text = new Exposition();
  text.gauge('up', 'Whether it runs.', 1);
  text.counter('sent_total', 'Sent.', 2);
  text.family('gauge', 'absent', 'Without a sample.', []);
  text.family('gauge', 'size_bytes', 'By name.', [[{ name: 'a"b\\c\nd' }, 3]]);
  const times = new Histogram([1, 2]);
  for (const value of [0.5, 2, 3]) times.note(value);
  text.histogram('wait_seconds', 'Waits.', [[{ part: 'x' }, times]]);
  expect(text.text()).toBe(
    [
      '# HELP up Whether it runs.',
      '# TYPE up gauge',
      'up 1',
      '# HELP sent_total Sent.',
      '# TYPE sent_total counter',
      'sent_total 2',
      '# HELP size_bytes By name.',
      '# TYPE size_bytes gauge',
      'size_bytes{name="a\\"b\\\\c\\nd"} 3',
      '# HELP wait_seconds Waits.',
      '# TYPE wait_seconds histogram',
      'wait_seconds_bucket{part="x",le="1"} 1',
      'wait_seconds_bucket{part="x",le="2"} 2',
      'wait_seconds_bucket{part="x",le="+Inf"} 3',
      'wait_seconds_sum{part="x"} 5.5',
      'wait_seconds_count{part="x"} 3',
      '',
    ].join('\n'),
  );
});
