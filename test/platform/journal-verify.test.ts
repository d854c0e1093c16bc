import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileTelemetry } from '../../src/lib/platform/journal/files.js';
import type { Tally } from '../../src/lib/platform/journal/lost.js';
import { verifyIndex, verifyJournal } from '../../src/lib/platform/journal/verify.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { ledgerIn } from '../../src/lib/platform/verify/ledger.js';

let dataDir: string;
let store: Store;
const journal = (...parts: string[]) => join(dataDir, 'journal', ...parts);
const segmentBytes = 3000;
const open = () =>
  FileTelemetry.open({
    ...{ folder: journal(), now: () => 1, segmentBytes },
    ledger: ledgerIn<Tally[]>(store, 'journal'),
  });

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'aiot-verify-'));
  store = await openStore(join(dataDir, 'state.db'));
  const telemetry = await open();
  for (let seq = 0; seq < 80; seq++) {
    const payload = { seq, t: 1000 * seq, rate: 2, recording: 'r', x: [seq, seq] };
    await telemetry.append({ at: 1000 * seq, device: 'a', channel: 'telemetry', stream: 's', payload });
  }
  await telemetry.close();
  await cp(journal(), join(dataDir, 'backup'), { recursive: true });
});
afterEach(async () => {
  await store.destroy();
  await rm(dataDir, { recursive: true, force: true });
});

async function flip(name: string, text: string) {
  const bytes = await readFile(journal(name));
  const at = bytes.indexOf(text);
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  await writeFile(journal(name), bytes);
}

const at = (seq: number) => new Date(1000 * seq).toISOString();

describe('verifying a journal', () => {
  it('finds nothing where nothing is damaged', async () => {
    expect(await verifyJournal(dataDir, { store })).toEqual([]);
    expect(await verifyIndex(dataDir)).toEqual([]);
  });

  it.each<[string, () => Promise<void>, string, object]>([
    [
      'a line that is damaged',
      () => flip('00000001.log', '"x":[7,'),
      'holds lines that are damaged',
      { stream: 's', device: 'a', from: at(7), to: at(7), rows: 2 },
    ],
    [
      'a segment that is gone',
      () => rm(journal('00000001.log')),
      'is gone',
      { stream: 's', device: 'a', from: at(0) },
    ],
    [
      'a segment that is shorter',
      () => truncate(journal('00000001.log'), 1000),
      'is shorter than it was',
      { stream: 's', device: 'a' },
    ],
  ])('names %s, and repairs it from a backup', async (_, damage, problem, lost) => {
    const whole = await readFile(journal('00000001.log'));
    await damage();
    const findings = await verifyJournal(dataDir, { store });
    expect(findings).toMatchObject([
      { part: 'journal', place: 'journal/00000001.log', problem, lost, repairable: true },
    ]);
    const from = join(dataDir, 'backup');
    expect(await verifyJournal(dataDir, { store, repair: true, from })).toEqual([]);
    expect(await readFile(journal('00000001.log'))).toEqual(whole);
    const telemetry = await open();
    expect(await telemetry.stream('s')).toMatchObject({ messages: 80, samples: 160 });
    await telemetry.close();
  });

  it('finds a line that was taken out, though every line left is whole', async () => {
    const text = await readFile(journal('00000001.log'), 'utf8');
    const lines = text.split('\n');
    // As long as before: another line stands there twice.
    lines[3] = lines[4] ?? '';
    await writeFile(journal('00000001.log'), lines.join('\n'));
    expect(await verifyJournal(dataDir, { store })).toMatchObject([{ place: 'journal/00000001.log' }]);
  });

  it('finds changed rows of the index, and repairs it by removing it', async () => {
    const { default: Database } = await import('libsql');
    const database = new Database(journal('index.db'));
    database.exec("UPDATE takes SET counts = replace(counts, '80', '79')");
    database.close();
    expect(await verifyIndex(dataDir)).toMatchObject([{ part: 'index', place: 'journal/index.db' }]);
    expect(await verifyIndex(dataDir, { repair: true })).toEqual([]);
    const telemetry = await open();
    expect(await telemetry.stream('s')).toMatchObject({ messages: 80 });
    await telemetry.close();
  });
});
