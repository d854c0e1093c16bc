import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Entry, JournalRecord, TakeKey } from '../../src/lib/platform/journal/entry.js';
import type { Tally } from '../../src/lib/platform/journal/lost.js';
import { lineOf } from '../../src/lib/platform/journal/segments.js';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import type { Finding } from '../../src/lib/platform/verify/damage.js';
import type { Ledger, LogFile } from '../../src/lib/platform/verify/ledger.js';

let folder: string;
let reports: Finding[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-migration-'));
  await mkdir(join(folder, 'journal'));
  reports = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const entry = (seq: number, recording = 'r', more: Partial<Entry> = {}): Entry => ({
  ...{ at: 1000 + seq, device: 'a', channel: 'telemetry', stream: 's' },
  payload: { seq, t: 1000 + seq, recording, x: seq },
  ...more,
});
const repeated = (seq: number): Entry => ({
  ...entry(seq),
  payload: { seq, t: 1000 + seq, recording: 'r' },
  repeat: true,
});
const removed = (recording: string) => ({ at: 1, removed: key(recording) }) as unknown as JournalRecord;
const key = (recording = 'r'): TakeKey => ({ channel: 'telemetry', stream: 's', device: 'a', recording });
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

const segment = (name: string, records: readonly JournalRecord[], rest = '') =>
  writeFile(join(folder, 'journal', name), Buffer.concat([...records.map(lineOf), Buffer.from(rest)]));
const open = (ledger?: Ledger<Tally[]>) =>
  openTelemetry({ folder, now: () => 1, ledger, damage: async (found) => void reports.push(...found) });

async function values(telemetry: Telemetry, of = key()): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { payload } of telemetry.read(of)) found.push(payload.x);
  return found;
}

describe('a journal from an earlier version', () => {
  it('is imported at startup, with its repeats and removals, and set aside', async () => {
    await writeFile(
      join(folder, 'journal', '00000001.ndjson'),
      `${[0, 1].map((seq) => JSON.stringify(entry(seq))).join('\n')}\n{"at":1,"dev`,
    );
    await segment('00000002.log', [entry(2), repeated(1), entry(0, 'q'), entry(1, 'q')]);
    // An interrupted removal leaves two generations.
    await segment('00000003.log', [entry(3), entry(2, 'q')]);
    await segment('00000003.1.log', [entry(3)]);
    await segment('00000004.log', [removed('q'), entry(5, 'q'), entry(4)], '1234 {"torn');
    await writeFile(join(folder, 'journal', 'index.db'), 'whatever');
    const telemetry = await open();
    expect(await values(telemetry)).toEqual(upTo(5));
    expect(await values(telemetry, key('q'))).toEqual([5]);
    expect(await telemetry.take(key())).toMatchObject({
      messages: 5,
      duplicates: 1,
      firstAt: 1000,
      lastAt: 1004,
    });
    expect(await telemetry.stream('s')).toMatchObject({ recordings: 2, messages: 6, duplicates: 1 });
    await telemetry.append(entry(2));
    await telemetry.append(entry(5));
    expect(await values(telemetry)).toEqual(upTo(6));
    await telemetry.close();
    expect((await readdir(folder)).sort()).toEqual(['journal-migrated', 'telemetry.db']);
    expect(reports).toEqual([]);
    const again = await open();
    expect(await values(again)).toEqual(upTo(6));
    await again.close();
  });

  it('is imported completely and only once after an interrupted migration', async () => {
    const all = upTo(9000).map((seq) => entry(seq));
    await segment('00000001.log', all.slice(0, 5000));
    await segment('00000002.log', all.slice(5000));
    let commits = 0;
    const killed = openTelemetry({
      ...{ folder, now: () => 1 },
      async sync(file) {
        // The first commit is the store's name, followed by two batches.
        if (++commits > 3) throw new Error('killed');
        await file.datasync();
      },
    });
    await expect(killed).rejects.toThrow('killed');
    expect(await readdir(folder)).toContain('journal');
    const telemetry = await open();
    expect(await values(telemetry)).toEqual(upTo(9000));
    // No message was stored twice.
    expect(await telemetry.take(key())).toMatchObject({ messages: 9000, duplicates: 0 });
    await telemetry.close();
  });

  it('is followed from a reader’s position without gaps', async () => {
    await segment(
      '00000001.log',
      upTo(100).map((seq) => entry(seq)),
    );
    await segment(
      '00000002.log',
      upTo(200)
        .slice(100)
        .map((seq) => entry(seq)),
    );
    const telemetry = await open();
    const from = async (position: string) => {
      const found: unknown[] = [];
      for await (const batch of telemetry.reader.from(position, AbortSignal.timeout(5000))) {
        found.push(...batch.map(({ entry: { payload } }) => payload.x));
        if (found.at(-1) === 199) break;
      }
      return found;
    };
    expect(await from(`2:0:50:0123abcd`)).toEqual(upTo(200).slice(100));
    expect(await from(`1:0:50:0123abcd`)).toEqual(upTo(200));
    await telemetry.append(entry(200));
    await telemetry.close();
  });

  it('is reported if lines are damaged or segments are missing', async () => {
    const counts = [{ stream: 's', device: 'a', messages: 3, rows: 3, from: 1000, to: 1002 }];
    const notes: LogFile<Tally[]>[] = [1, 2].map((number) => ({
      ...{ number, generation: 0, bytes: 1, crc: 0, digest: null, counts },
    }));
    const ledger: Ledger<Tally[]> = {
      load: async () => [...notes],
      save: async (files) => void notes.push(...files),
      forget: async (files) => {
        for (const { number } of files)
          notes.splice(
            notes.findIndex((each) => each.number === number),
            1,
          );
      },
    };
    const lines = Buffer.concat([0, 1, 2].map((seq) => lineOf(entry(seq))));
    lines[lines.indexOf('"x":1') + 4] = 57;
    await writeFile(join(folder, 'journal', '00000001.log'), lines);
    const telemetry = await open(ledger);
    expect(reports.map(({ place, problem, lost }) => [place, problem, lost?.rows])).toEqual([
      ['journal/00000002.log', 'is gone', 3],
      ['journal/00000001.log', 'contains damaged lines', 1],
    ]);
    expect(await values(telemetry)).toEqual([0, 2]);
    await telemetry.close();
    expect(notes.map(({ number }) => number)).not.toContain(1);
  });
});
