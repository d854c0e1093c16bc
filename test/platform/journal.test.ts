import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { Catalogue } from '../../src/lib/platform/journal/catalogue.js';
import { csvOf } from '../../src/lib/platform/journal/csv.js';
import type { Entry } from '../../src/lib/platform/journal/entry.js';
import { Journal } from '../../src/lib/platform/journal/journal.js';
import { addToTake, emptyTake, missingIn, type Take } from '../../src/lib/platform/journal/takes.js';

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

async function open(segmentBytes?: number) {
  const index = await Catalogue.open(folder);
  const journal = await Journal.open({
    folder,
    index,
    from: index.position,
    ...(segmentBytes ? { segmentBytes } : {}),
  });
  return { index, journal };
}

async function text(journal: Journal, index: Catalogue, key: string): Promise<string> {
  const stream = index.stream('s');
  let csv = '';
  for await (const part of csvOf(journal, stream?.fields ?? [], stream?.takes[key] as Take)) csv += part;
  return csv;
}

describe('the journal', () => {
  it('goes over several segments, and reads a recording back across them', async () => {
    const { index, journal } = await open(1000);
    for (let seq = 0; seq < 60; seq++) {
      await journal.append(telemetry('a', { seq, recording: 'r', x: seq }));
      await journal.append(telemetry('b', { seq, recording: 'r', x: -seq }));
    }
    const segments = (await readdir(folder)).filter((name) => name.endsWith('.ndjson'));
    expect(segments.length).toBeGreaterThan(3);
    const expected = `x\n${Array.from({ length: 60 }, (_, seq) => `${seq}\n`).join('')}`;
    expect(await text(journal, index, 'a/r')).toBe(expected);

    // As after SIGKILL: not closed, so what is behind the last checkpoint is read from the segment.
    const again = await open(1000);
    expect(again.index.streams()).toEqual(index.streams());
    await again.journal.append(telemetry('a', { seq: 60, recording: 'r', x: 60 }));
    expect(await text(again.journal, again.index, 'a/r')).toBe(`${expected}60\n`);
    await again.journal.close();
    await journal.close();
  });

  it('passes over lines that are no entries, and counts them', async () => {
    const first = await open();
    await first.journal.append(telemetry('a', { seq: 0, recording: 'r', x: 1 }));
    await first.journal.close();
    await appendFile(join(folder, '00000001.ndjson'), 'garbage\n{"at":1}\n');
    const second = await open();
    expect(second.journal.damaged).toBe(2);
    await second.journal.append(telemetry('a', { seq: 1, recording: 'r', x: 2 }));
    expect(await text(second.journal, second.index, 'a/r')).toBe('x\n1\n2\n');
    await second.journal.close();
  });

  it('counts repeats within one batch, after a restart, and where there is no recording', async () => {
    const first = await open();
    const one = telemetry('a', { seq: 7, recording: 'r', x: 1 });
    const loose = telemetry('a', { seq: 7, t: 5, x: 1 });
    await Promise.all([one, one, loose, loose].map((entry) => first.journal.append(entry)));
    await first.journal.close();
    const second = await open();
    await Promise.all([one, loose].map((entry) => second.journal.append(entry)));
    // A later message may have the same number: only number and time together make a repeat there.
    await second.journal.append(telemetry('a', { seq: 7, t: 6, x: 2 }));
    const takes = Object.values(second.index.stream('s')?.takes ?? {});
    expect(takes.map(({ recording, samples, duplicates }) => [recording, samples, duplicates])).toEqual([
      ['r', 1, 2],
      ['day-1970-01-01', 2, 2],
    ]);
    await second.journal.close();
  });

  it('refuses a payload that cannot be written, and it alone', async () => {
    const { index, journal } = await open();
    const nested = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`);
    const batch = [
      journal.append(telemetry('a', { seq: 0, recording: 'r', x: 1 })),
      journal.append(telemetry('b', { seq: 0, recording: 'r', x: 1, nested })),
      journal.append(telemetry('a', { seq: 1, recording: 'r', x: 2 })),
    ];
    const settled = await Promise.allSettled(batch);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await expect(batch[1]).rejects.toMatchObject({ code: 'AIOT_MESSAGE_MALFORMED' });
    expect(await text(journal, index, 'a/r')).toBe('x\n1\n2\n');
    await journal.close();
  });

  it.each([
    ['is cut short', async () => truncate(join(folder, '00000001.ndjson'), 100)],
    ['is gone', async () => rm(join(folder, '00000001.ndjson'))],
  ])('takes what is sent again when a segment %s behind the checkpoint', async (_, damage) => {
    const first = await open();
    const entries = Array.from({ length: 9 }, (_, seq) => telemetry('a', { seq, recording: 'r', x: seq }));
    for (const entry of entries) await first.journal.append(entry);
    await first.journal.close();
    await damage();
    const second = await open();
    for (const entry of entries) await second.journal.append(entry);
    const all = `x\n${entries.map((_, seq) => `${seq}\n`).join('')}`;
    expect(await text(second.journal, second.index, 'a/r')).toBe(all);
    // It can be read without the index as well: nothing was written behind a hole.
    await rm(join(folder, 'index.json'), { force: true });
    const third = await open();
    expect(third.journal.damaged).toBe(0);
    expect(await text(third.journal, third.index, 'a/r')).toBe(all);
    await third.journal.close();
    await second.journal.close();
  });

  it.each([
    ['half a checkpoint', () => '{"position":{"segment":1,"offset":0}}'],
    ['members of other kinds', () => '{"position":7,"streams":null}'],
    ['one digit changed', (whole: string) => whole.replace('"samples":1', '"samples":7')],
  ])('is read anew with %s', async (_, spoil) => {
    const first = await open();
    await first.journal.append(telemetry('a', { seq: 0, recording: 'r', x: 1 }));
    await first.journal.close();
    const file = join(folder, 'index.json');
    const whole = await readFile(file, 'utf8');
    expect(spoil(whole)).not.toBe(whole);
    await writeFile(file, spoil(whole));
    const second = await open();
    expect(second.index.streams()).toEqual(first.index.streams());
    await second.journal.close();
  });

  it('leaves cells empty for fields that a sample lacks', async () => {
    const { index, journal } = await open();
    await journal.append(telemetry('a', { seq: 0, recording: 'r', x: [1, 2], note: 'text', 'a,b': 1 }));
    await journal.append(telemetry('a', { seq: 1, recording: 'r', y: 0.1 }));
    expect(await text(journal, index, 'a/r')).toBe('x,y\n1,\n2,\n,0.1\n');
    await journal.close();
  });
});

it('what a take says of its sequence numbers is what came, in any order', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(60), { minLength: 1, maxLength: 80 }), (numbers) => {
      const take = emptyTake('a', 'r');
      const seen = new Set<number>();
      for (const seq of numbers) {
        if (seen.has(seq)) continue;
        seen.add(seq);
        addToTake(take, telemetry('a', { seq, x: 1 }), { segment: 1, offset: seen.size * 10, length: 9 });
      }
      expect(missingIn(take)).toBe(Math.max(...seen) - Math.min(...seen) + 1 - seen.size);
      expect(take.samples).toBe(seen.size);
      expect(take.ordered).toBe([...seen].every((seq, i, all) => i === 0 || seq > (all[i - 1] as number)));
      // Neighbouring lines are one place.
      expect(take.places).toHaveLength(3);
    }),
  );
});
