import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Entry, TakeKey } from '../../src/lib/platform/journal/entry.js';
import { FileTelemetry } from '../../src/lib/platform/journal/files.js';
import type { LostMessage, Tally } from '../../src/lib/platform/journal/lost.js';
import type { Finding } from '../../src/lib/platform/verify/damage.js';
import type { Ledger, LogFile } from '../../src/lib/platform/verify/ledger.js';

const folders: string[] = [];
let folder: string;
/** What the state database would hold, and what was reported: one element for each report. */
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

/** A message of ten rows, a second long. */
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

const open = (segmentBytes?: number) =>
  FileTelemetry.open({
    ...{ folder, now: () => 1, segmentBytes, ledger },
    damage: async (findings) => void reports.push(findings),
  });

async function fill(telemetry: FileTelemetry, devices: readonly string[], from: number, to: number) {
  for (const seq of upTo(to).slice(from)) {
    await Promise.all(devices.map((device) => telemetry.append(message(device, seq))));
  }
}

async function read(telemetry: FileTelemetry, device: string) {
  const found: number[] = [];
  const lost: LostMessage[] = [];
  for await (const { payload } of telemetry.read(key(device), {}, (each) => lost.push(each)))
    found.push(payload.seq as number);
  await telemetry.settled();
  return { found, lost };
}

const segments = async () => (await readdir(folder)).filter((name) => name.endsWith('.log')).sort();
const iso = (t: number) => new Date(t).toISOString();

async function withoutIndex() {
  for (const end of ['', '-wal', '-shm']) await rm(join(folder, `index.db${end}`), { force: true });
}

/** Changes a byte of each line that holds this text. */
async function flip(name: string, ...texts: string[]) {
  const path = join(folder, name);
  const bytes = await readFile(path);
  for (const text of texts) {
    const at = bytes.indexOf(text);
    expect(at).toBeGreaterThan(0);
    bytes[at + text.length - 1] = (bytes[at + text.length - 1] ?? 0) ^ 1;
  }
  await writeFile(path, bytes);
}

describe('damaged lines of the journal', () => {
  it('are told to the reader, and reported once for a segment with stream, device, time range and rows', async () => {
    const first = await open();
    await fill(first, ['a', 'b'], 0, 30);
    await first.close();
    await flip('00000001.log', '"t":5000,', '"t":7000,', '"t":9000,');
    const second = await open();
    const { found, lost } = await read(second, 'a');
    expect(found).toEqual(upTo(30).filter((seq) => ![5, 7, 9].includes(seq)));
    expect(lost.map(({ t, rows }) => [t, rows])).toEqual([5, 7, 9].map((seq) => [seq * 1000, 10]));
    await read(second, 'a');
    expect(reports).toEqual([
      [
        {
          part: 'journal',
          place: 'journal/00000001.log',
          problem: 'holds lines that are damaged',
          repairable: true,
          lost: { stream: 's', device: 'a', from: iso(5000), to: iso(9000), rows: 30 },
        },
      ],
    ]);
    await second.close();
  });

  it('are reported by an index that is made anew, from what is left of them', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 10);
    await first.close();
    await flip('00000001.log', '"x":[30,3');
    await withoutIndex();
    const second = await open();
    expect(reports.flat().map(({ lost }) => lost)).toEqual([
      { stream: 's', device: 'a', from: iso(3000), to: iso(3000), rows: 10 },
    ]);
    await second.close();
  });

  it('stay in a segment that is written anew, and are told to readers as before', async () => {
    const first = await open(6000);
    await fill(first, ['a', 'q'], 0, 60);
    await first.close();
    await flip('00000001.log', '"t":5000,');
    const second = await open(6000);
    await second.remove([key('q')]);
    await second.reclaim(0);
    const { found, lost } = await read(second, 'a');
    expect(found).toEqual(upTo(60).filter((seq) => seq !== 5));
    expect(lost.map(({ t }) => t)).toEqual([5000]);
    await second.close();
  });
});

describe('a journal that was cut short, emptied or deleted', () => {
  const all = { stream: 's', from: iso(0), to: iso(39_000), rows: 400 };

  it.each<[string, () => Promise<void>, string]>([
    ['emptied', () => truncate(join(folder, '00000001.log'), 0), 'is shorter than it was'],
    ['deleted', () => rm(join(folder, '00000001.log')), 'is gone'],
    [
      'deleted with its index',
      async () => {
        await withoutIndex();
        await rm(join(folder, '00000001.log'));
      },
      'is gone',
    ],
    ['deleted as a whole', () => rm(folder, { recursive: true }), 'is gone'],
  ])('is reported when %s, once, with all that is missing', async (_, damage, problem) => {
    const first = await open();
    await fill(first, ['a', 'b'], 0, 40);
    await first.close();
    await damage();
    const second = await open();
    expect(reports).toHaveLength(1);
    expect(reports[0]).toEqual(
      ['a', 'b'].map((device) => ({
        ...{ part: 'journal', place: 'journal/00000001.log', problem, repairable: true },
        lost: { ...all, device },
      })),
    );
    await fill(second, ['a'], 40, 45);
    await second.close();
    const third = await open();
    expect(reports).toHaveLength(1);
    expect((await read(third, 'a')).found).toEqual([40, 41, 42, 43, 44]);
    await third.close();
  });

  it('is reported by how much it is shorter, after SIGKILL as well', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 40);
    await first.close();
    // As killed: the index knows nothing of it, the ledger does.
    await withoutIndex();
    const path = join(folder, '00000001.log');
    const bytes = await readFile(path);
    await truncate(path, bytes.indexOf('"t":25000,'));
    const second = await open();
    expect(reports.flat().map(({ problem, lost }) => [problem, lost?.device, lost?.to, lost?.rows])).toEqual([
      ['is shorter than it was', 'a', iso(39_000), 150],
    ]);
    await second.close();
  });

  it('is reported when one of its closed segments is gone or shorter', async () => {
    const first = await open(2000);
    await fill(first, ['a'], 0, 100);
    await first.close();
    const names = await segments();
    expect(names.length).toBeGreaterThan(4);
    await rm(join(folder, names[1] ?? ''));
    await truncate(join(folder, names[2] ?? ''), 500);
    await withoutIndex();
    const second = await open(2000);
    expect(reports.flat().map(({ place, problem }) => [place, problem])).toEqual([
      [`journal/${names[1]}`, 'is gone'],
      [`journal/${names[2]}`, 'is shorter than it was'],
    ]);
    const rows = reports.flat().reduce((sum, { lost }) => sum + (lost?.rows ?? 0), 0);
    expect((await read(second, 'a')).found).toHaveLength(100 - rows / 10);
    await second.close();
  });

  it.each<[string, (first: string, second: string, last: string) => Promise<void>, [number, string][]]>([
    [
      'swapped with another',
      async (first, second) => {
        const [a, b] = [await readFile(first), await readFile(second)];
        expect(a.length).toBeGreaterThan(b.length);
        await writeFile(first, b);
        await writeFile(second, a);
      },
      [
        [0, 'is shorter than it was'],
        [1, 'is not what was written'],
      ],
    ],
    [
      'replaced by longer content',
      async (first, second) =>
        writeFile(first, Buffer.concat([await readFile(second), await readFile(first)])),
      [[0, 'is not what was written']],
    ],
    [
      'replaced, the open one by an older one',
      async (first, _, last) =>
        writeFile(last, Buffer.concat([await readFile(first), await readFile(first)])),
      [[-1, 'is not what was written']],
    ],
    [
      'replaced by an earlier state of itself',
      async (first) => {
        const bytes = await readFile(first);
        await truncate(first, bytes.lastIndexOf('\n', bytes.length - 2) + 1);
      },
      [[0, 'is shorter than it was']],
    ],
  ])('is reported when a segment was %s, once, and is read as it is now', async (_, damage, expected) => {
    const first = await open(2000);
    await fill(first, ['a'], 0, 100);
    await first.close();
    const names = await segments();
    const paths = [names[0], names[1], names.at(-1)].map((name) => join(folder, name ?? '')) as [
      string,
      string,
      string,
    ];
    await damage(...paths);
    const second = await open(2000);
    expect(reports.flat().map(({ place, problem }) => [place, problem])).toEqual(
      expected.map(([at, problem]) => [`journal/${names.at(at)}`, problem]),
    );
    // An export of the stream is incomplete by them, also where no row is missing.
    for (const { lost } of reports.flat()) expect(lost).toMatchObject({ stream: 's', device: 'a' });
    await read(second, 'a');
    await fill(second, ['a'], 100, 105);
    await second.close();
    const third = await open(2000);
    expect((await read(third, 'a')).found).toEqual(expect.arrayContaining([100, 101, 102, 103, 104]));
    await third.close();
    expect(reports).toHaveLength(1);
  });

  it('is not reported where only a line was torn, or where recordings were removed', async () => {
    const first = await open(2000);
    await fill(first, ['a', 'q'], 0, 50);
    await first.remove([key('q')]);
    await first.reclaim(0);
    await first.close();
    const names = await segments();
    const last = join(folder, names.at(-1) ?? '');
    await writeFile(last, Buffer.concat([await readFile(last), Buffer.from('0000')]));
    const second = await open(2000);
    expect((await read(second, 'a')).found).toEqual(upTo(50));
    await second.close();
    await withoutIndex();
    const third = await open(2000);
    expect((await read(third, 'a')).found).toEqual(upTo(50));
    await third.close();
    expect(reports).toEqual([]);
  });

  it('has its closed segments noted with length, digest and rows', async () => {
    const first = await open(2000);
    await fill(first, ['a'], 0, 60);
    await first.close();
    const names = await segments();
    const known = [...notes.values()].sort((a, b) => a.number - b.number);
    expect(known.map(({ number }) => number)).toEqual(names.map((name) => Number.parseInt(name, 10)));
    for (const [i, { bytes, digest, counts }] of known.entries()) {
      expect(bytes).toBe((await stat(join(folder, names[i] ?? ''))).size);
      expect(digest === null).toBe(i === known.length - 1);
      expect(counts[0]).toMatchObject({ stream: 's', device: 'a' });
    }
    expect(known.reduce((sum, { counts }) => sum + (counts[0]?.rows ?? 0), 0)).toBe(600);
  });
});

describe('an index that is damaged', () => {
  const path = () => join(folder, 'index.db');

  it('is made anew at the start whatever bits of it have changed, and no row is missing', async () => {
    const first = await open(20_000);
    await fill(first, ['a', 'b'], 0, 300);
    await first.close();
    const whole = await readFile(path());
    let damaged = 0;
    // The same places in each run, over the whole file.
    for (let round = 0; round < 24; round++) {
      const bytes = Buffer.from(whole);
      for (let i = 0; i < 8; i++) {
        const at = (round * 7919 + i * 104_729) % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (i % 8));
      }
      await withoutIndex();
      await writeFile(path(), bytes);
      reports = [];
      const again = await open(20_000);
      for (const device of ['a', 'b']) {
        const { found, lost } = await read(again, device);
        expect([found, lost]).toEqual([upTo(300), []]);
      }
      expect(await again.stream('s')).toMatchObject({ messages: 600, samples: 6000, recordings: 2 });
      await again.close();
      expect(reports.flat().filter(({ part }) => part !== 'index')).toEqual([]);
      damaged += reports.length;
    }
    expect(damaged).toBeGreaterThan(4);
  }, 60_000);

  it('is made anew at the first error, and the read that has met it goes on', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 200);
    await first.close();
    const second = await open();
    // As another program, or the disk, would change it beneath a running platform.
    const { default: Database } = await import('libsql');
    const other = new Database(path());
    other.exec('UPDATE chunks SET spots = substr(spots, 1, 900)');
    other.close();
    expect((await read(second, 'a')).found).toEqual(upTo(200));
    expect(reports.flat()).toMatchObject([{ part: 'index', place: 'journal/index.db' }]);
    await second.append(message('a', 200));
    expect((await read(second, 'a')).found).toEqual(upTo(201));
    await second.close();
  });

  it('is made anew when a message comes that it cannot look up, and what is acknowledged is stored', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 50);
    await first.close();
    const second = await open();
    const { default: Database } = await import('libsql');
    const other = new Database(path());
    other.exec("UPDATE takes SET counts = replace(counts, '50', '40')");
    other.close();
    await Promise.all([49, 50, 51].map((seq) => second.append(message('a', seq))));
    expect((await read(second, 'a')).found).toEqual(upTo(52));
    expect(await second.take(key('a'))).toMatchObject({ messages: 52, duplicates: 1 });
    await second.close();
  });

  it('that has fewer messages than the journal, and no other fault, is made anew', async () => {
    const first = await open();
    await fill(first, ['a'], 0, 50);
    const before = await readFile(path()).catch(() => null);
    expect(before).not.toBeNull();
    await first.close();
    // A stream that is gone without a trace, as a page of an older moment has it.
    const { default: Database } = await import('libsql');
    const other = new Database(path());
    other.exec('DELETE FROM chunks; DELETE FROM takes; DELETE FROM streams');
    other.close();
    const second = await open();
    await second.settled();
    expect((await read(second, 'a')).found).toEqual(upTo(50));
    await second.close();
  });
});
