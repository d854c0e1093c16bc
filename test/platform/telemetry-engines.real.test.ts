import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import type { Entry, TakeKey } from '../../src/lib/platform/journal/entry.js';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { root } from '../support/cli.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { seriesSuite } from './series-suite.js';

const inference = (seq: number, recording: string, label: string): Entry => ({
  at: 5,
  device: 'a',
  channel: 'inference',
  payload: {
    ...{ seq, t: seq, model: { name: 'm', version: 2 }, recording, window: seq, label, voted: label },
    ...{ scores: [1], latencyMs: 2 },
  },
});
const sent = (device: string, payload: Record<string, unknown>, at = 1000): Entry => ({
  ...{ at, device, channel: 'telemetry', stream: 's', payload },
});
const key = (device: string, recording = 'r'): TakeKey => ({
  ...{ channel: 'telemetry', stream: 's', device, recording },
});

/** The requirements for both engines. `again` closes the store and reopens it. */
function conformance(engine: () => Promise<{ telemetry: Telemetry; again: () => Promise<Telemetry> }>) {
  const values = async (telemetry: Telemetry, of: TakeKey, span = {}) => {
    const found: unknown[] = [];
    for await (const { payload } of telemetry.read(of, span)) found.push(payload.x);
    return found;
  };

  seriesSuite(async () => (await engine()).telemetry);

  it('pages through the log lines of all devices, newest first', async () => {
    const { telemetry, again } = await engine();
    const line = (device: string, at: number, t = at): Entry => ({
      ...{ at, device, channel: 'log', payload: { t, level: 'info', message: `${device} ${at}` } },
    });
    const start = Date.UTC(2026, 0, 1);
    for (let i = 0; i < 6; i++) await telemetry.append(line(i % 2 === 0 ? 'log-a' : 'log-b', start + i));
    await telemetry.append(sent('log-a', { seq: 1, t: start, recording: 'r', x: 1 }));
    await telemetry.append(line('log-c', start + 6, 1));
    await telemetry.append(line('log-c', start + 7, start - 1000));
    const reopened = await again();
    const pages: unknown[] = [];
    for (let after: string | undefined; ; ) {
      const page = await reopened.logs({ after, from: start, limit: 3 });
      pages.push(page.map(({ entry }) => entry?.payload.message));
      after = page.at(-1)?.position;
      if (page.length < 3) break;
    }
    expect(pages.flat()).toEqual(
      [6, 5, 4, 3, 2, 1, 0].map((i) => `log-${i === 6 ? 'c' : 'ab'[i % 2]} ${start + i}`),
    );
    expect(pages.map((page) => (page as unknown[]).length)).toEqual([3, 3, 1]);
  });

  it('seeks to the log lines before a time, without a look at those that arrived later', async () => {
    const { telemetry, again } = await engine();
    const start = Date.UTC(2026, 1, 1);
    for (let i = 0; i < 60; i++) {
      const at = start + i * 1000;
      await telemetry.append({
        ...{ at, device: 'seek-a', channel: 'log' },
        payload: { t: at, level: 'info', message: `seek ${i}` },
      });
      if (i % 3 === 0) await telemetry.append(sent('seek-a', { seq: i, recording: 'seek', x: 1 }, at));
    }
    const reopened = await again();
    const found = async (until: number, limit = 3) =>
      (await reopened.logs({ until, from: start, limit })).map(({ entry }) => entry?.payload.message);
    for (const i of [0, 1, 2, 3, 29, 30, 58, 59])
      expect(await found(start + i * 1000, 1)).toEqual([`seek ${i}`]);
    expect(await found(start + 30_500)).toEqual(['seek 30', 'seek 29', 'seek 28']);
    expect(await found(start + 10 * 86_400_000)).toEqual(['seek 59', 'seek 58', 'seek 57']);
    expect(await found(start - 1)).toEqual([]);
    // A following page continues at its position.
    const [last] = (await reopened.logs({ until: start + 5000, from: start, limit: 1 })).slice(-1);
    const rest = await reopened.logs({ after: last?.position, until: start + 5000, from: start, limit: 2 });
    expect(rest.map(({ entry }) => entry?.payload.message)).toEqual(['seek 4', 'seek 3']);
  });

  it('stores acknowledged messages, drops repeats, and keeps counts', async () => {
    const { telemetry, again } = await engine();
    const order = [0, 1, 5, 3, 3, 1, 7];
    await Promise.all(
      order.map((seq) => telemetry.append(sent('a', { seq, t: seq * 10, recording: 'r', x: seq }))),
    );
    await telemetry.append(sent('a', { seq: 5, recording: 'r', x: 5 }));
    await telemetry.append(sent('a', { seq: 8, t: 900_000, rate: 50, recording: 'r', x: [8, 9], y: [1, 2] }));
    await telemetry.append(sent('b', { x: 1, note: 'a\u0000b"ü' }, 200_000));
    await telemetry.append(sent('b', { x: 2, t: 5 }, 200_000));
    const second = await again();
    const take = await second.take(key('a'));
    expect(take).toMatchObject({
      ...{ messages: 6, samples: 7, duplicates: 3, outOfOrder: 1, future: 1, late: 0, numbered: 6 },
      ...{ minSeq: 0, maxSeq: 8, startedAt: 0, endedAt: 900_000, rateHz: 50, firstAt: 1000, lastAt: 1000 },
    });
    expect(await values(second, key('a'))).toEqual([0, 1, 3, 5, 7, [8, 9]]);
    expect(await second.stream('s')).toMatchObject({
      fields: ['x', 'y'],
      recordings: 2,
      messages: 8,
      duplicates: 3,
    });
    expect(await second.streams({ limit: 10 })).toMatchObject([{ name: 's' }]);
    expect(await second.take(key('b', 'day-1970-01-01'))).toMatchObject({
      messages: 2,
      late: 1,
      outOfOrder: 1,
    });
    expect(await second.take(key('c'))).toBeNull();
    expect(await second.stream('none')).toBeNull();
    await second.close();
  });

  it('lists recordings by device and name, in pages, and reads a time range', async () => {
    const { telemetry } = await engine();
    const hour = 3_600_000;
    for (const device of ['b', 'a', 'B']) {
      for (const recording of ['r2', 'r1']) {
        const all = [0, 1, 2, 3, 4].map((seq) => sent(device, { seq, t: seq * hour, recording, x: seq }));
        await Promise.all(all.map((entry) => telemetry.append(entry)));
      }
    }
    const first = await telemetry.takes({ stream: 's', limit: 4 });
    expect(first.map(({ device, recording }) => `${device}/${recording}`)).toEqual([
      'B/r1',
      'B/r2',
      'a/r1',
      'a/r2',
    ]);
    const rest = await telemetry.takes({ stream: 's', after: 'a/r2', limit: 4 });
    expect(rest.map(({ device }) => device)).toEqual(['b', 'b']);
    expect(await telemetry.takes({ stream: 's', devices: ['a'], limit: 4 })).toHaveLength(2);
    expect(await values(telemetry, key('a', 'r1'), { from: 3 * hour, to: 3 * hour })).toEqual([2, 3]);
    await telemetry.close();
  });

  it('removes recordings permanently, and a device can start them again', async () => {
    const { telemetry, again } = await engine();
    for (const recording of ['r', 'q']) {
      for (const seq of [0, 1, 2]) await telemetry.append(sent('a', { seq, recording, x: seq }));
    }
    await telemetry.remove([key('a', 'q'), key('a', 'none')]);
    await telemetry.reclaim(0);
    expect(await telemetry.take(key('a', 'q'))).toBeNull();
    expect(await telemetry.stream('s')).toMatchObject({ recordings: 1, messages: 3 });
    await telemetry.append(sent('a', { seq: 1, recording: 'q', x: 11 }));
    const second = await again();
    expect(await values(second, key('a', 'q'))).toEqual([11]);
    expect(await values(second, key('a'))).toEqual([0, 1, 2]);
    await second.close();
  });

  it('counts each prediction of a model once, by recording', async () => {
    const { telemetry, again } = await engine();
    const all = [
      inference(1, 'r', 'walk'),
      inference(2, 'r', 'walk'),
      inference(2, 'r', 'walk'),
      inference(3, 'q', 'sit'),
    ];
    await Promise.all(all.map((entry) => telemetry.append(entry)));
    const counts = {
      takes: {
        'a/r': { label: { walk: 2 }, voted: { walk: 2 } },
        'a/q': { label: { sit: 1 }, voted: { sit: 1 } },
      },
      devices: { a: 3 },
    };
    expect(await telemetry.live('m', 2)).toMatchObject(counts);
    const asked = ['a/q', 'a/none', 'a/r', 'b/r', 'a'];
    expect(await telemetry.predicted(asked)).toEqual(new Set(['a/q', 'a/r']));
    const second = await again();
    expect(await second.live('m', 2)).toMatchObject(counts);
    expect(await second.predicted(asked)).toEqual(new Set(['a/q', 'a/r']));
    await second.close();
  });

  it('rejects only the messages that cannot be stored', async () => {
    const { telemetry } = await engine();
    const wide = Object.fromEntries(Array.from({ length: 1100 }, (_, n) => [`f${n}`, n]));
    const nested = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`);
    const settled = await Promise.allSettled([
      telemetry.append(sent('a', { seq: 0, recording: 'r', x: 0 })),
      telemetry.append(sent('a', { seq: 1, recording: 'r', ...wide })),
      telemetry.append(sent('a', { seq: 2, recording: 'r', x: 0, nested })),
      telemetry.append(sent('a', { seq: 3, recording: 'r', x: 3 })),
    ]);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    expect(settled[1]).toMatchObject({ reason: { code: 'AIOT_MESSAGE_MALFORMED' } });
    expect(await values(telemetry, key('a'))).toEqual([0, 3]);
    await telemetry.close();
    await expect(telemetry.append(sent('a', { x: 1 }))).rejects.toMatchObject({
      code: 'AIOT_PLATFORM_UNREACHABLE',
    });
  });

  it('delivers durable messages once each, in order, from a given position', async () => {
    const { telemetry } = await engine();
    for (const seq of [0, 1, 1, 2]) await telemetry.append(sent('a', { seq, recording: 'r', x: seq }));
    const controller = new AbortController();
    const seen: { x: unknown; position: string }[] = [];
    for await (const batch of telemetry.reader.from(null, controller.signal)) {
      for (const { entry, position } of batch) seen.push({ x: entry.payload.x, position });
      if (seen.length === 2) await telemetry.append(sent('a', { seq: 3, recording: 'r', x: 3 }));
      if (seen.length >= 3) break;
    }
    expect(seen.slice(0, 3).map(({ x }) => x)).toEqual([0, 1, 2]);
    for await (const [next] of telemetry.reader.from(seen[1]?.position ?? '', controller.signal)) {
      expect(next?.entry.payload.x).toBe(2);
      break;
    }
    controller.abort();
    await telemetry.close();
  });
}

async function reopened(open: () => Promise<Telemetry>) {
  const telemetry = await open();
  const again = async () => {
    await telemetry.close();
    return open();
  };
  return { telemetry, again };
}

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

describe('telemetry in SQLite', () => {
  conformance(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-telemetry-'));
    folders.push(folder);
    const open = () => openTelemetry({ folder, now: () => 1 });
    return reopened(open);
  });
});

describeReal('postgres', 'telemetry in PostgreSQL', () => {
  describe('in its own database', () => {
    let server: Promise<Postgres> | undefined;
    afterAll(async () => (await server)?.stop());
    const database = async () => {
      server ??= startPostgres();
      return (await server).database();
    };
    conformance(async () => {
      const url = await database();
      const open = () => openTelemetry({ folder: '', now: () => 1 }, url);
      return reopened(open);
    });

    it('is migrated from an earlier version, and then detects repeats and reads messages without a checksum', async () => {
      const url = await database();
      const { default: pg } = await import('pg');
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(earlierTables);
      const counts = (messages: number) =>
        JSON.stringify({ messages, samples: messages, numbered: messages });
      await client.query(
        `INSERT INTO "telemetryTakes" ("channel", "stream", "device", "recording", "counts")
         VALUES ('telemetry', 's', 'a', 'r', $1), ('telemetry', 's', 'a', 'day-1970-01-01', $2)`,
        [counts(2), counts(1)],
      );
      await client.query(`INSERT INTO "telemetryStreams" VALUES ('s', $1)`, [
        JSON.stringify({
          name: 's',
          fields: ['x'],
          recordings: 2,
          messages: 3,
          samples: 3,
          bytes: 9,
          duplicates: 0,
        }),
      ]);
      const all = [sent('a', { seq: 0, recording: 'r', x: 0 }), sent('a', { seq: 1, recording: 'r', x: 1 })];
      const loose = sent('a', { seq: 7, t: 5, x: 7 });
      for (const [take, id, seq, entry] of [
        [1, '0', 0, all[0]],
        [1, '1', 1, all[1]],
        [2, '7:5', 7, loose],
      ] as const)
        await client.query(
          `INSERT INTO "telemetryMessages" ("take", "key", "seq", "t", "entry") VALUES ($1, $2, $3, $4, $5)`,
          [take, id, seq, 5, JSON.stringify(entry)],
        );
      await client.end();
      const telemetry = await openTelemetry({ folder: '', now: () => 1 }, url);
      for (const entry of [...all, loose, sent('a', { seq: 2, recording: 'r', x: 2 })])
        await telemetry.append(entry);
      const found: unknown[] = [];
      for await (const { payload } of telemetry.read(key('a'))) found.push(payload.x);
      expect(found).toEqual([0, 1, 2]);
      expect(await telemetry.stream('s')).toMatchObject({ messages: 4, duplicates: 3 });
      await telemetry.remove([key('a')]);
      expect(await telemetry.stream('s')).toMatchObject({ messages: 1, recordings: 1 });
      await telemetry.close();
    }, 30_000);

    it('stores each message once when several replicas write at the same time', async () => {
      const url = await database();
      const replicas = await Promise.all(
        [1, 2, 3].map(() => openTelemetry({ folder: '', now: () => 1 }, url)),
      );
      const all = replicas.flatMap((replica) =>
        Array.from({ length: 200 }, (_, seq) =>
          replica.append(sent(`d${seq % 7}`, { seq, recording: 'r', x: seq })),
        ),
      );
      await Promise.all(all);
      expect(await replicas[0]?.stream('s')).toMatchObject({ messages: 200, duplicates: 400, recordings: 7 });
      await Promise.all(replicas.map((replica) => replica.close()));
    }, 30_000);

    it('is written while another transaction holds the rows of the stream and of the recordings', async () => {
      const url = await database();
      const telemetry = await openTelemetry({ folder: '', now: () => 1 }, url);
      await telemetry.append(sent('a', { seq: 0, recording: 'r', x: 0 }));
      await telemetry.take(key('a'));
      const { default: pg } = await import('pg');
      const other = new pg.Client({ connectionString: url });
      await other.connect();
      await other.query('begin');
      await other.query('SELECT * FROM "telemetryStreams", "telemetryTakes" FOR NO KEY UPDATE');
      for (let seq = 1; seq < 4; seq++) await telemetry.append(sent('a', { seq, recording: 'r', x: seq }));
      const [stored] = (await other.query('SELECT count(*)::int AS n FROM "telemetryMessages"')).rows;
      expect(stored).toEqual({ n: 4 });
      await other.query('commit');
      await other.end();
      expect(await telemetry.take(key('a'))).toMatchObject({ messages: 4, maxSeq: 3 });
      await telemetry.close();
    }, 30_000);

    it('counts what a killed replica stored, also when several replicas read at once', async () => {
      const url = await database();
      const program = `
        const { openTelemetry } = await import(${JSON.stringify(new URL('../../src/lib/platform/journal/sqlite.ts', import.meta.url).href)});
        const telemetry = await openTelemetry({ folder: '', now: () => 1 }, ${JSON.stringify(url)});
        for (let seq = 0; seq < 50; seq++)
          await telemetry.append({ at: 1, device: 'd' + (seq % 5), channel: 'telemetry', stream: 's', payload: { seq, recording: 'r', x: seq } });
        process.kill(process.pid, 'SIGKILL');`;
      const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
        cwd: root,
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
      const replicas = await Promise.all(
        [1, 2, 3].map(() => openTelemetry({ folder: '', now: () => 1 }, url)),
      );
      const read = await Promise.all(replicas.map((replica) => replica.stream('s')));
      for (const totals of read)
        expect(totals).toMatchObject({ recordings: 5, messages: 50, samples: 50, duplicates: 0 });
      await Promise.all(replicas.map((replica) => replica.close()));
    }, 60_000);

    it('finds a log line as soon as it is acknowledged, and counts classes that PostgreSQL cannot store as they are', async () => {
      const telemetry = await openTelemetry({ folder: '', now: () => 1 }, await database());
      const at = Date.UTC(2026, 0, 3);
      await telemetry.append({
        ...{ at, device: 'a', channel: 'log' },
        payload: { t: at, level: 'info', message: 'first' },
      });
      expect(await telemetry.logs({ from: at - 1, limit: 2 })).toHaveLength(1);
      const classes = ['fan\u0000', 'x'.repeat(6000), '\ud83d', '\ud83e', 'fan'];
      for (const [i, label] of classes.entries()) await telemetry.append(inference(i, 'r', label));
      await telemetry.append(sent('a', { seq: 0, recording: 'r', x: 1 }));
      expect(await telemetry.stream('s')).toMatchObject({ messages: 1 });
      const { takes } = await telemetry.live('m', 2);
      expect(Object.values(takes['a/r']!.label).reduce((sum, n) => sum + n, 0)).toBe(classes.length);
      await telemetry.close();
    }, 30_000);

    it('sets aside counts that cannot be added, logs them, and counts the others', async () => {
      const url = await database();
      const errors: unknown[] = [];
      const log = pino({ level: 'error' }, { write: (line: string) => errors.push(JSON.parse(line).msg) });
      const telemetry = await openTelemetry({ folder: '', now: () => 1, log }, url);
      const { default: pg } = await import('pg');
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`INSERT INTO "telemetryUncounted" ("counts") VALUES ('{"takes":')`);
      await telemetry.append(sent('a', { seq: 0, recording: 'r', x: 1 }));
      expect(await telemetry.take(key('a'))).toMatchObject({ messages: 1 });
      const { rows } = await client.query('SELECT "counts", "broken" FROM "telemetryUncounted"');
      expect(rows).toEqual([{ counts: '{"takes":', broken: true }]);
      expect(errors).toEqual(['could not count stored telemetry']);
      await client.end();
      await telemetry.close();
    }, 30_000);

    it('reads a recording in order, although two replicas stored it at the same time', async () => {
      const url = await database();
      const replicas = await Promise.all([1, 2].map(() => openTelemetry({ folder: '', now: () => 1 }, url)));
      await Promise.all(
        Array.from({ length: 400 }, async (_, seq) => {
          await delay(seq / 4);
          await replicas[seq % 2]!.append(sent('a', { seq, t: seq * 10, recording: 'r', x: seq }));
        }),
      );
      const found: unknown[] = [];
      for await (const { payload } of replicas[0]!.read(key('a'))) found.push(payload.x);
      expect(found).toEqual(Array.from({ length: 400 }, (_, seq) => seq));
      await Promise.all(replicas.map((replica) => replica.close()));
    }, 30_000);

    it('accepts messages while the same process removes recordings', async () => {
      const telemetry = await openTelemetry({ folder: '', now: () => 1 }, await database());
      const removing = (async () => {
        for (let i = 0; i < 60; i++) await telemetry.remove([key('a'), key('b')]);
      })();
      let isRemoving = true;
      void removing.finally(() => {
        isRemoving = false;
      });
      for (let seq = 0; isRemoving; seq++)
        await Promise.all(
          ['a', 'b', 'c'].map((device) => telemetry.append(sent(device, { seq, recording: 'r', x: seq }))),
        );
      await removing;
      const { recordings } = (await telemetry.stream('s'))!;
      expect(recordings).toBe((await telemetry.takes({ stream: 's', limit: 10 })).length);
      await telemetry.close();
    }, 60_000);

    it('stores the same messages in any order at several replicas, and counts exactly those that are stored, while recordings are removed', async () => {
      const url = await database();
      const replicas = await Promise.all(
        [1, 2, 3].map(() => openTelemetry({ folder: '', now: () => 1 }, url)),
      );
      const devices = ['a', 'b', 'c', 'd'];
      const writes = Array.from({ length: 20 }, async (_, round) => {
        await delay(round * 15);
        for (const [i, replica] of replicas.entries()) {
          const some = Array.from({ length: 40 }, (_, n) => Math.floor(round / 2) * 40 + n);
          if ((i + round) % 2 === 0) some.reverse();
          await Promise.all(
            some.map((seq) => replica.append(sent(devices[seq % 4]!, { seq, recording: 'r', x: seq }))),
          );
        }
      });
      const removals = Array.from({ length: 6 }, async (_, i) => {
        await writes[i * 3];
        await replicas[i % 3]!.remove([key(devices[i % 2]!)]);
        await replicas[(i + 1) % 3]!.stream('s');
      });
      await Promise.all([...writes, ...removals]);
      const takes = await replicas[0]!.takes({ stream: 's', limit: 10 });
      expect(takes.length).toBeGreaterThanOrEqual(2);
      const { default: pg } = await import('pg');
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      const { rows } = await client.query(
        `SELECT k."device", count(*)::int AS n, max(m."seq")::int AS newest FROM "telemetryMessages" AS m
         JOIN "telemetryTakes" AS k ON k."id" = m."take" GROUP BY 1 ORDER BY 1`,
      );
      const [{ left } = { left: -1 }] = (
        await client.query(
          'SELECT count(*)::int AS left FROM "telemetryMessages" WHERE "take" NOT IN (SELECT "id" FROM "telemetryTakes")',
        )
      ).rows;
      await client.end();
      expect(takes.map(({ device, messages: n, maxSeq: newest }) => ({ device, n, newest }))).toEqual(rows);
      expect(left).toBe(0);
      const sum = (of: 'messages' | 'samples' | 'bytes' | 'duplicates') =>
        takes.reduce((total, take) => total + take[of], 0);
      expect(await replicas[1]!.stream('s')).toMatchObject({
        ...{ recordings: takes.length, messages: sum('messages'), samples: sum('samples') },
        ...{ bytes: sum('bytes'), duplicates: sum('duplicates') },
      });
      await Promise.all(replicas.map((replica) => replica.close()));
    }, 60_000);
  });
});

/** The tables as earlier versions created them, without checksums. */
const earlierTables = `
  CREATE TABLE "telemetryStreams" ("name" TEXT COLLATE "C" PRIMARY KEY, "totals" TEXT NOT NULL);
  CREATE TABLE "telemetryTakes" (
    "id" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "channel" TEXT COLLATE "C" NOT NULL,
    "stream" TEXT COLLATE "C" NOT NULL, "device" TEXT COLLATE "C" NOT NULL, "recording" TEXT COLLATE "C" NOT NULL,
    "counts" TEXT NOT NULL, UNIQUE ("channel", "stream", "device", "recording")
  );
  CREATE TABLE "telemetryMessages" (
    "take" BIGINT NOT NULL REFERENCES "telemetryTakes" ON DELETE CASCADE, "id" BIGINT GENERATED ALWAYS AS IDENTITY,
    "key" TEXT COLLATE "C", "seq" DOUBLE PRECISION NOT NULL, "t" DOUBLE PRECISION NOT NULL, "entry" TEXT NOT NULL,
    "written" xid8 NOT NULL DEFAULT pg_current_xact_id(), PRIMARY KEY ("take", "id"), UNIQUE ("take", "key")
  );
  CREATE INDEX "telemetryByTime" ON "telemetryMessages" ("take", "t", "id");
  CREATE INDEX "telemetryByNumber" ON "telemetryMessages" ("take", "seq", "id");
  CREATE INDEX "telemetryByWriting" ON "telemetryMessages" ("written", "id");
  CREATE TABLE "telemetryLive" (
    "model" TEXT COLLATE "C" NOT NULL, "kind" TEXT COLLATE "C" NOT NULL, "name" TEXT COLLATE "C" NOT NULL,
    "answer" TEXT COLLATE "C" NOT NULL, "n" BIGINT NOT NULL, PRIMARY KEY ("model", "kind", "name", "answer")
  );
  CREATE INDEX "telemetryLiveByName" ON "telemetryLive" ("name", "kind")`;
