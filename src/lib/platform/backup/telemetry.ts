import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import { isEntry, lineOf } from '../journal/entry.js';
import { openTelemetry } from '../journal/files.js';
import { listSegments, scanSegment, segmentPath } from '../journal/segments.js';
import type { JournalReader, Telemetry } from '../journal/telemetry.js';

const segmentBytes = 64 * 1024 ** 2;
/** Nothing more came for so long: what was there is read. */
const idleMs = 1500;
/** Clocks of several processes differ. */
const skewMs = 10_000;

/** Telemetry of whatever engine as the journal's segments, up to what was there when this was called. */
export async function exportTelemetry(reader: JournalReader, folder: string, now: number): Promise<void> {
  const controller = new AbortController();
  const idle = () =>
    delay(idleMs, 'idle' as const, { signal: controller.signal }).catch(() => 'idle' as const);
  const batches = reader.from(null, controller.signal)[Symbol.asyncIterator]();
  let segment = 0;
  let written = segmentBytes;
  let file: Awaited<ReturnType<typeof open>> | undefined;
  try {
    for (;;) {
      const next = await Promise.race([batches.next(), idle()]);
      if (next === 'idle' || next.done) return;
      if (next.value.every(({ entry }) => entry.at > now + skewMs)) return;
      if (written >= segmentBytes) {
        await file?.close();
        file = await open(
          segmentPath(folder, { segment: ++segment, generation: 0, checked: true }),
          'wx',
          0o600,
        );
        written = 0;
      }
      const block = Buffer.concat(next.value.map(({ entry }) => lineOf(entry).bytes));
      await file?.writeFile(block);
      written += block.length;
    }
  } finally {
    controller.abort();
    await file?.close();
    void batches.return?.().catch(() => {});
  }
}

/** Messages on their way at once. */
const atOnce = 500;

/**
 * Puts the segments of a folder into an empty database, in their order.
 * @throws AIOT_FOLDER_NOT_EMPTY, AIOT_DATABASE_UNREACHABLE
 */
export async function importTelemetry(folder: string, database: string): Promise<void> {
  const telemetry = await openTelemetry({ folder: join(folder, 'none'), now: Date.now }, database);
  try {
    if ((await telemetry.streams({ limit: 1 })).length > 0) {
      throw new AiotError('AIOT_FOLDER_NOT_EMPTY', 'the database has telemetry in it already', {
        next: 'Give it an empty one.',
      });
    }
    const newest = new Map((await listSegments(folder)).map((file) => [file.segment, file]));
    for (const file of newest.values()) await replay(folder, file, telemetry);
  } finally {
    await telemetry.close();
  }
}

async function replay(
  folder: string,
  file: Parameters<typeof scanSegment>[1],
  telemetry: Telemetry,
): Promise<void> {
  let waiting: Promise<void>[] = [];
  const settle = async () => {
    await Promise.all(waiting);
    waiting = [];
  };
  await scanSegment(
    folder,
    file,
    0,
    async (record) => {
      if (!isEntry(record)) {
        await settle();
        await telemetry.remove([record.removed]);
      } else if (record.repeat === undefined) {
        waiting.push(telemetry.append(record));
        if (waiting.length >= atOnce) await settle();
      }
    },
    false,
  );
  await settle();
}
