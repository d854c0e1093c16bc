import { X509Certificate } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import type { PlatformUrls } from '../api/api.js';
import type { Condition } from '../api/condition.js';
import { lostText } from '../api/damage.js';
import { plural, size } from '../core/figures.js';
import { residentBytes } from '../core/process.js';
import { mayConnect } from '../fleet/device.js';
import type { Reference } from './datasets/orphans.js';
import type { Devices } from './devices/devices.js';
import { prunedCursor } from './events/events.js';
import type { Engines } from './options.js';
import type { Engine } from './store/engine.js';
import type { Damages } from './verify/damage.js';
import type { Scrub } from './verify/scrub.js';

export interface ConditionParts {
  dataDir: string;
  engine: Engine;
  engines: Engines | undefined;
  ingest: Condition['engines']['ingest'];
  devices: Devices;
  /** PEM */
  certificates: { ca: string; server: string };
  urls: () => PlatformUrls;
  damages: Pick<Damages, 'open'>;
  scrub: Scrub;
  /** Referenced blobs that do not exist. */
  missing: () => readonly Reference[];
  /** Number of devices of batches that wait for approval. */
  waiting: () => Promise<number>;
  /** Why the platform's own telemetry does not reach its collector; null = it does, or none is sent. */
  otlp: () => string | null;
  /** ms since 1970 */
  now: () => number;
}

type Warning = Condition['warnings'][number];

/** Thresholds of warnings: remaining validity of a certificate, ms, and free disk space, bytes. */
const soonMs = 30 * 86_400_000;
const littleBytes = 512 * 1024 ** 2;
/** A warning is reported for a reader that lags behind by more than this many events. */
const muchLag = 10_000;

/** Status of the platform: whether it can work, its storage, and warnings. */
export async function conditionOf(parts: ConditionParts): Promise<Condition> {
  const { engine, engines, dataDir, certificates } = parts;
  const trouble = await engine.trouble();
  const disk = await diskOf(dataDir);
  const ends = { ca: endOf(certificates.ca), server: endOf(certificates.server) };
  const lag = trouble ? {} : await lagOf(engine);
  const damage = trouble ? [] : await parts.damages.open();
  const warnings: Warning[] = [
    ...(trouble ? [{ about: 'database' as const, message: trouble.message }] : []),
    ...damageWarnings(damage),
    ...databaseWarnings(parts),
    ...blobWarnings(parts.missing()),
    ...diskWarnings(disk),
    ...certificateWarnings(ends, parts),
    ...(trouble ? [] : waitingWarnings(await parts.waiting())),
    ...listenerWarnings(parts.urls()),
    ...otlpWarnings(parts.otlp()),
    ...Object.entries(lag)
      .filter(([, events]) => events >= muchLag)
      .map(([name, events]) => ({
        about: 'lag' as const,
        message: `${name} is behind by ${plural(events, 'event')}`,
      })),
  ];
  return {
    ready: trouble === null,
    warnings,
    damage,
    engines: {
      database: engines?.database === undefined ? 'sqlite' : 'postgres',
      blobs: engines?.blobs === undefined ? 'folder' : 's3',
      events: engines?.events === undefined ? null : engines.events.startsWith('nats') ? 'nats' : 'kafka',
      broker: engines?.broker === undefined ? 'embedded' : 'external',
      ingest: parts.ingest,
    },
    disk,
    scrub: scrubbed(parts.scrub),
    memoryBytes: residentBytes(),
    certificates: ends,
    lag,
  };
}

async function diskOf(folder: string): Promise<Condition['disk']> {
  const found = await statfs(folder).catch(() => null);
  return found && { freeBytes: found.bavail * found.bsize, totalBytes: found.blocks * found.bsize };
}

/** Number of unread events for each reader that lags behind. Positions are event ids. */
async function lagOf({ store }: Engine): Promise<Record<string, number>> {
  const newest = await store
    .selectFrom('events')
    .select((is) => is.fn.max('id').as('id'))
    .executeTakeFirst();
  const cursors = await store.selectFrom('cursors').selectAll().where('name', '!=', prunedCursor).execute();
  const last = Number(newest?.id ?? 0);
  const behind = cursors.map(({ name, position }) => [name, Math.max(0, last - Number(position))] as const);
  return Object.fromEntries(behind.filter(([, events]) => events > 0));
}

function endOf(pem: string): number {
  return Date.parse(new X509Certificate(pem).validTo);
}

function blobWarnings(missing: readonly Reference[]): Warning[] {
  if (missing.length === 0) return [];
  const few = missing.slice(0, 3).map(({ digest, by }) => `${digest} of ${by}`);
  const message = `${plural(missing.length, 'blob')} missing: ${few.join(', ')}${missing.length > 3 ? ', …' : ''}`;
  return [{ about: 'blobs', message }];
}

/**
 * One warning for each of the first five damaged places, and one for all others; `aiot platform acknowledge` clears them.
 */
function damageWarnings(damage: Condition['damage']): Warning[] {
  const told = damage.slice(0, 5).map(({ place, problem, lost }): Warning => {
    const what = lost === undefined ? '' : `: ${lostText(lost)}`;
    return { about: 'damage', message: `${place} ${problem}${what} (aiot platform acknowledge)` };
  });
  const more = damage.length - told.length;
  if (more === 0) return told;
  const message = `${plural(more, 'more finding')}: aiot platform acknowledge --dry-run`;
  return [...told, { about: 'damage', message }];
}

function scrubbed({ last }: Scrub): Condition['scrub'] {
  return last && { ended: last.ended, blobs: last.blobs, bytes: last.bytes, damaged: last.damaged.length };
}

function databaseWarnings({ engine, scrub }: ConditionParts): Warning[] {
  if (engine.soundness.pending) {
    const message =
      'it is being checked; until the check is complete, it is read-only and devices cannot connect';
    return [{ about: 'database', message }];
  }
  const [problem] = scrub.last?.database ?? [];
  if (problem === undefined) return [];
  const message = `the last scrub found it damaged: ${problem.replace(/\s+/g, ' ')}. Next: aiot platform verify`;
  return [{ about: 'database', message }];
}

function diskWarnings(disk: Condition['disk']): Warning[] {
  if (!disk || disk.freeBytes >= littleBytes) return [];
  const left = `${size(disk.freeBytes)} of ${size(disk.totalBytes)} are left`;
  return [
    { about: 'disk', message: `${left} left; when the disk is full, new data is no longer acknowledged` },
  ];
}

function certificateWarnings(ends: Condition['certificates'], { devices, now }: ConditionParts): Warning[] {
  const soon = now() + soonMs;
  const own = Object.entries(ends)
    .filter(([, end]) => end < soon)
    .map(([what, end]): Warning => {
      const day = new Date(end).toISOString().slice(0, 10);
      return { about: 'certificate', message: `the certificate of the ${what} expires on ${day}` };
    });
  const ending = devices
    .records()
    .filter(
      ({ state, expires, nextExpires }) =>
        mayConnect(state) && expires !== null && (nextExpires ?? expires) < soon,
    );
  if (ending.length === 0) return own;
  const message = `${plural(ending.length, 'device')} with a certificate that expires within 30 days; run aiot device rotate NAME`;
  return [...own, { about: 'devices', message }];
}

function waitingWarnings(waiting: number): Warning[] {
  if (waiting === 0) return [];
  const message = `${plural(waiting, 'device')} of a batch waiting for approval; run aiot device waiting list`;
  return [{ about: 'approval', message }];
}

function otlpWarnings(trouble: string | null): Warning[] {
  return trouble === null ? [] : [{ about: 'otlp', message: trouble }];
}

/** Warnings about listeners that admit clients without a certificate or a token over TLS. */
export function listenerWarnings({ mqtt, boards, ddi, guide }: PlatformUrls): Warning[] {
  const open: [string | undefined, string][] = [
    [mqtt, 'MQTT without TLS'],
    [boards, 'boards without a certificate or password'],
    [ddi, 'update clients without TLS: anyone on the network can read their tokens'],
    [guide?.mqtt, "any client, like the guide's services (--compat architects-guide)"],
  ];
  return open.flatMap(([url, whom]): Warning[] =>
    url === undefined ? [] : [{ about: 'listener', message: `${url} accepts ${whom}` }],
  );
}
