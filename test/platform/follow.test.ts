import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import type { PlacedEntry, Telemetry } from '../../src/lib/platform/journal/telemetry.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-follow-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const openIt = () => openTelemetry({ folder, now: () => 5 });
const append = (telemetry: Telemetry, from: number, to: number, recording = 'r') =>
  Promise.all(
    Array.from({ length: to - from }, (_, i) => {
      const seq = from + i;
      const payload = { seq, t: 1000 + seq, recording, rateHz: 10, fields: { x: [seq, seq] } };
      return telemetry.append({ at: seq, device: 'd', channel: 'telemetry', stream: 's', payload });
    }),
  );

async function read(telemetry: Telemetry, position: string | null, count: number): Promise<PlacedEntry[]> {
  const got: PlacedEntry[] = [];
  for await (const batch of telemetry.reader.from(position, AbortSignal.timeout(30_000))) {
    got.push(...batch);
    if (got.length >= count) break;
  }
  return got;
}
const seqs = (entries: PlacedEntry[]) => entries.map(({ entry }) => entry.payload.seq);
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('a reader of the journal', () => {
  it('reads across segments in order, follows new entries, and resumes after any entry', async () => {
    const telemetry = await openIt();
    for (let from = 0; from < 200; from += 20) await append(telemetry, from, from + 20);
    // These entries are already stored.
    await append(telemetry, 10, 20);
    const following = read(telemetry, null, 220);
    await append(telemetry, 200, 220);
    const all = await following;
    expect(seqs(all)).toEqual(range(0, 220));
    for (const i of [0, 57, 218]) {
      expect(seqs(await read(telemetry, all[i]?.position ?? '', 219 - i))).toEqual(range(i + 1, 220));
    }
    const rest = read(telemetry, all[219]?.position ?? '', 10);
    await append(telemetry, 220, 230);
    expect(seqs(await rest)).toEqual(range(220, 230));
    await telemetry.close();
  }, 60_000);

  it('resumes after space is reclaimed, and after a restart', async () => {
    let telemetry = await openIt();
    for (let from = 0; from < 100; from += 10) {
      await append(telemetry, from, from + 10, 'stays');
      await append(telemetry, from, from + 10, 'goes');
    }
    const all = await read(telemetry, null, 200);
    const stays = all.filter(({ entry }) => entry.payload.recording === 'stays');
    await telemetry.remove([{ channel: 'telemetry', stream: 's', device: 'd', recording: 'goes' }]);
    expect((await telemetry.reclaim(0)).bytes).toBeGreaterThan(0);
    expect(seqs(await read(telemetry, stays[30]?.position ?? '', 69))).toEqual(range(31, 100));
    await telemetry.close();
    telemetry = await openIt();
    expect(seqs(await read(telemetry, stays[98]?.position ?? '', 1))).toEqual([99]);
    const gone = all.find(({ entry }) => entry.payload.recording === 'goes' && entry.payload.seq === 55);
    // The entry no longer exists, so the rest of its segment is reread, and nothing is skipped.
    const after: unknown[] = [];
    for await (const batch of telemetry.reader.from(gone?.position ?? '', AbortSignal.timeout(30_000))) {
      after.push(...seqs([...batch]));
      if (after.at(-1) === 99) break;
    }
    expect(after.slice(-40)).toEqual(range(60, 100));
    await telemetry.close();
  }, 60_000);
});
