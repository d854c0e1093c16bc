import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  Attention,
  AttentionRequest,
  Cause,
  CauseCode,
  DeviceHealth,
  DeviceHealthShown,
  HealthState,
} from '../../api/contract/attention.js';
import { healthStates } from '../../api/contract/attention.js';
import type { PageQuery } from '../../api/page.js';
import { AiotError } from '../../core/errors.js';
import { mayConnect } from '../../fleet/device.js';
import {
  causesOf,
  type DriftFact,
  type HealthFacts,
  healthOf,
  rejectWindowMs,
  restartWindowMs,
} from '../../fleet/health.js';
import type { Reach } from '../access/reach.js';
import { failingAlarms } from '../events/alarms.js';
import { type Events, eventsAfter, extentOf, type NewEvent } from '../events/events.js';
import type { Store } from '../store/database.js';
import { serially } from '../store/engine.js';
import { every, type Worker } from '../workers.js';
import type { DeviceRecord, Devices } from './devices.js';
import { driftedDevices, driftOf, ownDrift } from './drift.js';
import { waitingDevices } from './enrollments.js';

interface Look {
  /** Every device with a cause, the most urgent first, then by name. */
  found: readonly DeviceHealth[];
  /** Those of `found` that are neither acknowledged nor snoozed. */
  loud: readonly DeviceHealth[];
  counts: Attention['counts'];
}

interface Parts {
  store: Store;
  events: Events;
  devices: Devices;
  /** ms since 1970 */
  now: () => number;
}

/** How often the causes are compared with the stored ones, ms. */
const passEveryMs = 2000;
/** From this number of devices on, the result of a look is used again, for this multiple of the time that it took. */
const manyDevices = 20_000;
const lookRest = 4;
/** How often rejected messages are stored, ms. */
const writeEveryMs = 1000;
/** Number of events to read initially, so that a long log does not delay the first response. */
const eventsBack = 200_000;
const eventsAtOnce = 5000;
/** Number of devices examined before yielding to other work, and number of rows per statement. */
const glance = 5000;
const rowsAtOnce = 100;
/** Number of connections remembered per device. */
const mostConnections = 50;

interface Rejected {
  count: number;
  first: number;
  last: number;
  message: string;
}

interface Stored {
  causes: Partial<Record<CauseCode, number>>;
  rejected: Rejected | null;
  acknowledged: DeviceHealth['acknowledged'];
  snoozed: DeviceHealth['snoozed'];
}

/**
 * The unwell devices, with causes and their times. Causes are computed from the devices in memory on every read. A worker stores when
 * each cause was first observed, and records an event when a device's causes change.
 */
export class AttentionService {
  /** Serializes the reads of the event log, because each one counts connections and moves the position. */
  private readonly inTurn = serially();
  /**
   * Times of recent connections, of the report with the current error, and of the first report with the latest boot reason. They are
   * read from the event log, which all replicas share.
   */
  private readonly connections = new Map<string, number[]>();
  private readonly errorsSince = new Map<string, number>();
  private readonly bootsSince = new Map<string, number>();
  private position: number | null = null;
  /** A look at all devices, possibly one that has not ended, and until when it is used again, ms of `performance.now`. */
  private lastLook: { found: Promise<Look>; until: number } | undefined;
  private readonly rejections = new Map<string, Rejected>();
  private writing: NodeJS.Timeout | undefined;
  private readonly opened: number;

  constructor(private readonly parts: Parts) {
    this.opened = parts.now();
  }

  worker(): Worker {
    return { name: 'health', run: (signal) => every(passEveryMs, signal, () => this.pass()) };
  }

  /** Counts a message that violated the protocol, and was therefore not stored. */
  rejected(device: string, message: string): void {
    const at = this.parts.now();
    const before = this.rejections.get(device);
    const { count = 0, first = at } = before ?? {};
    this.rejections.set(device, { count: count + 1, first, last: at, message: message.slice(0, 300) });
    this.writing ??= setTimeout(() => {
      this.writing = undefined;
      // A failed write is repeated with the next rejected message.
      this.writeRejections().catch(() => {});
    }, writeEveryMs);
  }

  async close(): Promise<void> {
    clearTimeout(this.writing);
    this.writing = undefined;
    await this.writeRejections().catch(() => {});
  }

  /** Adds the rejected messages since the last write to the stored ones. */
  private async writeRejections(): Promise<void> {
    const { devices, now } = this.parts;
    for (const name of [...this.rejections.keys()]) {
      const fresh = this.rejections.get(name);
      const device = devices.find(name);
      this.rejections.delete(name);
      if (!fresh || !device) continue;
      try {
        await this.writeRejection(device.id, fresh);
      } catch (error) {
        const newer = this.rejections.get(name);
        this.rejections.set(name, newer ? joined(fresh, newer, now()) : fresh);
        throw error;
      }
    }
  }

  private async writeRejection(device: string, fresh: Rejected): Promise<void> {
    const { store, now } = this.parts;
    await store.transaction().execute(async (transaction) => {
      const row = await transaction
        .selectFrom('deviceHealth')
        .select('rejected')
        .where('device', '=', device)
        .executeTakeFirst();
      const rejected = JSON.stringify(joined(parsed<Rejected>(row?.rejected ?? null), fresh, now()));
      await transaction
        .insertInto('deviceHealth')
        .values({ device, rejected, acknowledged: null, snoozed: null })
        .onConflict((conflict) => conflict.column('device').doUpdateSet({ rejected }))
        .execute();
    });
  }

  /** A page of unwell devices; `after` is the `next` of the previous page. */
  async list(
    { limit, after, all = false }: PageQuery & { all?: boolean | undefined },
    reach: Reach | null = null,
  ): Promise<Attention> {
    const { found, loud, counts } = await this.look(reach);
    const shown = all ? found : loud;
    const start = after === undefined ? 0 : firstBehind(shown, after);
    const page = shown.slice(start, start + limit);
    const last = page.at(-1);
    return {
      counts,
      quiet: found.length - loud.length,
      // An alarm's failures name devices of the whole fleet.
      alarms: reach === null ? await failingAlarms(this.parts.store) : [],
      // A waiting device is not registered yet, so that no selector of a token can include it.
      waiting:
        reach === null ? await waitingDevices(this.parts.store) : { count: 0, since: null, devices: [] },
      devices: page as Attention['devices'],
      next: last && start + limit < shown.length ? keyOf(last) : null,
    };
  }

  /** All devices with a cause, including acknowledged and snoozed ones. */
  async unwell(): Promise<readonly DeviceHealth[]> {
    return (await this.look()).found;
  }

  /** Number of devices in each state. */
  async counts(): Promise<Attention['counts']> {
    return (await this.look()).counts;
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string): Promise<DeviceHealthShown> {
    const { devices, store } = this.parts;
    const device = devices.record(name);
    await this.follow();
    const stored = (await this.stored([device.id])).get(device.id);
    const drifted = await driftedDevices(store, [device.id]);
    return { ...this.healthOf(device, stored, drifted), drift: await driftOf(store, device) };
  }

  /** Acknowledges, snoozes or reopens a device. @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID (nothing to acknowledge) */
  async change(name: string, request: AttentionRequest, who: string): Promise<DeviceHealthShown> {
    const { store, events, devices, now } = this.parts;
    const device = devices.record(name);
    const health = await this.get(name);
    const at = now();
    const decided = { who, at, note: 'note' in request ? (request.note ?? null) : null };
    const codes = health.causes.map(({ code }) => code);
    if (request.action === 'acknowledge' && codes.length === 0) {
      throw new AiotError('AIOT_REQUEST_INVALID', `${name} has no problem to acknowledge`, {
        next: 'To see the devices that need attention, run `aiot status --attention`.',
      });
    }
    const [set, event] = changeOf(request, decided, codes, at);
    await store.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('deviceHealth')
        .values({ device: device.id, rejected: null, acknowledged: null, snoozed: null, ...set })
        .onConflict((conflict) => conflict.column('device').doUpdateSet(set))
        .execute();
      await events.record({ who, subject: name, ...event }, transaction);
    });
    this.lastLook = undefined;
    return this.get(name);
  }

  /** Compares the causes with the stored ones, and stores the changes with their events. */
  async pass(): Promise<void> {
    const { store, events, devices, now } = this.parts;
    await this.follow();
    const stored = await this.stored();
    const drifted = await driftedDevices(store);
    const changes: { device: string; causes: string | null; event: NewEvent | null }[] = [];
    const records = devices.records();
    for (let i = 0; i < records.length; i++) {
      if (i % glance === glance - 1) await nextTurn();
      const device = records[i]!;
      const before = stored.get(device.id);
      stored.delete(device.id);
      const health = this.healthOf(device, before, drifted);
      if (before === undefined && health.causes.length === 0) continue;
      const codes = health.causes.map(({ code }) => code);
      const known = Object.keys(before?.causes ?? {});
      if (codes.length === known.length && codes.every((code) => known.includes(code))) {
        if (codes.length === 0 && before && isForgettable(before, now()))
          changes.push({ device: device.id, causes: null, event: null });
        continue;
      }
      const causes = JSON.stringify(
        Object.fromEntries(health.causes.map(({ code, since }) => [code, since])),
      );
      changes.push({ device: device.id, causes, event: eventOf(health, known) });
    }
    // Rows that are left belong to devices that were removed.
    for (const device of stored.keys()) changes.push({ device, causes: null, event: null });
    for (let i = 0; i < changes.length; i += rowsAtOnce) {
      const some = changes.slice(i, i + rowsAtOnce);
      await store.transaction().execute(async (transaction) => {
        await writeCauses(transaction, some);
        await events.recordAll(
          some.flatMap(({ event }) => event ?? []),
          transaction,
        );
      });
    }
  }

  /** The devices with a cause, and the number in each state. Of a large fleet, the last look is used again for a while. */
  private look(reach: Reach | null = null): Promise<Look> {
    if (reach !== null || this.parts.devices.count() < manyDevices) return this.lookAnew(reach);
    const { lastLook } = this;
    if (lastLook && performance.now() < lastLook.until) return lastLook.found;
    const begun = performance.now();
    const found = this.lookAnew(null);
    const look = { found, until: Number.POSITIVE_INFINITY };
    this.lastLook = look;
    const ended = (factor: number) => {
      const took = performance.now() - begun;
      look.until = performance.now() + factor * took;
    };
    found.then(
      () => ended(lookRest),
      () => ended(0),
    );
    return found;
  }

  private async lookAnew(reach: Reach | null): Promise<Look> {
    const { store, devices, now } = this.parts;
    await this.follow();
    const stored = await this.stored();
    const drifted = await driftedDevices(store);
    const unwell = new Map(healthStates.map((state) => [state, [] as DeviceHealth[]]));
    const counts: Look['counts'] = { failing: 0, silent: 0, degraded: 0, ok: 0, unknown: 0 };
    // They are sorted by name, and so are the devices of each state.
    const records = devices.records();
    for (let i = 0; i < records.length; i++) {
      if (i % glance === glance - 1) await nextTurn();
      const device = records[i]!;
      if (device.state === 'suspended' || device.state === 'revoked') continue;
      if (reach?.has(device.name) === false) continue;
      const health = this.healthOf(device, stored.get(device.id), drifted);
      counts[health.state]++;
      if (health.causes.length > 0) unwell.get(health.state)?.push(health);
    }
    const found = healthStates.flatMap((state) => unwell.get(state) ?? []);
    const at = now();
    return { found, loud: found.filter((health) => !isQuiet(health, at)), counts };
  }

  private healthOf(
    device: DeviceRecord,
    stored: Stored | undefined,
    drifted: ReadonlyMap<string, DriftFact>,
  ): DeviceHealth {
    const { devices, now } = this.parts;
    const { name, type, state } = device;
    const at = now();
    // A single object literal is faster; this code runs for each device of a large fleet.
    const facts: HealthFacts = {
      name,
      state,
      tags: device.tags,
      created: device.created,
      expires: device.nextExpires ?? device.expires,
      online: devices.online(name),
      lastSeen: devices.lastSeenOf(device),
      watchedSince: this.opened,
      wasSilent: stored?.causes.silent !== undefined,
      reported: device.reported,
      connections: this.connectionsOf(name, at),
      errorSince: this.errorsSince.get(name) ?? null,
      bootSince: this.bootsSince.get(name) ?? null,
      rejected: stored ? recentlyRejected(stored, at) : null,
      settings: settingsOf(device, devices),
      drift: drifted.size === 0 ? null : ownDrift(device, drifted),
    };
    const causes = causesOf(facts, at);
    const health = mayConnect(state) ? healthOf(facts, causes) : 'unknown';
    if (!stored) return { name, type, causes, state: health, acknowledged: null, snoozed: null };
    for (const cause of causes)
      if (cause.code !== 'silent') cause.since = stored.causes[cause.code] ?? cause.since;
    const { acknowledged, snoozed } = stored;
    const covered = causes.every(({ code }) => acknowledged?.codes.includes(code));
    return {
      ...{ name, type, causes, state: health, acknowledged: covered ? acknowledged : null },
      snoozed: snoozed !== null && snoozed.until > at ? snoozed : null,
    };
  }

  private connectionsOf(name: string, now: number): readonly number[] {
    const times = this.connections.get(name);
    return times === undefined ? none : times.filter((time) => time > now - restartWindowMs);
  }

  /** Reads the events since the last call: connections, and reports with errors or with a changed reason for the last restart. */
  private follow(): Promise<void> {
    return this.inTurn(() => this.readEvents());
  }

  private async readEvents(): Promise<void> {
    const { store, now } = this.parts;
    const { latest, pruned } = await extentOf(store);
    this.position ??= Math.max(pruned, latest - eventsBack);
    while (this.position < latest) {
      const types = ['device.connect', 'device.report'];
      const events = await eventsAfter(store, { after: this.position, limit: eventsAtOnce, types });
      for (const { type, subject, at, data } of events) {
        if (type === 'device.connect') {
          const times = this.connections.get(subject) ?? [];
          times.push(at);
          this.connections.set(subject, times.slice(-mostConnections));
          continue;
        }
        if (data.boot !== undefined) this.bootsSince.set(subject, at);
        if (data.error === null || data.error === undefined) this.errorsSince.delete(subject);
        else this.errorsSince.set(subject, at);
      }
      this.position = events.length < eventsAtOnce ? latest : (events.at(-1)?.id ?? latest);
    }
    const since = now() - restartWindowMs;
    for (const [name, times] of this.connections)
      if ((times.at(-1) ?? 0) < since) this.connections.delete(name);
    for (const [name, at] of this.bootsSince) if (at < since) this.bootsSince.delete(name);
  }

  /** @param ids the devices' ids; absent = all */
  private async stored(ids?: readonly string[]): Promise<Map<string, Stored>> {
    const rows = await this.parts.store
      .selectFrom('deviceHealth')
      .selectAll()
      .$if(ids !== undefined, (query) => query.where('device', 'in', ids ?? []))
      .execute();
    return new Map(
      rows.map(({ device, causes, rejected, acknowledged, snoozed }) => [
        device,
        {
          causes: JSON.parse(causes) as Stored['causes'],
          rejected: parsed<Rejected>(rejected),
          acknowledged: parsed<NonNullable<Stored['acknowledged']>>(acknowledged),
          snoozed: parsed<NonNullable<Stored['snoozed']>>(snoozed),
        },
      ]),
    );
  }
}

const none: readonly number[] = [];

function recentlyRejected({ rejected }: Stored, now: number): Rejected | null {
  return rejected !== null && rejected.last > now - rejectWindowMs ? rejected : null;
}

/** Columns to set for a user's decision, and the event that records it. */
function changeOf(
  request: AttentionRequest,
  decided: { who: string; at: number; note: string | null },
  codes: CauseCode[],
  at: number,
): [{ acknowledged?: string | null; snoozed?: string | null }, Pick<NewEvent, 'type' | 'data'>] {
  const { note } = decided;
  switch (request.action) {
    case 'acknowledge': {
      const acknowledged = JSON.stringify({ ...decided, codes });
      return [{ acknowledged }, { type: 'device.acknowledge', data: { causes: codes, note } }];
    }
    case 'snooze': {
      const until = at + request.forMs;
      const snoozed = JSON.stringify({ ...decided, until });
      return [{ snoozed }, { type: 'device.snooze', data: { until, note } }];
    }
    case 'reopen':
      return [{ acknowledged: null, snoozed: null }, { type: 'device.reopen' }];
  }
}

async function writeCauses(
  store: Store,
  changes: readonly { device: string; causes: string | null }[],
): Promise<void> {
  const gone = changes.filter(({ causes }) => causes === null).map(({ device }) => device);
  if (gone.length > 0) await store.deleteFrom('deviceHealth').where('device', 'in', gone).execute();
  const rows = changes.flatMap(({ device, causes }) =>
    causes === null ? [] : [{ device, causes, rejected: null, acknowledged: null, snoozed: null }],
  );
  if (rows.length === 0) return;
  await store
    .insertInto('deviceHealth')
    .values(rows)
    .onConflict((conflict) =>
      conflict.column('device').doUpdateSet((is) => ({ causes: is.ref('excluded.causes') })),
    )
    .execute();
  // After a device recovers, its next problem needs a new acknowledgment.
  const well = rows.filter(({ causes }) => causes === '{}').map(({ device }) => device);
  if (well.length > 0)
    await store.updateTable('deviceHealth').set({ acknowledged: null }).where('device', 'in', well).execute();
}

function eventOf({ name, state, causes }: DeviceHealth, before: string[]): NewEvent {
  const who = 'platform';
  if (causes.length === 0) return { who, type: 'device.well', subject: name, data: { after: before } };
  const told = causes.map(({ code, message, next }: Cause) => ({ code, message, next }));
  return { who, type: 'device.unwell', subject: name, data: { state, causes: told } };
}

/** Whether the row of a device that is no longer unwell contains nothing worth storing. */
function isForgettable({ rejected, snoozed }: Stored, now: number): boolean {
  return (
    (rejected === null || rejected.last <= now - rejectWindowMs) && (snoozed === null || snoozed.until <= now)
  );
}

function joined(before: Rejected | null, fresh: Rejected, now: number): Rejected {
  if (before === null || before.last <= now - rejectWindowMs) return fresh;
  return { ...fresh, count: before.count + fresh.count, first: before.first };
}

function parsed<T>(text: string | null): T | null {
  return text === null ? null : (JSON.parse(text) as T);
}

function isQuiet({ acknowledged, snoozed }: DeviceHealth, now: number): boolean {
  return acknowledged !== null || (snoozed !== null && snoozed.until > now);
}

/** Sort key: urgency, then name. It is also the cursor of a page. */
function keyOf({ state, name }: { state: HealthState; name: string }): string {
  return `${healthStates.indexOf(state)}/${name}`;
}

/** Index of the first device behind a cursor, in order of their keys. */
function firstBehind(sorted: readonly DeviceHealth[], cursor: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keyOf(sorted[middle]!) > cursor) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** How a device's settings differ from those that it should use; null = it should use none. */
function settingsOf({ name, settings }: DeviceRecord, devices: Devices): HealthFacts['settings'] {
  const drift = settings?.wanted ? devices.settingsDrift(name) : null;
  return drift && { drift, since: settings?.wanted?.at ?? 0 };
}
