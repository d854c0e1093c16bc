import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Entry, TakeKey } from '../../src/lib/platform/journal/entry.js';
import { lineOf, parseLine } from '../../src/lib/platform/journal/segments.js';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import { logLinesIn } from '../../src/lib/platform/journal/tables.js';
import { countEntry, emptyTake, missingIn } from '../../src/lib/platform/journal/takes.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { fc } from '../support/property.js';

const folders: string[] = [];
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-tables-'));
  folders.push(folder);
});
afterAll(async () => {
  for (const path of folders) await rm(path, { recursive: true, force: true });
});

const telemetry = (device: string, payload: Record<string, unknown>, at = 1): Entry => ({
  at,
  device,
  channel: 'telemetry',
  stream: 's',
  payload,
});
const key = (device: string, recording = 'r'): TakeKey => ({
  channel: 'telemetry',
  stream: 's',
  device,
  recording,
});

const open = () => openTelemetry({ folder, now: () => 1 });

/** The values of the field x, in the order of reading. */
async function values(journal: Telemetry, of: TakeKey, span = {}): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { payload } of journal.read(of, span)) found.push(payload.x);
  return found;
}

const database = () => join(folder, 'telemetry.db');
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

describe('telemetry in tables', () => {
  it('is read back as it was acknowledged, even by another instance after SIGKILL', async () => {
    const journal = await open();
    for (const seq of upTo(60)) {
      await journal.append(telemetry('a', { seq, recording: 'r', x: seq }));
      await journal.append(telemetry('b', { seq, recording: 'r', x: -seq }));
    }
    expect(await values(journal, key('a'))).toEqual(upTo(60));

    // The store is not closed, as after SIGKILL.
    const again = await open();
    expect(await again.takes({ stream: 's', limit: 10 })).toEqual(
      await journal.takes({ stream: 's', limit: 10 }),
    );
    await again.append(telemetry('a', { seq: 60, recording: 'r', x: 60 }));
    expect(await values(again, key('a'))).toEqual(upTo(61));
    await again.close();
  });

  it('closes without touching messages of another instance that has opened the folder meanwhile', async () => {
    const first = await open();
    await first.append(telemetry('a', { seq: 0, recording: 'r', x: 0 }));
    await first.close();
    const stale = await open();
    await stale.append(telemetry('a', { seq: 1, recording: 'r', x: 1 }));
    const next = await open();
    await stale.close();
    await next.append(telemetry('a', { seq: 2, recording: 'r', x: 2 }));
    expect(await values(next, key('a'))).toEqual([0, 1, 2]);
    await next.close();
    const last = await open();
    expect(await values(last, key('a'))).toEqual([0, 1, 2]);
    expect(await last.take(key('a'))).toMatchObject({ messages: 3, duplicates: 0 });
    await last.close();
  });

  it('skips damaged rows, counts them, and never delivers them', async () => {
    const first = await open();
    for (const seq of upTo(5)) await first.append(telemetry('a', { seq, recording: 'r', x: 1000 + seq }));
    await first.close();
    // One digit of the third message changes, so that it is still valid JSON.
    const bytes = await readFile(database());
    bytes.write('7', bytes.indexOf('"x":1002') + 5);
    await writeFile(database(), bytes);
    const second = await open();
    expect(await values(second, key('a'))).toEqual([1000, 1001, 1003, 1004]);
    await second.settled();
    expect((await second.figures()).damaged).toBe(1);
    const followed: unknown[] = [];
    for await (const batch of second.reader.from(null, AbortSignal.timeout(5000))) {
      followed.push(...batch.map(({ entry }) => entry.payload.x));
      if (followed.length >= 4) break;
    }
    expect(followed).toEqual([1000, 1001, 1003, 1004]);
    await second.close();
  });

  it('counts repeats within one batch, after a restart, and without a recording', async () => {
    const first = await open();
    const one = telemetry('a', { seq: 7, recording: 'r', x: 1 });
    const loose = telemetry('a', { seq: 7, t: 5, x: 1 });
    await Promise.all([one, one, loose, loose].map((entry) => first.append(entry)));
    await first.close();
    const second = await open();
    await Promise.all([one, loose].map((entry) => second.append(entry)));
    // A later message may have the same number. Without a recording, only number and time together identify a repeat.
    await second.append(telemetry('a', { seq: 7, t: 6, x: 2 }));
    const takes = await second.takes({ stream: 's', limit: 10 });
    expect(takes.map(({ recording, samples, duplicates }) => [recording, samples, duplicates])).toEqual([
      ['day-1970-01-01', 2, 2],
      ['r', 1, 2],
    ]);
    await second.close();
  });

  it('recognizes a repeat of any message, however many messages followed, in any order', async () => {
    const first = await open();
    const order = [
      900,
      ...upTo(900)
        .reverse()
        .filter((n) => n % 3 !== 0),
    ];
    for (let i = 0; i < order.length; i += 100) {
      const some = order.slice(i, i + 100);
      await Promise.all(some.map((seq) => first.append(telemetry('a', { seq, recording: 'r', x: seq }))));
    }
    await first.close();
    const second = await open();
    const again = [...order.filter((n) => n % 7 === 0), 3, 6];
    await Promise.all(again.map((seq) => second.append(telemetry('a', { seq, recording: 'r', x: seq }))));
    expect(await second.take(key('a'))).toMatchObject({
      messages: order.length + 2,
      duplicates: again.length - 2,
    });
    expect(await values(second, key('a'))).toEqual([...order, 3, 6].sort((a, b) => a - b));
    await second.close();
  });

  it('rejects only the payloads that cannot be written', async () => {
    const journal = await open();
    const nested = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`);
    const wide = Object.fromEntries(upTo(1100).map((n) => [`f${n}`, n]));
    const batch = [
      journal.append(telemetry('a', { seq: 0, recording: 'r', x: 1 })),
      journal.append(telemetry('b', { seq: 0, recording: 'r', x: 1, nested })),
      journal.append(telemetry('b', { seq: 1, recording: 'r', ...wide })),
      journal.append(telemetry('a', { seq: 1, recording: 'r', x: 2 })),
    ];
    const settled = await Promise.allSettled(batch);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    await expect(batch[1]).rejects.toMatchObject({ code: 'AIOT_MESSAGE_MALFORMED' });
    await expect(batch[2]).rejects.toMatchObject({ code: 'AIOT_MESSAGE_MALFORMED' });
    expect(await values(journal, key('a'))).toEqual([1, 2]);
    expect(await journal.takes({ stream: 's', limit: 10 })).toHaveLength(1);
    await journal.close();
  });

  it('accepts messages sent again after its database was deleted', async () => {
    const first = await open();
    const entries = upTo(9).map((seq) => telemetry('a', { seq, recording: 'r', x: seq }));
    for (const entry of entries) await first.append(entry);
    await first.close();
    await rm(database());
    const second = await open();
    for (const entry of entries) await second.append(entry);
    expect(await values(second, key('a'))).toEqual(upTo(9));
    expect((await second.figures()).damaged).toBe(0);
    await second.close();
  });

  it('leaves a single file when it is closed, readable only by its owner', async () => {
    const journal = await open();
    await journal.append(telemetry('a', { seq: 0, recording: 'r', x: 0 }));
    expect((await stat(`${database()}-wal`)).mode & 0o777).toBe(0o600);
    await journal.close();
    expect(await readdir(folder)).toEqual(['telemetry.db']);
    expect((await stat(database())).mode & 0o777).toBe(0o600);
  });

  it('keeps messages in order of arrival if its own clock goes back', async () => {
    const journal = await open();
    const ats = [5000, 6000, 1000, 2000, 7000];
    for (const [seq, at] of ats.entries()) {
      await journal.append(telemetry('a', { seq, t: 100 * seq, recording: 'r', x: seq }, at));
    }
    expect(await values(journal, key('a'))).toEqual(upTo(5));
    expect(await journal.take(key('a'))).toMatchObject({ firstAt: 5000, lastAt: 7000, outOfOrder: 0 });
    await journal.close();
  });

  it('reads messages that reach into a time range, looking back at most one hour', async () => {
    const journal = await open();
    const hour = 3_600_000;
    for (const seq of upTo(100)) {
      await journal.append(telemetry('a', { seq, t: seq * hour, recording: 'r', x: seq }, seq * hour));
    }
    expect(await values(journal, key('a'), { from: 50 * hour, to: 52 * hour })).toEqual([49, 50, 51, 52]);
    expect(await values(journal, key('a'), { from: 200 * hour })).toEqual([]);
    await journal.close();
  });
});

describe('telemetry on disk', () => {
  it('is synced before it is acknowledged or readable', async () => {
    const steps: string[] = [];
    let journal: Telemetry | undefined;
    journal = await openTelemetry({
      folder,
      now: () => 1,
      async sync(file) {
        // The store is still being opened.
        if (journal === undefined) return file.datasync();
        steps.push((await journal?.take(key('a'))) === null ? 'hidden' : 'visible');
        await file.datasync();
        steps.push((await journal?.take(key('a'))) === null ? 'hidden' : 'visible');
        await new Promise((resolve) => setTimeout(resolve, 20));
        steps.push('synced');
      },
    });
    await journal.append(telemetry('a', { seq: 0, recording: 'r', x: 4711 }));
    steps.push('told');
    expect(steps).toEqual(['hidden', 'visible', 'synced', 'told']);
    await journal.close();
  });

  it('is rejected while the disk is full, stays readable, and is accepted again when there is space', async () => {
    let full = false;
    const journal = await openTelemetry({
      folder,
      now: () => 1,
      async sync(file) {
        if (full) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        await file.datasync();
      },
    });
    const send = (seq: number) => journal.append(telemetry('a', { seq, recording: 'r', x: seq }));
    for (const seq of upTo(30)) await send(seq);
    full = true;
    const sizes = async () =>
      Promise.all((await readdir(folder)).map(async (name) => (await readFile(join(folder, name))).length));
    const before = await sizes();
    const refused = await Promise.allSettled([30, 31, 32].map(send));
    for (const each of refused) expect(each).toMatchObject({ reason: { code: 'AIOT_DISK_FULL' } });
    expect(await sizes()).toEqual(before);
    expect(await values(journal, key('a'))).toEqual(upTo(30));
    expect(await journal.stream('s')).toMatchObject({ messages: 30 });
    full = false;
    for (const seq of [30, 31, 32]) await send(seq);
    expect(await values(journal, key('a'))).toEqual(upTo(33));
    await journal.close();
  });
});

describe('removal', () => {
  const fill = async (journal: Telemetry, recordings: string[], n = 20) => {
    for (const seq of upTo(n)) {
      await Promise.all(
        recordings.map((recording) => journal.append(telemetry('a', { seq, recording, x: seq }))),
      );
    }
  };

  it('removes a recording permanently and frees its space, and the device can start it again', async () => {
    const journal = await open();
    await fill(journal, ['r', 'q']);
    const before = (await journal.figures()).bytes ?? 0;
    await journal.remove([key('a', 'q')]);
    expect(await journal.take(key('a', 'q'))).toBeNull();
    const { bytes } = await journal.reclaim(0);
    expect(bytes).toBeGreaterThan(before * 0.4);
    expect(before - ((await journal.figures()).bytes ?? 0)).toBeGreaterThan(before * 0.4);
    expect(await values(journal, key('a'))).toEqual(upTo(20));
    await journal.append(telemetry('a', { seq: 3, recording: 'q', x: 33 }));
    expect(await values(journal, key('a', 'q'))).toEqual([33]);
    const stream = await journal.stream('s');
    expect(stream).toMatchObject({ recordings: 2, messages: 21, samples: 21 });
    await journal.close();
    const again = await open();
    expect(await values(again, key('a', 'q'))).toEqual([33]);
    expect(await values(again, key('a'))).toEqual(upTo(20));
    expect(await again.stream('s')).toEqual(stream);
    await again.close();
  });

  it('does not reuse the numbers of removed messages, so readers miss nothing', async () => {
    const journal = await open();
    await fill(journal, ['r', 'q']);
    const end = await journal.reader.end();
    await journal.remove([key('a', 'q')]);
    await journal.close();
    const again = await open();
    await again.append(telemetry('a', { seq: 20, recording: 'r', x: 20 }));
    for await (const [first] of again.reader.from(end, AbortSignal.timeout(5000))) {
      expect(first?.entry.payload.x).toBe(20);
      break;
    }
    await again.close();
  });

  it('does not interrupt an ongoing read', async () => {
    const journal = await open();
    await fill(journal, ['r', 'q'], 60);
    const reading = journal.read(key('a', 'q'));
    await reading.next();
    await journal.remove([key('a', 'q')]);
    await journal.reclaim(0);
    let more = 0;
    for await (const _ of reading) more++;
    expect(more).toBeGreaterThan(0);
    expect(await values(journal, key('a', 'q'))).toEqual([]);
    await journal.close();
  });

  it('is completed at the next start if it was killed before the messages were deleted', async () => {
    const journal = await open();
    await fill(journal, ['r', 'q']);
    await journal.close();
    const { default: Database } = await import('libsql');
    const half = new Database(database());
    half.exec(
      `INSERT INTO telemetryRemoved SELECT id FROM telemetryTakes WHERE recording = 'q';
       DELETE FROM telemetryTakes WHERE recording = 'q';
       UPDATE telemetryStreams SET totals = json_set(totals, '$.messages', 20, '$.recordings', 1)`,
    );
    half.close();
    const again = await open();
    expect(await again.take(key('a', 'q'))).toBeNull();
    const followed: unknown[] = [];
    for await (const batch of again.stored()) followed.push(...batch.map(({ payload }) => payload.recording));
    expect(followed).toEqual(upTo(20).map(() => 'r'));
    await again.close();
  });
});

it('log lines are found by their channel and time, without a look at other telemetry', async () => {
  const journal = await open();
  await journal.append(telemetry('a', { seq: 1, recording: 'r', x: 1 }));
  await journal.close();
  const { default: Database } = await import('libsql');
  const tables = new Database(database());
  const plan = tables
    .prepare(`EXPLAIN QUERY PLAN ${logLinesIn('"t"').replaceAll(/\$(\d)/g, '?$1')}`)
    .all(2e12, Number.MAX_SAFE_INTEGER, 500) as { detail: string }[];
  tables.close();
  const reads = plan.map(({ detail }) => detail).filter((detail) => detail.includes('telemetryMessages'));
  expect(reads).toHaveLength(2);
  for (const read of reads)
    expect(read).toMatch(
      /^SEARCH telemetryMessages USING (COVERING )?INDEX telemetryByTime \(take=\? AND t[<>]\?\)$/,
    );
});

describe('a journal line', () => {
  it('is invalid if any of its bytes are lost or changed', () => {
    const line = lineOf(telemetry('a', { seq: 1, recording: 'r', x: [1.5, 2], note: 'ü€' })).subarray(0, -1);
    expect(parseLine(line, true)).toEqual(
      telemetry('a', { seq: 1, recording: 'r', x: [1.5, 2], note: 'ü€' }),
    );
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.integer({ min: 1, max: 255 }), (i, change) => {
        const other = Buffer.from(line);
        other[i] = (other[i] ?? 0) ^ change;
        expect(parseLine(other, true)).toBeNull();
        expect(parseLine(line.subarray(0, i), true)).toBeNull();
      }),
    );
  });
});

it('a recording’s counts match the numbers received, in any order', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(60), { minLength: 1 }), (numbers) => {
      const take = emptyTake(key('a'));
      for (const seq of numbers) countEntry(take, telemetry('a', { seq, x: 1 }), 10);
      expect(missingIn(take)).toBe(Math.max(...numbers) - Math.min(...numbers) + 1 - numbers.length);
      const late = numbers.filter((seq, i) => numbers.slice(0, i).some((before) => before > seq));
      expect(take.outOfOrder).toBe(late.length);
      expect(take.samples).toBe(numbers.length);
    }),
  );
});

it('daily counts restart with the device', () => {
  const take = emptyTake(key('a', 'day-1970-01-01'));
  const send = (seq: number, t: number, at = t) => countEntry(take, telemetry('a', { seq, t, x: 1 }, at), 10);
  for (const seq of [0, 1, 4, 3]) send(seq, 1000 + seq);
  expect([missingIn(take), take.outOfOrder]).toEqual([1, 1]);
  for (const seq of [0, 1, 2]) send(seq, 5000 + seq);
  expect([missingIn(take), take.outOfOrder]).toEqual([1, 1]);
  send(3, 6000, 6000 + 60_001);
  send(4, 200_001, 140_000);
  expect([take.late, take.future]).toEqual([1, 1]);
});
