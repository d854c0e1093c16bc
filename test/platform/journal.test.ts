import { appendFile, copyFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { type Entry, lineOf, parseLine, type TakeKey } from '../../src/lib/platform/journal/entry.js';
import { FileTelemetry } from '../../src/lib/platform/journal/files.js';
import { decodeSpots, encodeSpots } from '../../src/lib/platform/journal/index/rows.js';
import { countEntry, emptyTake, missingIn } from '../../src/lib/platform/journal/takes.js';
import { fc } from '../support/property.js';

const folders: string[] = [];
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-journal-'));
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

const open = (segmentBytes?: number) => FileTelemetry.open({ folder, now: () => 1, segmentBytes });

/** Values of the field x, in the order in which they are read. */
async function values(journal: FileTelemetry, of: TakeKey, span = {}): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { payload } of journal.read(of, span)) found.push(payload.x);
  return found;
}

const logs = async () => (await readdir(folder)).filter((name) => name.endsWith('.log')).sort();
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

describe('the journal', () => {
  it('goes over several segments, and reads a recording back across them', async () => {
    const journal = await open(1000);
    for (const seq of upTo(60)) {
      await journal.append(telemetry('a', { seq, recording: 'r', x: seq }));
      await journal.append(telemetry('b', { seq, recording: 'r', x: -seq }));
    }
    expect((await logs()).length).toBeGreaterThan(3);
    expect(await values(journal, key('a'))).toEqual(upTo(60));

    // As after SIGKILL: not closed, so what is behind the last flush is read from the segment.
    const again = await open(1000);
    expect(await again.takes({ stream: 's', limit: 10 })).toEqual(
      await journal.takes({ stream: 's', limit: 10 }),
    );
    await again.append(telemetry('a', { seq: 60, recording: 'r', x: 60 }));
    expect(await values(again, key('a'))).toEqual(upTo(61));
    await again.close();
  });

  it('closes, where another instance has opened the folder meanwhile, and leaves its index alone', async () => {
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

  it('passes over lines that are damaged, counts them, and hands on nothing of them', async () => {
    const first = await open();
    for (const seq of upTo(5)) await first.append(telemetry('a', { seq, recording: 'r', x: 1000 + seq }));
    await first.close();
    const path = join(folder, '00000001.log');
    // One digit of the third line: it is JSON still.
    await writeFile(path, (await readFile(path, 'utf8')).replace('"x":1002', '"x":1702'));
    const second = await open();
    expect(await values(second, key('a'))).toEqual([1000, 1001, 1003, 1004]);
    expect((await second.figures()).damaged).toBe(1);
    await second.close();
    for (const suffix of ['', '-wal', '-shm']) await rm(join(folder, `index.db${suffix}`), { force: true });
    const third = await open();
    expect((await third.figures()).damaged).toBe(1);
    expect(await third.take(key('a'))).toMatchObject({ messages: 4 });
    await third.append(telemetry('a', { seq: 2, recording: 'r', x: 1002 }));
    expect(await values(third, key('a'))).toEqual([1000, 1001, 1002, 1003, 1004]);
    await third.close();
  });

  it('takes no garbage behind its end for messages', async () => {
    const first = await open();
    await first.append(telemetry('a', { seq: 0, recording: 'r', x: 1 }));
    await first.close();
    await appendFile(join(folder, '00000001.log'), 'garbage\n{"at":1}\n00000000 {"at":1}\nhalf a li');
    const second = await open();
    expect((await second.figures()).damaged).toBe(3);
    await second.append(telemetry('a', { seq: 1, recording: 'r', x: 2 }));
    expect(await values(second, key('a'))).toEqual([1, 2]);
    await second.close();
  });

  it('counts repeats within one batch, after a restart, and where there is no recording', async () => {
    const first = await open();
    const one = telemetry('a', { seq: 7, recording: 'r', x: 1 });
    const loose = telemetry('a', { seq: 7, t: 5, x: 1 });
    await Promise.all([one, one, loose, loose].map((entry) => first.append(entry)));
    await first.close();
    const second = await open();
    await Promise.all([one, loose].map((entry) => second.append(entry)));
    // A later message may have the same number: only number and time together make a repeat there.
    await second.append(telemetry('a', { seq: 7, t: 6, x: 2 }));
    const takes = await second.takes({ stream: 's', limit: 10 });
    expect(takes.map(({ recording, samples, duplicates }) => [recording, samples, duplicates])).toEqual([
      ['day-1970-01-01', 2, 2],
      ['r', 1, 2],
    ]);
    await second.close();
  });

  it('knows a repeat of any message, however many came since and in whatever order', async () => {
    const first = await open(20_000);
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
    const second = await open(20_000);
    const again = [...order.filter((n) => n % 7 === 0), 3, 6];
    await Promise.all(again.map((seq) => second.append(telemetry('a', { seq, recording: 'r', x: seq }))));
    expect(await second.take(key('a'))).toMatchObject({
      messages: order.length + 2,
      duplicates: again.length - 2,
    });
    expect(await values(second, key('a'))).toEqual([...order, 3, 6].sort((a, b) => a - b));
    await second.close();
  });

  it('refuses a payload that cannot be written, and it alone', async () => {
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

  it.each([
    ['is cut short', async () => truncate(join(folder, '00000001.log'), 100)],
    ['is gone', async () => rm(join(folder, '00000001.log'))],
  ])('takes what is sent again when a segment %s behind the index', async (_, damage) => {
    const first = await open();
    const entries = upTo(9).map((seq) => telemetry('a', { seq, recording: 'r', x: seq }));
    for (const entry of entries) await first.append(entry);
    await first.close();
    await damage();
    const second = await open();
    for (const entry of entries) await second.append(entry);
    expect(await values(second, key('a'))).toEqual(upTo(9));
    expect((await second.figures()).damaged).toBe(0);
    await second.close();
  });

  it.each<[string, () => Promise<void>]>([
    ['gone', () => rm(join(folder, 'index.db'))],
    ['no database', () => writeFile(join(folder, 'index.db'), 'x'.repeat(9000))],
    ['cut short', () => truncate(join(folder, 'index.db'), 5000)],
  ])('makes its index anew when that is %s', async (_, spoil) => {
    const first = await open(1000);
    for (const seq of upTo(40)) await first.append(telemetry('a', { seq, t: seq, recording: 'r', x: seq }));
    const before = await first.takes({ stream: 's', limit: 10 });
    await first.close();
    for (const suffix of ['-wal', '-shm']) await rm(join(folder, `index.db${suffix}`), { force: true });
    await spoil();
    const second = await open(1000);
    expect(await second.takes({ stream: 's', limit: 10 })).toEqual(before);
    expect(await values(second, key('a'))).toEqual(upTo(40));
    await second.close();
  });

  it('reads the segments that version 1 wrote, and writes none of them on', async () => {
    const old = upTo(3).map((seq) => telemetry('a', { seq, recording: 'r', x: seq }, 7));
    await writeFile(
      join(folder, '00000001.ndjson'),
      `${old.map((entry) => JSON.stringify(entry)).join('\n')}\n{"at":1,"dev`,
    );
    await writeFile(join(folder, 'index.json'), '{}');
    for (const more of [3, 4]) {
      const journal = await open();
      await journal.append(telemetry('a', { seq: 1, recording: 'r', x: 1 }));
      await journal.append(telemetry('a', { seq: more, recording: 'r', x: more }));
      expect(await values(journal, key('a'))).toEqual(upTo(more + 1));
      await journal.close();
    }
    const left = (await readdir(folder)).filter((name) => !name.startsWith('index.db'));
    expect(left.sort()).toEqual(['00000001.ndjson', '00000002.log']);
  });

  it('keeps the order in which messages came when its own clock goes back', async () => {
    const journal = await open();
    const ats = [5000, 6000, 1000, 2000, 7000];
    for (const [seq, at] of ats.entries()) {
      await journal.append(telemetry('a', { seq, t: 100 * seq, recording: 'r', x: seq }, at));
    }
    expect(await values(journal, key('a'))).toEqual(upTo(5));
    expect(await journal.take(key('a'))).toMatchObject({ firstAt: 5000, lastAt: 7000, outOfOrder: 0 });
    await journal.close();
  });

  it('reads of a time what reaches into it, and no more than the hour before', async () => {
    const journal = await open(4000);
    const hour = 3_600_000;
    for (const seq of upTo(100)) {
      await journal.append(telemetry('a', { seq, t: seq * hour, recording: 'r', x: seq }, seq * hour));
    }
    expect(await values(journal, key('a'), { from: 50 * hour, to: 52 * hour })).toEqual([49, 50, 51, 52]);
    expect(await values(journal, key('a'), { from: 200 * hour })).toEqual([]);
    await journal.close();
  });
});

describe('the disk', () => {
  it('has the message before it is synced, and that is done before anybody is told', async () => {
    const steps: string[] = [];
    const path = join(folder, '00000001.log');
    const journal = await FileTelemetry.open({
      folder,
      now: () => 1,
      async sync(file) {
        steps.push((await readFile(path, 'utf8')).includes('"x":4711') ? 'written' : 'not written');
        await file.datasync();
        await new Promise((resolve) => setTimeout(resolve, 20));
        steps.push('synced');
      },
    });
    await journal.append(telemetry('a', { seq: 0, recording: 'r', x: 4711 }));
    steps.push('told');
    expect(steps).toEqual(['written', 'synced', 'told']);
    await journal.close();
  });

  it('that is full refuses messages, keeps on answering, and takes them again when there is room', async () => {
    let full = false;
    const journal = await FileTelemetry.open({
      folder,
      now: () => 1,
      segmentBytes: 2000,
      async sync(file) {
        if (full) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        await file.datasync();
      },
    });
    const send = (seq: number) => journal.append(telemetry('a', { seq, recording: 'r', x: seq }));
    for (const seq of upTo(30)) await send(seq);
    full = true;
    const sizes = async () =>
      Promise.all((await logs()).map(async (name) => (await readFile(join(folder, name))).length));
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

describe('removing', () => {
  const fill = async (journal: FileTelemetry, recordings: string[], n = 20) => {
    for (const seq of upTo(n)) {
      await Promise.all(
        recordings.map((recording) => journal.append(telemetry('a', { seq, recording, x: seq }))),
      );
    }
  };

  it('forgets a recording for good, gives its space back, and lets the device begin it anew', async () => {
    const journal = await open(1500);
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
    for (const suffix of ['', '-wal', '-shm']) await rm(join(folder, `index.db${suffix}`), { force: true });
    const again = await open(1500);
    expect(await values(again, key('a', 'q'))).toEqual([33]);
    expect(await values(again, key('a'))).toEqual(upTo(20));
    expect(await again.stream('s')).toEqual(stream);
    await again.close();
  });

  it('is remembered by an index that is made anew before the space was given back', async () => {
    const journal = await open(1500);
    await fill(journal, ['r', 'q']);
    await journal.remove([key('a', 'q')]);
    await journal.close();
    for (const suffix of ['', '-wal', '-shm']) await rm(join(folder, `index.db${suffix}`), { force: true });
    const again = await open(1500);
    expect(await again.take(key('a', 'q'))).toBeNull();
    expect(await values(again, key('a'))).toEqual(upTo(20));
    expect((await again.reclaim(0)).bytes).toBeGreaterThan(1000);
    expect(await values(again, key('a'))).toEqual(upTo(20));
    await again.close();
  });

  it('lets a read that is under way end', async () => {
    const journal = await open(1500);
    await fill(journal, ['r', 'q'], 60);
    const reading = journal.read(key('a', 'q'));
    await reading.next();
    const paths = await logs();
    await journal.remove([key('a', 'q')]);
    await journal.reclaim(0);
    // The file that it reads is there still; those that it has not come to are told to have nothing of it.
    expect(await logs()).toContain(paths[0]);
    let more = 0;
    for await (const _ of reading) more++;
    expect(more).toBeGreaterThan(0);
    await journal.close();
    await open(1500).then((again) => again.close());
    expect(await logs()).not.toContain(paths[0]);
  });

  it.each([
    ['before the index changed over', false],
    ['before the old file went', true],
  ])('that is cut short %s leaves one of the two files', async (_, changed) => {
    const journal = await open(1500);
    await fill(journal, ['r', 'q'], 60);
    await journal.remove([key('a', 'q')]);
    const [old = ''] = await logs();
    await copyFile(join(folder, old), join(folder, 'kept'));
    if (changed) await journal.reclaim(0);
    await journal.close();
    if (changed) await copyFile(join(folder, 'kept'), join(folder, old));
    else {
      const half = await open(1500);
      const whole = await readFile(join(folder, old));
      await half.close();
      await writeFile(join(folder, '00000001.1.log'), whole.subarray(0, whole.indexOf(10) + 1));
    }
    const again = await open(1500);
    expect((await logs()).filter((name) => name.startsWith('00000001'))).toHaveLength(1);
    expect(await values(again, key('a'))).toEqual(upTo(60));
    await again.close();
  });
});

describe('a line', () => {
  it('that has lost or changed any of its bytes is no record', () => {
    const { bytes } = lineOf(telemetry('a', { seq: 1, recording: 'r', x: [1.5, 2], note: 'ü€' }));
    const line = bytes.subarray(0, -1);
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

it('chunks give back the spots that went into them', () => {
  const number = fc.oneof(fc.maxSafeNat(), fc.nat(1000), fc.double({ noNaN: true }));
  const spot = fc.record({
    gap: fc.nat(1000),
    length: fc.nat(2 ** 21),
    rows: fc.nat(1000),
    seq: fc.option(fc.oneof(fc.maxSafeNat(), fc.nat(50))),
    t: number,
  });
  fc.assert(
    fc.property(fc.array(spot), (all) => {
      let end = 0;
      const spots = all.map(({ gap, length, rows, seq, t }) => {
        const offset = end + gap;
        end = offset + length;
        return { offset, length, rows, seq, t };
      });
      expect(decodeSpots(encodeSpots(spots))).toEqual(spots.map((each) => ({ ...each, t: each.t + 0 })));
    }),
  );
});

it('what a recording says of its numbers is what came, in any order', () => {
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

it('what a day says of its numbers begins anew with the device', () => {
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
