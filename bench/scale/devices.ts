// Memory and reads of a platform's registered devices, by number of devices and database. The rows are written by SQL; everything else is
// the platform's own code. Usage: npx tsx --expose-gc bench/scale/devices.ts [--devices N] [--database sqlite|postgres] [--calls N]
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { DeviceListQuery } from '../../src/lib/api/contract/devices.js';
import { AiotError } from '../../src/lib/core/errors.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { AttentionService } from '../../src/lib/platform/devices/attention.js';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { Fleet } from '../../src/lib/platform/devices/fleet.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import type { Store } from '../../src/lib/platform/store/database.js';
import { openEngine } from '../../src/lib/platform/store/engine.js';
import { startPostgres } from '../../test/support/postgres.js';
import { tidyAtEnd } from '../harness/tidy.js';

const day = 24 * 60 * 60 * 1000;
const epoch = Date.UTC(2026, 0, 1);
const types = ['esp32', 'esp32c3', 'esp32s3', 'rpi'];
export const nameOf = (i: number) => `motor-${String(i).padStart(7, '0')}`;
const hex = (i: number, length: number) => i.toString(16).padStart(length, '0');

/** The report of a device that has committed a model and firmware. */
function reportOf(i: number): Reported {
  const digest = `sha256:${hex(0x1234, 64)}`;
  const firmware = { name: 'motor', version: `1.${i % 5}.0`, sequence: 3, digest };
  return {
    ...{
      t: epoch + i * 10,
      type: types[i % types.length] ?? '',
      state: 'COMMITTED',
      rollout: 'r-20260101-abcd',
    },
    firmware: { name: 'motor', version: `1.${i % 5}.0`, release: { ...firmware, version: (i % 5) + 1 } },
    model: { name: 'motor-state', version: (i % 3) + 1, sequence: 7, digest },
    ...{ floor: 7, download: null, golden: { vectors: 3, passed: 3 }, error: null },
    sensor: { stream: 'motors', fields: ['x', 'y', 'z', 'temperature'], rate: 100, unfit: null },
    features: ['shadow', 'delta', 'logs', 'settings'],
    memory: { bytes: 98_304, free: 51_200 + (i % 64) },
    vitals: { uptimeMs: 1000 * i, boot: { reason: 'power-on' }, rssi: -50 - (i % 40) },
  } as Reported;
}

function rowOf(i: number) {
  const type = types[i % types.length] ?? '';
  return {
    ...{ name: nameOf(i), id: `d-${hex(i, 20)}`, type, state: 'active', fingerprint: hex(i, 64) },
    ...{ expires: epoch + 365 * day, created: epoch + i, lastSeen: epoch + i, nextFingerprint: null },
    ...{ nextExpires: null, mac: hex(i, 12).replace(/..(?=.)/g, '$&:'), chipId: null, secret: null },
    ...{ desired: null, settings: null, reported: JSON.stringify(reportOf(i)) },
    tags: JSON.stringify({ site: `hall-${i % 20}`, line: String(i % 100), owner: 'plant' }),
    groups: JSON.stringify(i % 1000 === 0 ? ['canary'] : []),
  };
}

export async function fill(store: Store, count: number): Promise<void> {
  for (let i = 0; i < count; i += 5000)
    await store.transaction().execute(async (transaction) => {
      for (let j = i; j < Math.min(count, i + 5000); j += 500) {
        const rows = Array.from({ length: Math.min(500, count - j) }, (_, k) => rowOf(j + k));
        await transaction.insertInto('devices').values(rows).execute();
      }
    });
}

export const percentile = (all: readonly number[], share: number) =>
  all.toSorted((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * share))] ?? Number.NaN;

/** Times of the calls of one kind, ms. */
export interface Timed {
  what: string;
  /** Whether it is a list or a selection, which must be fast. */
  isRead: boolean;
  median: number;
  p99: number;
  first: number;
}

export interface StoredDevices {
  count: number;
  /** Time to write all rows, and to read them at startup, with its CPU time, s. */
  written: number;
  read: number;
  cpu: number;
  /** Heap by device, bytes; memory of the process with all devices, and its peak so far, MB. */
  bytes: number;
  memory: number;
  peak: number;
  timed: Timed[];
}

/** Calls a function in sequence, and returns its times. */
async function timed(
  what: string,
  calls: number,
  call: (i: number) => Promise<unknown>,
  isRead = false,
): Promise<Timed> {
  const took: number[] = [];
  for (let i = 0; i < calls; i++) {
    const begun = performance.now();
    await call(i);
    took.push(performance.now() - begun);
  }
  const first = took[0] ?? Number.NaN;
  return { what, isRead, median: percentile(took, 0.5), p99: percentile(took, 0.99), first };
}

/** @param url of an empty PostgreSQL database; absent = SQLite in the folder */
export async function storedDevices(
  count: number,
  calls: number,
  folder: string,
  url?: string,
): Promise<StoredDevices> {
  const engine = await openEngine(join(folder, 'platform.db'), url);
  const now = () => Date.now();
  const filled = performance.now();
  await fill(engine.store, count);
  const written = (performance.now() - filled) / 1000;
  global.gc?.();
  const before = process.memoryUsage();
  const [begun, used] = [performance.now(), process.cpuUsage()];
  const events = eventsIn(engine.store, now, engine.changes);
  const devices = await Devices.open(engine.store, now, events, engine.turns, engine.changes);
  const read = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(used);
  const cpu = (user + system) / 1e6;
  const peak = process.resourceUsage().maxRSS / 1024;
  const ended = async () => {};
  const fleet = new Fleet({ devices, events, now, ended, removed: ended });
  const list = (query: Partial<DeviceListQuery>) => fleet.list({ limit: 100, ...query } as DeviceListQuery);
  await list({});
  global.gc?.();
  const after = process.memoryUsage();
  const bytes = (after.heapUsed + after.external - before.heapUsed - before.external) / count;
  const times: Timed[] = [];
  const reads = async (what: string, call: (i: number) => Promise<unknown>) => {
    times.push(await timed(what, calls, call, true));
  };
  const other = async (what: string, most: number, call: (i: number) => Promise<unknown>) => {
    times.push(await timed(what, Math.min(calls, most), call));
  };
  await reads('list the first 100', () => list({}));
  await reads('list 100 from the middle', () => list({ after: nameOf(count >> 1) }));
  await reads('list 100 of type=esp32', () => list({ selector: 'type=esp32' }));
  await reads('select a tag (1 in 20)', (i) => list({ selector: `tag.site=hall-${i % 20}` }));
  await reads('select a group (1 in 1000)', () => list({ selector: 'group=canary', limit: 1000 }));
  await reads('select one device by its board', (i) =>
    list({ selector: `mac=${rowOf((i * 7919) % count).mac}` }),
  );
  await reads('select by firmware (fw<1.1)', () => list({ selector: 'fw<1.1' }));
  await reads('a selector that matches nothing', () =>
    list({ selector: 'type=nothing and tag.site=hall-1' }),
  );
  // These test each device, and let other requests pass in between.
  await other('select online devices (none)', 20, () => list({ selector: 'online=true' }));
  await other('select by name (name~)', 20, () => list({ selector: 'name~*-0000001' }));
  await other('select by time (lastSeen<1d)', 20, () => list({ selector: 'lastSeen<1d' }));
  await other('choose fw<1.1 for a rollout', 20, async () => fleet.chosen('fw<1.1'));
  await reads('show one device', async (i) => devices.info(nameOf((i * 7919) % count)));
  await other('ask for an unknown device', 20, async () => {
    try {
      devices.info('motor-x');
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
    }
  });
  const attention = new AttentionService({ store: engine.store, events, devices, now });
  await other('look for devices that need attention', 3, () => attention.pass());
  await other('list the devices that need attention', calls, () => attention.list({ limit: 100 }));
  await other('register a device, then list', 20, async (i) => {
    const certificate = { fingerprint: hex(count + i, 64), expires: now() + day };
    const board = { mac: null, chipId: hex(i, 6), type: 'esp32' };
    const device = {
      ...{ name: `new-${i}`, id: `n-${i}`, state: 'registered', created: now() },
      ...{ ...board, ...certificate },
    };
    await devices.inTurn(() => devices.insert(device as never));
    await list({});
  });
  await engine.close();
  return { count, written, read, cpu, bytes, memory: after.rss / 2 ** 20, peak, timed: times };
}

function print({ count, written, read, cpu, bytes, memory, peak, timed: times }: StoredDevices): void {
  console.log(`${count} devices written in ${written.toFixed(1)} s`);
  console.log(`read in ${read.toFixed(1)} s (CPU ${cpu.toFixed(1)} s), peak ${peak.toFixed(0)} MB`);
  console.log(`${bytes.toFixed(0)} bytes of heap a device; ${memory.toFixed(0)} MB in total`);
  for (const { what, median, p99, first } of times)
    console.log(
      `${what}: median ${median.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, first ${first.toFixed(1)} ms`,
    );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      devices: { type: 'string', default: '100000' },
      database: { type: 'string', default: 'sqlite' },
      calls: { type: 'string', default: '100' },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
  // PostgreSQL runs as another user if this is root.
  chmodSync(folder, 0o711);
  tidyAtEnd(folder);
  const server = values.database === 'postgres' ? await startPostgres([], folder) : null;
  const url = server ? await server.database() : undefined;
  print(await storedDevices(Number(values.devices), Number(values.calls), folder, url));
  await server?.stop();
}
