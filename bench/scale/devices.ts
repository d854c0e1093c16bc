// Memory and reads of a platform's registered devices, by number of devices and database. The rows are written by SQL; everything else is
// the platform's own code. Usage: npx tsx --expose-gc bench/scale/devices.ts [--devices N] [--database sqlite|postgres] [--calls N]
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
const nameOf = (i: number) => `motor-${String(i).padStart(7, '0')}`;
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

async function fill(store: Store, count: number): Promise<void> {
  for (let i = 0; i < count; i += 5000)
    await store.transaction().execute(async (transaction) => {
      for (let j = i; j < Math.min(count, i + 5000); j += 500) {
        const rows = Array.from({ length: Math.min(500, count - j) }, (_, k) => rowOf(j + k));
        await transaction.insertInto('devices').values(rows).execute();
      }
    });
}

const percentile = (all: readonly number[], share: number) =>
  all.toSorted((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * share))] ?? Number.NaN;

/** Calls a function in sequence, and prints its times. */
async function timed(what: string, calls: number, call: (i: number) => Promise<unknown>): Promise<void> {
  const took: number[] = [];
  for (let i = 0; i < calls; i++) {
    const begun = performance.now();
    await call(i);
    took.push(performance.now() - begun);
  }
  const [median, p99] = [percentile(took, 0.5), percentile(took, 0.99)];
  console.log(
    `${what}: median ${median.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, first ${took[0]?.toFixed(1)} ms`,
  );
}

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '100000' },
    database: { type: 'string', default: 'sqlite' },
    calls: { type: 'string', default: '100' },
  },
});
const [count, calls] = [Number(values.devices), Number(values.calls)];
const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
// PostgreSQL runs as another user if this is root.
chmodSync(folder, 0o711);
tidyAtEnd(folder);
const server = values.database === 'postgres' ? await startPostgres([], folder) : null;
const engine = await openEngine(join(folder, 'platform.db'), server ? await server.database() : undefined);
const now = () => Date.now();
const filled = performance.now();
await fill(engine.store, count);
console.log(`${count} devices written in ${((performance.now() - filled) / 1000).toFixed(1)} s`);
global.gc?.();
const before = process.memoryUsage();
const [begun, cpu] = [performance.now(), process.cpuUsage()];
const events = eventsIn(engine.store, now, engine.changes);
const devices = await Devices.open(engine.store, now, events, engine.turns, engine.changes);
const { user, system } = process.cpuUsage(cpu);
console.log(
  `read in ${((performance.now() - begun) / 1000).toFixed(1)} s (CPU ${((user + system) / 1e6).toFixed(1)} s), peak ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`,
);
const ended = async () => {};
const fleet = new Fleet({ devices, events, now, ended, removed: ended });
const list = (query: Partial<DeviceListQuery>) => fleet.list({ limit: 100, ...query } as DeviceListQuery);
await list({});
global.gc?.();
const after = process.memoryUsage();
const growth = (after.heapUsed + after.external - before.heapUsed - before.external) / count;
console.log(`${growth.toFixed(0)} bytes of heap a device; ${(after.rss / 2 ** 20).toFixed(0)} MB in total`);
await timed('list the first 100', calls, () => list({}));
await timed('list 100 from the middle', calls, () => list({ after: nameOf(count >> 1) }));
await timed('list 100 of type=esp32', calls, () => list({ selector: 'type=esp32' }));
await timed('select a tag (1 in 20)', calls, (i) => list({ selector: `tag.site=hall-${i % 20}` }));
await timed('select a group (1 in 1000)', calls, () => list({ selector: 'group=canary', limit: 1000 }));
await timed('select one device by its board', calls, (i) =>
  list({ selector: `mac=${rowOf((i * 7919) % count).mac}` }),
);
await timed('count fw<1.1', calls, async () => fleet.chosen('fw<1.1'));
await timed('a selector that matches nothing', calls, () =>
  list({ selector: 'type=nothing and tag.site=hall-1' }),
);
await timed('show one device', calls, async (i) => devices.info(nameOf((i * 7919) % count)));
await timed('ask for an unknown device', Math.min(calls, 20), async () => {
  try {
    devices.info('motor-x');
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
  }
});
const attention = new AttentionService({ store: engine.store, events, devices, now });
await timed('look for devices that need attention', 3, () => attention.pass());
await timed('list the devices that need attention', calls, () => attention.list({ limit: 100 }));
await timed('register a device, then list', Math.min(calls, 20), async (i) => {
  const certificate = { fingerprint: hex(count + i, 64), expires: now() + day };
  const board = { mac: null, chipId: hex(i, 6), type: 'esp32' };
  const device = {
    name: `new-${i}`,
    id: `n-${i}`,
    state: 'registered',
    created: now(),
    ...board,
    ...certificate,
  };
  await devices.inTurn(() => devices.insert(device as never));
  await list({});
});
await engine.close();
await server?.stop();
