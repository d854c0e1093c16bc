import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Entry, TakeKey } from '../../src/lib/platform/journal/entry.js';
import type { LostMessage, Tally } from '../../src/lib/platform/journal/lost.js';
import { writeSegments } from '../../src/lib/platform/journal/segments.js';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import type { TableTelemetry } from '../../src/lib/platform/journal/tables.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { repairTelemetry, verifyTelemetry } from '../../src/lib/platform/journal/verify.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import type { Finding } from '../../src/lib/platform/verify/damage.js';
import { type Ledger, type LogFile, ledgerIn } from '../../src/lib/platform/verify/ledger.js';

const folders: string[] = [];
let folder: string;
/** The contents of a state database, and the reported findings, one element per report. */
let notes: Map<string, LogFile<Tally[]>>;
let reports: (readonly Finding[])[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-damage-'));
  folders.push(folder);
  notes = new Map();
  reports = [];
});
afterAll(async () => {
  for (const path of folders) await rm(path, { recursive: true, force: true });
});

const ledger: Ledger<Tally[]> = {
  load: async () => structuredClone([...notes.values()]),
  async save(files) {
    for (const file of files) notes.set(`${file.number}.${file.generation}`, structuredClone(file));
  },
  async forget(files) {
    for (const { number, generation } of files) notes.delete(`${number}.${generation}`);
  },
};

/** A message with ten rows, which spans one second. */
const message = (device: string, seq: number, stream = 's'): Entry => ({
  at: 1000 * seq,
  device,
  channel: 'telemetry',
  stream,
  payload: {
    ...{ seq, t: 1000 * seq, rate: 10, recording: 'r' },
    x: Array.from({ length: 10 }, (_, i) => seq * 10 + i),
  },
});
const key = (device: string): TakeKey => ({ channel: 'telemetry', stream: 's', device, recording: 'r' });
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

const open = () =>
  openTelemetry({
    ...{ folder, now: () => 1, ledger },
    damage: async (findings) => void reports.push(findings),
  });

async function fill(telemetry: Telemetry, devices: readonly string[], from: number, to: number) {
  for (const seq of upTo(to).slice(from)) {
    await Promise.all(devices.map((device) => telemetry.append(message(device, seq))));
  }
}

async function read(telemetry: Telemetry, device: string) {
  const found: number[] = [];
  const lost: LostMessage[] = [];
  for await (const { payload } of telemetry.read(key(device), {}, (each) => lost.push(each)))
    found.push(payload.seq as number);
  await telemetry.settled();
  return { found, lost };
}

const iso = (t: number) => new Date(t).toISOString();

const database = () => join(folder, 'telemetry.db');
const place = { part: 'journal', place: 'telemetry.db', repairable: true };

/** Changes a byte in a device's messages with these numbers, wherever the database's pages contain them. */
async function flip(device: string, ...numbers: number[]) {
  const bytes = await readFile(database());
  for (const seq of numbers) {
    const text = `{"at":${1000 * seq},"device":"${device}"`;
    let at = bytes.indexOf(text);
    expect(at).toBeGreaterThan(0);
    for (; at >= 0; at = bytes.indexOf(text, at + 1)) bytes[at + 6] = (bytes[at + 6] ?? 0) ^ 1;
  }
  await writeFile(database(), bytes);
}

async function change(sql: string) {
  const { default: Database } = await import('libsql');
  const other = new Database(database());
  other.exec(sql);
  other.close();
}

describe('damaged telemetry rows', () => {
  it('are reported to the reader, and once with stream, device, time range and row count', async () => {
    const first = await open();
    await fill(first, ['a', 'b'], 0, 30);
    await first.close();
    await flip('a', 5, 7, 9);
    const second = await open();
    const { found, lost } = await read(second, 'a');
    expect(found).toEqual(upTo(30).filter((seq) => ![5, 7, 9].includes(seq)));
    expect(lost.map(({ t, rows }) => [t, rows])).toEqual([5, 7, 9].map((seq) => [seq * 1000, 10]));
    await read(second, 'a');
    expect(reports).toEqual([
      [
        {
          ...{ ...place, problem: 'contains damaged rows' },
          lost: { stream: 's', device: 'a', from: iso(5000), to: iso(9000), rows: 30 },
        },
      ],
    ]);
    await second.close();
  });

  it('survive space reclamation, and are still reported to readers', async () => {
    const first = await open();
    await fill(first, ['a', 'q'], 0, 60);
    await first.close();
    await flip('a', 5);
    const second = await open();
    await second.remove([key('q')]);
    await second.reclaim(0);
    const { found, lost } = await read(second, 'a');
    expect(found).toEqual(upTo(60).filter((seq) => seq !== 5));
    expect(lost.map(({ t }) => t)).toEqual([5000]);
    await second.close();
  });
});

describe('a replaced, emptied or deleted telemetry database', () => {
  const all = { stream: 's', from: iso(0), to: iso(39_000), rows: 400 };

  it.each<[string, () => Promise<void>]>([
    ['emptied', () => truncate(database(), 0)],
    ['deleted', () => rm(database())],
    ['deleted with its folder', () => rm(folder, { recursive: true })],
  ])('is reported once when %s, with everything that is missing', async (_, damage) => {
    const first = await open();
    await fill(first, ['a', 'b'], 0, 40);
    await first.close();
    await damage();
    const second = await open();
    expect(reports).toHaveLength(1);
    expect(reports[0]).toEqual(
      ['a', 'b'].map((device) => ({ ...place, problem: 'is gone', lost: { ...all, device } })),
    );
    await fill(second, ['a'], 40, 45);
    await second.close();
    const third = await open();
    expect(reports).toHaveLength(1);
    expect((await read(third, 'a')).found).toEqual([40, 41, 42, 43, 44]);
    await third.close();
  });

  it('is reported once, with the missing rows, if an earlier copy took its place', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 25);
    await first.close();
    const early = await readFile(database());
    const second = await open();
    await fill(second, ['a'], 25, 40);
    await second.close();
    await writeFile(database(), early);
    const third = await open();
    expect(reports.flat().map(({ problem, lost }) => [problem, lost?.device, lost?.to, lost?.rows])).toEqual([
      ['is missing stored rows', 'a', iso(39_000), 150],
    ]);
    await third.close();
    await open().then((again) => again.close());
    expect(reports).toHaveLength(1);
  });

  it('is reported if it was replaced by another platform’s', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 40);
    await first.close();
    const own = folder;
    folder = await mkdtemp(join(tmpdir(), 'aiot-damage-'));
    folders.push(folder);
    const other = await openTelemetry({ folder, now: () => 1 });
    await fill(other, ['b'], 0, 100);
    await other.close();
    await writeFile(join(own, 'telemetry.db'), await readFile(database()));
    folder = own;
    const second = await open();
    expect(reports.flat()).toMatchObject([
      { problem: 'is missing stored rows', lost: { device: 'a', rows: 400 } },
    ]);
    expect((await read(second, 'b')).found).toHaveLength(100);
    await second.close();
  });

  it('is reported with the number of rows deleted from it', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 50);
    await first.close();
    await change('DELETE FROM telemetryMessages WHERE seq IN (3, 4)');
    const second = await open();
    expect(reports.flat()).toMatchObject([{ lost: { device: 'a', rows: 20 } }]);
    expect((await read(second, 'a')).found).toEqual(upTo(50).filter((seq) => ![3, 4].includes(seq)));
    expect(await second.take(key('a'))).toMatchObject({ messages: 48 });
    await fill(second, ['a'], 3, 5);
    expect((await read(second, 'a')).found).toEqual(upTo(50));
    await second.close();
  });

  it('is not reported if recordings were removed', async () => {
    const first = await open();
    await fill(first, ['a', 'q'], 0, 50);
    await first.remove([key('q')]);
    await first.reclaim(0);
    await first.close();
    const second = await open();
    expect((await read(second, 'a')).found).toEqual(upTo(50));
    await second.close();
    expect(reports).toEqual([]);
  });

  it('is compared with the counts per stream and device, which are brought up to date at startup after a kill', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 60);
    await first.close();
    expect([...notes.values()].map(({ bytes, counts }) => [bytes, counts])).toEqual([
      [60, [{ stream: 's', device: 'a', messages: 60, rows: 600, from: 0, to: 59_000 }]],
    ]);
    const second = await open();
    await fill(second, ['a'], 60, 70);
    const third = await open();
    expect([...notes.values()][0]?.counts).toMatchObject([{ messages: 70, rows: 700 }]);
    await third.close();
    expect(reports).toEqual([]);
  });
});

describe('a telemetry database with damaged pages', () => {
  it('is rebuilt at startup whatever bits have changed, and every missing row is reported', async () => {
    const first = await open();
    await fill(first, ['a', 'b'], 0, 300);
    await first.close();
    const [whole, noted] = [await readFile(database()), new Map(notes)];
    let damaged = 0;
    // The same bits change in each run, spread over the whole file.
    for (let round = 0; round < 24; round++) {
      const bytes = Buffer.from(whole);
      for (let i = 0; i < 8; i++) {
        const at = (round * 7919 + i * 104_729) % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (i % 8));
      }
      await rm(folder, { recursive: true });
      await mkdir(folder);
      await writeFile(database(), bytes);
      notes = new Map(noted);
      reports = [];
      const again = await open();
      let missing = 0;
      for (const device of ['a', 'b']) {
        const { found } = await read(again, device);
        expect(upTo(300)).toEqual(expect.arrayContaining(found));
        missing += 300 - found.length;
      }
      const reported = reports.flat().reduce((sum, { lost }) => sum + (lost?.rows ?? 0), 0);
      expect(reported).toBeGreaterThanOrEqual(10 * missing);
      // The rebuilt database accepts new messages.
      await fill(again, ['c'], 0, 3);
      expect((await read(again, 'c')).found).toEqual([0, 1, 2]);
      await again.close();
      damaged += reports.length;
    }
    expect(damaged).toBeGreaterThan(4);
  }, 120_000);

  it('is set aside, and its readable rows are recovered', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 500);
    await first.close();
    const bytes = await readFile(database());
    // A page in the middle of the file.
    bytes.fill(0xff, 4096 * 20, 4096 * 21);
    await writeFile(database(), bytes);
    const second = await open();
    const { found } = await read(second, 'a');
    expect(found.length).toBeGreaterThan(300);
    expect(reports.flat()[0]).toMatchObject({
      ...place,
      problem: expect.stringMatching(/^was damaged, and/),
    });
    expect(await readdir(join(folder, 'damaged'))).toHaveLength(1);
    await second.close();
  });
});

describe('telemetry verification', () => {
  let store: Store;
  let backup: string;
  const verified = () => verifyTelemetry(folder, { store });
  const opened = () => openTelemetry({ folder, now: () => 1, ledger: ledgerIn<Tally[]>(store, 'journal') });

  beforeEach(async () => {
    store = await openStore(join(folder, 'state.db'));
    const telemetry = await opened();
    await fill(telemetry, ['a'], 0, 80);
    backup = join(folder, 'backup');
    await writeSegments(telemetry.stored(), backup);
    await telemetry.close();
  });
  afterEach(() => store.destroy());

  it('finds nothing if nothing is damaged', async () => {
    expect(await verified()).toEqual([]);
  });

  it.each<[string, () => Promise<void>, RegExp, object]>([
    [
      'a damaged row',
      () => flip('a', 7),
      /^contains damaged rows$/,
      { from: iso(7000), to: iso(7000), rows: 10 },
    ],
    ['a missing database', () => rm(database()), /^is gone$/, { from: iso(0), rows: 800 }],
    [
      'missing rows',
      () => change('DELETE FROM telemetryMessages WHERE seq > 77'),
      /^is missing stored rows$/,
      { rows: 20 },
    ],
    [
      'damaged pages',
      async () => {
        const bytes = await readFile(database());
        await writeFile(
          database(),
          bytes.fill(0xff, bytes.indexOf('"seq":7,'), bytes.indexOf('"seq":7,') + 4096),
        );
      },
      /^is damaged \(/,
      {},
    ],
  ])('reports %s, and restores the data from a backup', async (_, damage, problem, lost) => {
    await damage();
    const findings = await verified();
    expect(findings).toMatchObject([
      { ...place, problem: expect.stringMatching(problem), lost: { stream: 's', device: 'a', ...lost } },
    ]);
    await repairTelemetry(folder, { store, from: backup, findings });
    expect(await verified()).toEqual([]);
    const telemetry = await opened();
    expect((await read(telemetry, 'a')).found).toEqual(upTo(80));
    expect(await telemetry.stream('s')).toMatchObject({ messages: 80, samples: 800 });
    await telemetry.close();
  });

  describe('of log lines', () => {
    const arrival = Date.UTC(2026, 0, 5);
    // The device has no clock.
    const line = (n: number): Entry => ({
      ...{ at: arrival + 1000 * n, device: 'a', channel: 'log' },
      payload: { t: 5000 + n, level: 'info', message: `line ${n}` },
    });
    const linesOf = async (telemetry: Telemetry) =>
      (await telemetry.logs({ from: 0, limit: 100 })).map(({ entry, position }) => [
        Number(position),
        entry?.payload.message,
      ]);
    let stored: Awaited<ReturnType<typeof linesOf>>;
    let telemetry: TableTelemetry;
    beforeEach(async () => {
      telemetry = (await opened()) as TableTelemetry;
      for (const n of upTo(4)) await telemetry.append(line(n));
      stored = await linesOf(telemetry);
      await telemetry.close();
    });
    const [first, last] = [81, 84];
    const again = async () => {
      telemetry = (await opened()) as TableTelemetry;
    };
    /** Restores all lines, twice, and expects them as they were. */
    const restored = async (withId = true) => {
      for (const _ of [1, 2])
        for (const n of upTo(4)) await telemetry.restore(line(n), withId ? first + n : undefined);
      if (withId) expect(await linesOf(telemetry)).toEqual(stored);
      const texts = (await linesOf(telemetry)).map(([, message]) => message);
      expect(texts.sort()).toEqual(upTo(4).map((n) => `line ${n}`));
      const takes = await telemetry.takes({ channel: 'log', stream: '', limit: 10 });
      expect(takes.map(({ messages }) => messages)).toEqual([4]);
      return takes[0]?.recording;
    };

    it.each([
      ['under the day of arrival', 'day-2026-01-05'],
      ['by an earlier version under the day of the device', 'day-1970-01-01'],
    ])(
      'stored %s, leaves intact ones, and restores missing and damaged ones with their ids',
      async (_, recording) => {
        expect(stored.map(([id]) => id)).toEqual([last, 83, 82, first]);
        await change(`UPDATE telemetryTakes SET recording = '${recording}' WHERE channel = 'log'`);
        await again();
        expect(await restored()).toBe(recording);
        expect(await restored(false)).toBe(recording);
        await telemetry.close();
        await change(
          "DELETE FROM telemetryMessages WHERE id = 82; UPDATE telemetryMessages SET entry = '{\"x' WHERE id = 83",
        );
        await again();
        await restored();
        // The search for the lines of a time relies on ids in order of arrival.
        const until = await telemetry.logs({ from: 0, until: arrival + 1500, limit: 100 });
        expect(until.map(({ entry }) => entry?.payload.message)).toEqual(['line 1', 'line 0']);
        await telemetry.close();
      },
    );

    it('stores a line with another id if another message has its id', async () => {
      await again();
      await telemetry.restore(line(9), first);
      expect(await linesOf(telemetry)).toEqual([[expect.any(Number), 'line 9'], ...stored]);
      await telemetry.close();
    });
  });

  it('finds nothing while a platform writes and removes data', async () => {
    const telemetry = await opened();
    const writing = fill(telemetry, ['a', 'b'], 80, 200);
    const checks = await Promise.all([verified(), verified()]);
    await writing;
    await telemetry.remove([key('b')]);
    expect([...checks, await verified()]).toEqual([[], [], []]);
    await telemetry.close();
  });
});
