import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../../src/lib/core/catalogue.js';
import { AiotError } from '../../../src/lib/core/errors.js';
import { loadProject } from '../../../src/lib/core/project.js';
import { openAgain, openSensing } from '../../../src/lib/loop/sense/open.js';
import { createVirtualClock } from '../../../src/lib/loop/sense/time.js';
import type { Incoming, RawSource, SensingEvent } from '../../../src/lib/loop/sense/types.js';
import { allOf } from './all-of.js';
import { batchAt, motion } from './fake-source.js';

const error = (code: ErrorCode) => new AiotError(code, 'it is pulled off');
/** A source that delivers two batches and then fails or ends. */
function failing(code: ErrorCode | null, closed: string[] = []): RawSource {
  return {
    endpoint: 'fake:1',
    fields: motion.fields,
    rateHz: 100,
    timing: 'own',
    faults: { overruns: 1, retries: 2, reconnects: 0 },
    async *[Symbol.asyncIterator](): AsyncGenerator<Incoming> {
      yield batchAt([0, 10], (t) => t);
      yield batchAt([20, 30], (t) => t);
      if (code) throw error(code);
    },
    async close() {
      closed.push('closed');
    },
  };
}

async function run(attempts: (ErrorCode | (() => RawSource))[], patient = false) {
  const clock = createVirtualClock();
  const told: string[] = [];
  const opened: number[] = [];
  const source = await openAgain(
    async () => {
      opened.push(clock.now());
      const next = attempts.shift() ?? 'AIOT_SENSOR_LOST';
      if (typeof next === 'string') throw error(next);
      return next();
    },
    { clock, patient, signal: new AbortController().signal, tell: (kind) => void told.push(kind) },
  );
  const apart: boolean[] = [];
  for await (const batch of source) apart.push(batch.apart === true);
  return { source, apart, told, opened };
}

describe('a lost sensor', () => {
  it('is reopened with increasing delays, and its next samples are marked as not contiguous', async () => {
    const closed: string[] = [];
    const gone = ['AIOT_SENSOR_NOT_FOUND', 'AIOT_SENSOR_NOT_FOUND', 'AIOT_SENSOR_DENIED'] as const;
    const { source, apart, told, opened } = await run([
      () => failing('AIOT_SENSOR_LOST', closed),
      ...gone,
      () => failing(null),
    ]);
    expect(apart).toEqual([false, false, true, false]);
    expect(told).toEqual(['lost', 'found']);
    expect(opened).toEqual([0, 500, 1500, 3500, 7500]);
    expect(source.faults).toEqual({ overruns: 2, retries: 4, reconnects: 1 });
    expect(closed).toEqual(['closed']);
  });

  it('is awaited at startup if requested, unless its address is invalid', async () => {
    expect(
      (await run(['AIOT_SENSOR_NOT_FOUND', 'AIOT_SENSOR_FAILED', () => failing(null)], true)).opened,
    ).toEqual([0, 500, 1500]);
    await expect(run(['AIOT_SENSOR_URL'], true)).rejects.toMatchObject({ code: 'AIOT_SENSOR_URL' });
    await expect(run(['AIOT_SENSOR_NOT_FOUND'])).rejects.toMatchObject({ code: 'AIOT_SENSOR_NOT_FOUND' });
  });

  it('does not hide an internal error', async () => {
    await expect(run([() => failing('AIOT_BUG')])).rejects.toMatchObject({ code: 'AIOT_BUG' });
  });

  it('is not reopened after it is closed', async () => {
    const source = await openAgain(
      (() => {
        let first = true;
        return async () => {
          if (!first) throw error('AIOT_SENSOR_LOST');
          first = false;
          return failing('AIOT_SENSOR_LOST');
        };
      })(),
      {
        clock: {
          now: () => 0,
          sleep: (_, signal) =>
            new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
        },
        patient: false,
        signal: new AbortController().signal,
        tell: (kind) => void (kind === 'lost' && setImmediate(() => source.close())),
      },
    );
    let batches = 0;
    for await (const _ of source) batches++;
    expect(batches).toBe(2);
    expect(source.connected).toBe(false);
  });
});

describe('a sample source', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-places-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('reads lines from standard input until it ends', async () => {
    const input = Readable.from(['boot ok\r\n', '0.1 0.2 0.3\r\n0.4 0.5', ' 0.6\r\n', '0.7 0.8 0.9']);
    const events: SensingEvent[] = [];
    const sensing = await openSensing({
      sensor: 'stdin:?format=lines',
      contract: motion,
      stream: { input },
      onEvent: (event) => events.push(event),
    });
    expect((await allOf(sensing)).values).toEqual([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
    expect(events[0]?.text).toBe(
      'a message is not a sample: expected 3 numbers (x, y, z), got ["boot","ok"] (1 so far)',
    );
  });

  it('reads a file of aiot stream record with its timestamps', async () => {
    const line = (t: number) =>
      JSON.stringify({ topic: 'm', time: 1_795_000_000_000 + t, payload: { x: t, y: 0, z: 1 } });
    const file = join(folder, 'kept.ndjson');
    await writeFile(file, `${[0, 10, 20, 60, 5000].map(line).join('\n')}\n`);
    const sensing = await openSensing({ sensor: `file:${file}?rate=100&resample=off`, contract: motion });
    const { values, times, lost } = await allOf(sensing);
    expect(values.filter((_, i) => i % 3 === 0)).toEqual([0, 10, 20, 60, 5000]);
    expect(times.map((t) => t - 1_795_000_000_000)).toEqual([0, 10, 20, 60, 5000]);
    // Arrival times can reveal a pause, but not whether a single sample is missing or extra.
    expect(lost).toEqual([[4, 1]]);
  });

  it('resolves a recording relative to the base folder', async () => {
    await writeFile(join(folder, 'r.csv'), 'x,y,z\n1,2,3\n');
    const sensing = await openSensing({
      sensor: 'file:r.csv?speed=max',
      contract: motion,
      baseFolder: folder,
    });
    expect((await allOf(sensing)).values).toEqual([1, 2, 3]);
  });

  it('simulates rows from the project’s table', async () => {
    await writeFile(join(folder, 'rows.csv'), 'temp,hum,label\n20,40,low\n30,60,high\n');
    await writeFile(
      join(folder, 'aiot.yaml'),
      'name: rows\nmodel:\n  table: { file: rows.csv }\n  labels: { low: [low], high: [high] }\n',
    );
    const contract = { fields: ['hum', 'temp'].map((name) => ({ name, unit: '' })), rateHz: null };
    const project = await loadProject(folder);
    const sensing = await openSensing({ contract, simulate: { project, speed: 'max' } });
    for await (const { values } of sensing) {
      expect([...values.subarray(0, 6)]).toEqual([40, 20, 60, 30, 40, 20]);
      break;
    }
    await sensing.close();
  });

  it.each([
    ['telegram://x/y', 'AIOT_SENSOR_URL', 'telegram: cannot be read from'],
    ['walking.csv', 'AIOT_SENSOR_URL', 'expected a URL'],
    ['file:none.csv', 'AIOT_FILE_NOT_FOUND', 'none.csv'],
    ['i2c://sim/none', 'AIOT_SENSOR_URL', 'none'],
    ['serial:///dev/none', 'AIOT_SERIAL_NOT_FOUND', '/dev/none'],
  ])('rejects %s', async (sensor, code, message) => {
    await expect(openSensing({ sensor, contract: motion })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it('is required', async () => {
    await expect(openSensing({ contract: motion })).rejects.toMatchObject({ code: 'AIOT_SENSOR_MISSING' });
  });
});
