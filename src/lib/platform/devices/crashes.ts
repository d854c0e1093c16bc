import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import type {
  CrashFrame,
  CrashGroup,
  CrashList,
  CrashShown,
  crashQuerySchema,
} from '../../api/contract/crashes.js';
import { AiotError } from '../../core/errors.js';
import { newId } from '../../core/names.js';
import { crashPlace, crashSignature, maskedCrash } from '../../fleet/crash.js';
import { type CrashPlace, type CrashReport, crashSchema } from '../../formats/crash.js';
import type { Events } from '../events/events.js';
import { locksRows, type Store } from '../store/database.js';
import { every, type Worker } from '../workers.js';
import type { Devices } from './devices.js';
import type { CrashSymbols } from './symbols.js';

interface Parts {
  store: Store;
  events: Events;
  devices: Devices;
  symbols: Pick<CrashSymbols, 'name' | 'digestOf'>;
  /** ms since 1970 */
  now: () => number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Maximum number of reports stored for one device per clock hour; further reports are only counted. */
export const crashesPerHour = 20;
/** Maximum number of reports stored for one group, and for all groups together; the newest are kept. */
export const reportsPerGroup = 20;
const reportsInAll = 10_000;
/** Maximum number of groups. Beyond it, the group with the oldest last crash is deleted. */
const mostGroups = 2000;
/** Age at which reports, and groups without newer crashes, are deleted. */
export const crashRetentionMs = 90 * dayMs;
const sweepEveryMs = hourMs;
/** How often reports without function names are reprocessed, ms. */
const nameEveryMs = 2000;
/** Maximum wait for the function names of a new report, ms. The device is waiting for the PUBACK meanwhile. */
const patienceMs = 5000;
const othersShown = 20;

/** `cause`: the crash's group, and its reason without secrets. */
type CrashListener = (
  device: string,
  report: CrashReport,
  cause: { signature: string; reason: string },
) => Promise<void>;

type Query = Omit<z.output<typeof crashQuerySchema>, 'selector'> & {
  /** Absent = all. */
  devices?: readonly string[] | undefined;
};

/**
 * Crash reports of devices and loops. Each report is stored once, grouped by its signature, and counted by device and version. Counts outlive the reports,
 * whose number is limited.
 */
export class Crashes {
  private readonly listeners: CrashListener[] = [];

  constructor(private readonly parts: Parts) {}

  /** Calls the listener with each report before it is stored; possibly more than once. */
  listen(listener: CrashListener): void {
    this.listeners.push(listener);
  }

  worker(): Worker {
    return {
      name: 'crashes',
      run: async (signal) => {
        const sweeping = every(sweepEveryMs, signal, () => this.sweep());
        await Promise.all([sweeping, every(nameEveryMs, signal, () => this.nameStored())]);
      },
    };
  }

  /**
   * Stores a report. A report that was stored before changes nothing. Beyond the limit of its device, a report is only counted.
   * @returns whether the report was stored
   */
  async take(device: string, sent: CrashReport): Promise<boolean> {
    const { store, events, now } = this.parts;
    const at = now();
    if (await isKnown(store, device, sent.id)) return false;
    const report = this.named(device, maskedCrash(sent));
    const named = await this.framesOf(report);
    const frames = named ?? report.backtrace ?? [];
    const signature = crashSignature(report, frames);
    // The listener runs before the report is stored. If the platform ends in between, the device resends the report.
    for (const listener of this.listeners)
      await listener(device, sent, { signature, reason: report.reason.slice(0, 100) });
    return store.transaction().execute(async (transaction) => {
      if (await isKnown(transaction, device, report.id)) return false;
      if (!(await countHour(transaction, device, at))) {
        await countBeyond(transaction, { device, at, signature, report });
        return false;
      }
      const id = newId('crash', at);
      await insertReport(transaction, { id, device, at, signature, report, frames: named });
      const isNew = await countCrash(transaction, { device, at, signature, report, frames });
      await limitGroup(transaction, signature);
      const { name = null, version = null } = report.firmware ?? {};
      const { kind, reason } = report;
      await events.record(
        {
          type: 'device.crash',
          subject: device,
          who: `device ${device}`,
          data: { crash: id, signature, kind, reason, firmware: name, version, new: isNew },
        },
        transaction,
      );
      return true;
    });
  }

  /** The backtrace with names from the program's ELF file; null if there are no names, or if finding them takes too long. */
  private async framesOf({ firmware, backtrace = [] }: CrashReport): Promise<CrashPlace[] | null> {
    if (firmware?.build === undefined || !backtrace.some(isBare)) return null;
    const late = new AbortController();
    const timeout = delay(patienceMs, null, { signal: late.signal, ref: false }).catch(() => null);
    const named = await Promise.race([this.parts.symbols.name(firmware.build, backtrace), timeout]);
    late.abort();
    return named;
  }

  /** Adds names to the stored reports of builds whose ELF file has been registered since, and moves them into the groups to which they then belong. */
  async nameStored(): Promise<void> {
    const { store, symbols } = this.parts;
    const unnamed = store.selectFrom('crashes').distinct().where('frames', 'is', null);
    const builds = await unnamed.select('build').where('build', 'is not', null).execute();
    for (const { build } of builds) {
      if (build === null || (await symbols.digestOf(build)) === null) continue;
      const groups = await unnamed.select('signature').where('build', '=', build).execute();
      for (const { signature } of groups) await this.nameGroup(build, signature);
    }
  }

  private async nameGroup(build: string, signature: string): Promise<void> {
    const { store, symbols, now } = this.parts;
    const rows = await store
      .selectFrom('crashes')
      .select(['id', 'report'])
      .where('signature', '=', signature)
      .where('build', '=', build)
      .where('frames', 'is', null)
      .execute();
    const named: { id: string; report: CrashReport; frames: CrashPlace[] }[] = [];
    for (const { id, report: text } of rows) {
      const report = crashSchema.parse(JSON.parse(text));
      const backtrace = report.backtrace ?? [];
      // A report whose functions cannot be named is not reprocessed.
      const frames = backtrace.some(isBare) ? await symbols.name(build, backtrace) : null;
      named.push({ id, report, frames: frames ?? backtrace });
    }
    const [first] = named;
    if (first === undefined) return;
    // The reports of a group without names have the same innermost addresses, so they stay together.
    const target = crashSignature(first.report, first.frames);
    await store.transaction().execute(async (transaction) => {
      for (const { id, frames } of named)
        await transaction
          .updateTable('crashes')
          .set({ frames: JSON.stringify(frames), signature: target })
          .where('id', '=', id)
          .execute();
      if (target !== signature)
        await moveGroup(transaction, { signature, target, at: now(), place: crashPlace(first.frames) });
    });
  }

  /** The report; if it names no program, the program that the device last reported is added. */
  private named(device: string, report: CrashReport): CrashReport {
    const known = this.parts.devices.find(device)?.reported?.firmware;
    if (!known || report.firmware) return report;
    const { name, version } = known;
    return { ...report, firmware: { ...(name === undefined ? {} : { name }), version } };
  }

  /** A page of groups; `after` is the `next` of the previous page. */
  async list(query: Query): Promise<CrashList> {
    const { store } = this.parts;
    const [last, signature] = cursorOf(query.after);
    const rows = await selection(store, query)
      .select((is) => [
        'signature',
        is.fn.sum<number | string>('count').as('count'),
        is.fn.max('last').as('newest'),
      ])
      .groupBy('signature')
      .$if(query.after !== undefined, (select) =>
        select.having(({ eb, fn, or, and }) =>
          or([
            eb(fn.max('last'), '<', last),
            and([eb(fn.max('last'), '=', last), eb('signature', '>', signature)]),
          ]),
        ),
      )
      .orderBy((is) => is.fn.max('last'), 'desc')
      .orderBy('signature')
      .limit(query.limit + 1)
      .execute();
    const page = rows.slice(0, query.limit);
    const end = page.at(-1);
    const groups = await this.groups(
      page.map((row) => row.signature),
      query,
    );
    return {
      groups,
      next: end && rows.length > query.limit ? `${end.newest}/${end.signature}` : null,
    };
  }

  /** A report by its ID, or the newest one of a group by its signature, of these devices or of all. @throws AIOT_NOT_FOUND */
  async get(asked: string, devices?: readonly string[]): Promise<CrashShown> {
    const { store } = this.parts;
    const id = await this.movedTo(asked);
    const own = store
      .selectFrom('crashes')
      .$if(devices !== undefined, (select) => select.where('device', 'in', namesIn(store, devices)));
    const row = await own
      .selectAll()
      .where((is) => is.or([is('id', '=', id), is('signature', '=', id)]))
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (!row)
      throw new AiotError('AIOT_NOT_FOUND', `there is no crash report ${asked}`, {
        next: 'To see the crashes, run `aiot device crashes list`. Reports are stored for 90 days.',
      });
    const report = crashSchema.parse(JSON.parse(row.report));
    const [group] = await this.groups([row.signature], { ...(devices && { devices }) });
    const others = await own
      .select(['id', 'device', 'at', 'version'])
      .where('signature', '=', row.signature)
      .where('id', '!=', row.id)
      .orderBy('id', 'desc')
      .limit(othersShown)
      .execute();
    return {
      id: row.id,
      device: row.device,
      at: row.at,
      report,
      frames: (row.frames === null ? (report.backtrace ?? []) : (JSON.parse(row.frames) as CrashPlace[])).map(
        frameOf,
      ),
      group: group as CrashGroup,
      others,
    };
  }

  private async movedTo(signature: string): Promise<string> {
    const row = await this.parts.store
      .selectFrom('crashMoves')
      .select('target')
      .where('signature', '=', signature)
      .executeTakeFirst();
    return row?.target ?? signature;
  }

  /** Groups by their signatures, in the given order, with the counts of the crashes that the query selects. */
  private async groups(signatures: readonly string[], query: Partial<Query>): Promise<CrashGroup[]> {
    if (signatures.length === 0) return [];
    const { store } = this.parts;
    const heads = await store
      .selectFrom('crashGroups')
      .selectAll()
      .where('signature', 'in', signatures)
      .execute();
    const counts = await selection(store, query)
      .selectAll()
      .where('signature', 'in', signatures)
      .orderBy('last', 'desc')
      .execute();
    const newest = await store
      .selectFrom('crashes')
      .$if(query.devices !== undefined, (select) =>
        select.where('device', 'in', namesIn(store, query.devices)),
      )
      .select((is) => ['signature', is.fn.max('id').as('id')])
      .where('signature', 'in', signatures)
      .groupBy('signature')
      .execute();
    return signatures.flatMap((signature) => {
      const head = heads.find((row) => row.signature === signature);
      const own = counts.filter((row) => row.signature === signature);
      if (!head || own.length === 0) return [];
      return {
        signature,
        kind: head.kind as CrashGroup['kind'],
        reason: head.reason,
        place: head.place === null ? null : frameOf(JSON.parse(head.place) as CrashPlace),
        count: own.reduce((sum, { count }) => sum + count, 0),
        devices: new Set(own.map(({ device }) => device)).size,
        versions: versionsOf(own),
        first: Math.min(...own.map(({ first }) => first)),
        last: Math.max(...own.map((row) => row.last)),
        latest: newest.find((row) => row.signature === signature)?.id ?? null,
      };
    });
  }

  /** Deletes reports and counts older than the retention, and reports beyond the limit. */
  async sweep(): Promise<void> {
    const { store, now } = this.parts;
    const oldest = now() - crashRetentionMs;
    await store.transaction().execute(async (transaction) => {
      const beyond = await transaction
        .selectFrom('crashes')
        .select('id')
        .orderBy('id', 'desc')
        .offset(reportsInAll)
        .limit(1)
        .executeTakeFirst();
      await transaction
        .deleteFrom('crashes')
        .where((is) =>
          is.or([is('at', '<', oldest), ...(beyond === undefined ? [] : [is('id', '<=', beyond.id)])]),
        )
        .execute();
      await transaction.deleteFrom('crashCounts').where('last', '<', oldest).execute();
      await transaction.deleteFrom('crashMoves').where('at', '<', oldest).execute();
      await transaction
        .deleteFrom('crashHours')
        .where('hour', '<', Math.floor(oldest / hourMs))
        .execute();
      await transaction
        .deleteFrom('crashGroups')
        .where('signature', 'not in', transaction.selectFrom('crashCounts').select('signature'))
        .execute();
    });
  }
}

/** A subquery that returns the names. It has one parameter, because databases limit their number. */
export function namesIn(store: Store, devices: readonly string[] | undefined) {
  const names = JSON.stringify(devices ?? []);
  return store
    .selectFrom((is) =>
      locksRows(store)
        ? is.fn<{ value: string }>('jsonb_array_elements_text', [is.cast(is.val(names), 'jsonb')]).as('each')
        : is.fn<{ value: string }>('json_each', [is.val(names)]).as('each'),
    )
    .select('each.value');
}

/** Counts of crashes that a query selects. */
function selection(store: Store, { devices, version, since }: Partial<Query>) {
  return store
    .selectFrom('crashCounts')
    .$if(devices !== undefined, (select) => select.where('device', 'in', namesIn(store, devices)))
    .$if(version !== undefined, (select) => select.where('version', '=', version ?? ''))
    .$if(since !== undefined, (select) => select.where('last', '>=', since ?? 0));
}

/** @throws AIOT_REQUEST_INVALID */
function cursorOf(after: string | undefined): [last: number, signature: string] {
  if (after === undefined) return [0, ''];
  const [, last = '', signature = ''] = /^(\d{1,15})\/([0-9a-f]{12})$/.exec(after) ?? [];
  if (last !== '') return [Number(last), signature];
  throw new AiotError(
    'AIOT_REQUEST_INVALID',
    'querystring: after: expected the `next` value of a previous page',
  );
}

async function isKnown(store: Store, device: string, key: string): Promise<boolean> {
  const row = await store
    .selectFrom('crashes')
    .select('id')
    .where('device', '=', device)
    .where('key', '=', key)
    .executeTakeFirst();
  return row !== undefined;
}

/** Counts a crash of a device in the current hour. @returns whether its report is within the limit */
async function countHour(store: Store, device: string, at: number): Promise<boolean> {
  const hour = Math.floor(at / hourMs);
  const { count } = await store
    .insertInto('crashHours')
    .values({ device, hour, count: 1 })
    .onConflict((conflict) =>
      conflict.columns(['device', 'hour']).doUpdateSet((is) => ({ count: is('crashHours.count', '+', 1) })),
    )
    .returning('count')
    .executeTakeFirstOrThrow();
  return count <= crashesPerHour;
}

/** Counts a crash whose report is not stored. Only existing groups count it, so that one device cannot displace other devices' groups. */
async function countBeyond(store: Store, { signature, ...taken }: Taken): Promise<void> {
  const known = await store
    .selectFrom('crashGroups')
    .select('signature')
    .where('signature', '=', signature)
    .executeTakeFirst();
  if (known !== undefined) await countOne(store, { signature, ...taken });
}

async function countOne(store: Store, { device, at, signature, report }: Taken): Promise<void> {
  const { name: firmware = '', version = '' } = report.firmware ?? {};
  await store
    .insertInto('crashCounts')
    .values({ signature, device, firmware, version, count: 1, first: at, last: at })
    .onConflict((conflict) =>
      conflict
        .columns(['signature', 'device', 'firmware', 'version'])
        .doUpdateSet((is) => ({ count: is('crashCounts.count', '+', 1), last: at })),
    )
    .execute();
}

const isBare = ({ address, function: name }: CrashPlace) => address !== undefined && name === undefined;

interface Taken {
  device: string;
  at: number;
  signature: string;
  report: CrashReport;
}

async function insertReport(
  store: Store,
  { id, device, at, signature, report, frames }: Taken & { id: string; frames: CrashPlace[] | null },
) {
  const { version = null, build = null } = report.firmware ?? {};
  await store
    .insertInto('crashes')
    .values({
      ...{ id, device, key: report.id, at, signature, version, build },
      ...{ report: JSON.stringify(report), frames: frames && JSON.stringify(frames) },
    })
    .execute();
}

/** Counts a crash in its group. @returns whether the group is new */
async function countCrash(
  store: Store,
  { device, at, signature, report, frames }: Taken & { frames: readonly CrashPlace[] },
): Promise<boolean> {
  const { kind, reason } = report;
  const known = await store
    .selectFrom('crashGroups')
    .select('signature')
    .where('signature', '=', signature)
    .executeTakeFirst();
  if (known === undefined) await limitGroups(store);
  const place = crashPlace(frames);
  await store
    .insertInto('crashGroups')
    .values({ signature, kind, reason, place: place && JSON.stringify(place) })
    .onConflict((conflict) => conflict.column('signature').doUpdateSet({ reason }))
    .execute();
  await countOne(store, { device, at, signature, report });
  return known === undefined;
}

/** Merges a group and its counts into another group. */
async function moveGroup(
  store: Store,
  {
    signature,
    target,
    at,
    place,
  }: { signature: string; target: string; at: number; place: CrashPlace | null },
): Promise<void> {
  const group = await store
    .selectFrom('crashGroups')
    .selectAll()
    .where('signature', '=', signature)
    .executeTakeFirst();
  const counts = await store
    .selectFrom('crashCounts')
    .selectAll()
    .where('signature', '=', signature)
    .execute();
  if (group)
    await store
      .insertInto('crashGroups')
      .values({ ...group, signature: target, place: place && JSON.stringify(place) })
      .onConflict((conflict) => conflict.column('signature').doNothing())
      .execute();
  for (const { count, first, last, ...key } of counts) {
    const before = await store
      .selectFrom('crashCounts')
      .select(['count', 'first', 'last'])
      .where('signature', '=', target)
      .where('device', '=', key.device)
      .where('firmware', '=', key.firmware)
      .where('version', '=', key.version)
      .executeTakeFirst();
    const joined = {
      count: count + (before?.count ?? 0),
      first: Math.min(first, before?.first ?? first),
      last: Math.max(last, before?.last ?? last),
    };
    await store
      .insertInto('crashCounts')
      .values({ ...key, signature: target, ...joined })
      .onConflict((conflict) =>
        conflict.columns(['signature', 'device', 'firmware', 'version']).doUpdateSet(joined),
      )
      .execute();
  }
  await store.deleteFrom('crashCounts').where('signature', '=', signature).execute();
  await store.deleteFrom('crashGroups').where('signature', '=', signature).execute();
  await store.updateTable('crashMoves').set({ target }).where('target', '=', signature).execute();
  await store
    .insertInto('crashMoves')
    .values({ signature, target, at })
    .onConflict((conflict) => conflict.column('signature').doUpdateSet({ target, at }))
    .execute();
  await limitGroup(store, target);
}

/** Deletes the reports of a group beyond the newest ones. */
async function limitGroup(store: Store, signature: string): Promise<void> {
  const beyond = await store
    .selectFrom('crashes')
    .select('id')
    .where('signature', '=', signature)
    .orderBy('id', 'desc')
    .offset(reportsPerGroup)
    .limit(1)
    .executeTakeFirst();
  if (beyond === undefined) return;
  await store.deleteFrom('crashes').where('signature', '=', signature).where('id', '<=', beyond.id).execute();
}

/** Makes room for another group. */
async function limitGroups(store: Store): Promise<void> {
  const { groups } = await store
    .selectFrom('crashGroups')
    .select((is) => is.fn.countAll<number | string>().as('groups'))
    .executeTakeFirstOrThrow();
  if (Number(groups) < mostGroups) return;
  const oldest = await store
    .selectFrom('crashCounts')
    .select('signature')
    .groupBy('signature')
    .orderBy((is) => is.fn.max('last'))
    .limit(1)
    .executeTakeFirst();
  if (oldest === undefined) return;
  for (const table of ['crashes', 'crashCounts', 'crashGroups'] as const)
    await store.deleteFrom(table).where('signature', '=', oldest.signature).execute();
}

/** Counts by version; the version with the newest crash comes first. `own` is sorted in that order. */
function versionsOf(
  own: readonly { device: string; firmware: string; version: string; count: number }[],
): CrashGroup['versions'] {
  const found = new Map<string, CrashGroup['versions'][number]>();
  for (const { firmware, version, count } of own) {
    const key = `${firmware}@${version}`;
    const before = found.get(key);
    // A device has one row for each version.
    if (before) Object.assign(before, { count: before.count + count, devices: before.devices + 1 });
    else found.set(key, { firmware: firmware || null, version: version || null, count, devices: 1 });
  }
  return [...found.values()];
}

function frameOf({ address, function: name, file, line }: CrashPlace): CrashFrame {
  return { address: address ?? null, function: name ?? null, file: file ?? null, line: line ?? null };
}
