import { randomUUID } from 'node:crypto';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { DeviceDrift } from '../../api/contract/attention.js';
import { hasCode } from '../../core/errors.js';
import {
  addSamples,
  type ModelReference,
  noSignal,
  type SignalDrift,
  type SignalState,
  type SignalWindow,
  windowsKept,
} from '../../data/drift/model-reference.js';
import type { DriftFact } from '../../fleet/health.js';
import type { BlobStore } from '../blobs/store.js';
import type { Entry } from '../journal/entry.js';
import { positionKeys } from '../journal/positions.js';
import { fieldsOf } from '../journal/takes.js';
import { isAfter, type PlacedEntry, type Telemetry } from '../journal/telemetry.js';
import type { Models } from '../releases/models.js';
import type { Store } from '../store/database.js';
import { serially } from '../store/engine.js';
import type { Worker } from '../workers.js';
import type { DeviceRecord, Devices } from './devices.js';

interface Parts {
  store: Store;
  telemetry: Pick<Telemetry, 'reader'>;
  devices: Pick<Devices, 'find' | 'records'>;
  models: Pick<Models, 'get'>;
  blobs: Pick<BlobStore, 'bytes'>;
  log: Logger;
  now?: () => number;
}

/** Key of the position in the telemetry up to which it has been counted. */
const positionKey = positionKeys.drift;
/** Key of the service that may store counts: the one that loaded them last. */
const ownerKey = 'drift:owner';
/** How often the counts are stored, ms; less often if that takes long. */
const storeEveryMs = 5000;
const mostShare = 0.1;
/** How often to check whether a device has a model with a reference, while there is none, ms; less often with many devices. */
const lookEveryMs = 2000;
const slowLookEveryMs = 30_000;
const manyDevices = 20_000;
const tickMs = 500;
/** Number of devices in a transaction. Others have their turn between two transactions. */
const devicesAtOnce = 200;
/** Number of windows without a sample after which a device may be compared by another stream. */
const silentWindows = 2;
/** Drift ends after this time without a sample, ms. */
const forgottenMs = 24 * 60 * 60_000;
/** Numbers of references and of models in memory; and the time, ms, after which a model is looked up again. */
const referencesKept = 200;
const modelsKept = 1000;
const lookedUpMs = 60_000;

/** A reference, and the digest of the bundle that contains it. */
interface Found {
  digest: string;
  reference: ModelReference;
}

/** Stored counts of a device's signal. */
interface StoredState extends Omit<SignalState, 'drift'> {
  /** Digest of the bundle with the reference; arrival of the last sample; position up to which the samples are counted. */
  digest?: string;
  heard?: number;
  upTo?: string;
}

type ReportedModel = { name: string; version: number; digest?: string | null };

interface DeviceSignal {
  id: string;
  model: string;
  version: number;
  /** The first stream that has all fields of the model. */
  stream: string;
  signal: SignalState;
  digest: string | undefined;
  /** Arrival of the last sample, ms since 1970. */
  heard: number;
  /** Messages up to this position were counted before a crash. */
  skip: string | null;
  /** Whether the row has changed, and the windows that have closed, since the last write. */
  dirty: boolean;
  closed: SignalWindow[];
  /** Whether the stored windows belong to another model or stream. */
  fresh: boolean;
}

/**
 * Compares the telemetry of devices with the training data of the models that they run. A worker of the leader follows the stored telemetry
 * and counts values. Counts and closed windows are committed for some devices at a time, with the position up to which they count, and the
 * common position last. Each message therefore counts once, also after a crash. In memory and in the database, a device takes the same space no matter how much it sends.
 */
export class DriftService {
  private readonly inTurn = serially();
  private signals = new Map<string, DeviceSignal>();
  /** By name, version and reported digest; and by the bundle's digest. */
  private models = new Map<string, { found: Promise<Found | null>; until: number }>();
  private references = new Map<string, Promise<ModelReference | null>>();
  private readonly owner = randomUUID();
  /** Position after the last counted batch, and the stored position. */
  private at: string | null = null;
  private stored: string | null = null;
  private dueAt = 0;
  private urgent = false;
  /** Whether everything stored before has been read. */
  private caughtUp = false;

  constructor(private readonly parts: Parts) {}

  worker(): Worker {
    return { name: 'drift', run: (signal) => this.run(signal) };
  }

  private async run(signal: AbortSignal): Promise<void> {
    await this.load();
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    const ticking = this.keepStoring(both).catch((error: unknown) => {
      ended.abort();
      throw error;
    });
    ticking.catch(() => {});
    try {
      await this.follow(both);
      await this.inTurn(() => this.store());
    } finally {
      ended.abort();
      await ticking;
    }
  }

  /** Another process may have been the leader since this one last was. */
  private async load(): Promise<void> {
    const { store, telemetry } = this.parts;
    await store
      .insertInto('meta')
      .values({ key: ownerKey, value: this.owner })
      .onConflict((conflict) => conflict.column('key').doUpdateSet({ value: this.owner }))
      .execute();
    const rows = await store.selectFrom('deviceDrift').selectAll().execute();
    const found = store.selectFrom('meta').select('value').where('key', '=', positionKey);
    this.stored = (await found.executeTakeFirst())?.value ?? null;
    this.at = this.stored;
    this.caughtUp = false;
    const end = await telemetry.reader.end();
    this.signals = new Map();
    for (const [i, { device: id, model, version, stream, state, drift }] of rows.entries()) {
      if (i % devicesAtOnce === 0) await nextTurn();
      const { digest, heard, upTo, ...signal } = JSON.parse(state) as StoredState;
      const isAhead = upTo !== undefined && this.stored !== null && isAfter(upTo, this.stored);
      this.signals.set(id, {
        ...{ id, model, version: Number(version), stream, digest },
        signal: { ...signal, drift: drift === null ? null : (JSON.parse(drift) as SignalDrift) },
        heard: heard ?? Math.max(signal.from, signal.windows.at(-1)?.to ?? 0),
        // After a restore, a position may lie beyond the end.
        skip: isAhead && !isAfter(upTo, end) ? upTo : null,
        ...{ dirty: false, closed: [], fresh: false },
      });
    }
  }

  private async keepStoring(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(tickMs, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.inTurn(() => this.storeIfDue());
    }
  }

  private async follow(signal: AbortSignal): Promise<void> {
    const { reader } = this.parts.telemetry;
    const idle = (isIdle: boolean) => {
      this.caughtUp ||= isIdle;
    };
    while (!signal.aborted) {
      if (!(await this.isNeeded())) {
        // Without a reference, nothing is read. Counting begins with the messages that follow.
        const end = await reader.end();
        await this.inTurn(async () => {
          this.at = end;
          await this.storeIfDue();
        });
        await delay(this.pauseMs(), undefined, { signal }).catch(() => {});
        continue;
      }
      await this.begin();
      let lookAt = performance.now() + this.pauseMs();
      for await (const batch of reader.from(this.at, signal, idle, 'telemetry')) {
        await this.inTurn(() => this.take(batch));
        if (signal.aborted) break;
        if (this.signals.size > 0 || performance.now() < lookAt) continue;
        if (!(await this.isNeeded())) break;
        lookAt = performance.now() + this.pauseMs();
      }
    }
  }

  private pauseMs(): number {
    return this.parts.devices.records().length < manyDevices ? lookEveryMs : slowLookEveryMs;
  }

  /** Stores the first position, so that no message after it is left out, even after a crash. */
  private async begin(): Promise<void> {
    const { telemetry, store } = this.parts;
    this.at ??= await telemetry.reader.end();
    if (this.stored !== null) return;
    await this.move(this.at, store);
    this.stored = this.at;
  }

  private async isNeeded(): Promise<boolean> {
    if (this.signals.size > 0) return true;
    const seen = new Set<string>();
    for (const { reported } of this.parts.devices.records()) {
      const model = reported?.model;
      if (!model || seen.has(keyOf(model))) continue;
      seen.add(keyOf(model));
      if (await this.referenceOf(model)) return true;
    }
    return false;
  }

  private async take(batch: readonly PlacedEntry[]): Promise<void> {
    for (const placed of batch) if (placed.entry.channel === 'telemetry') await this.count(placed);
    this.at = batch.at(-1)!.position;
    await this.storeIfDue();
  }

  private async count({ entry, position }: PlacedEntry): Promise<void> {
    const { device: name, stream = '', payload, at } = entry;
    const device = this.parts.devices.find(name);
    const model = device?.reported?.model;
    if (!device || !model) return;
    const { id } = device;
    const before = this.signals.get(id);
    if (before?.skip) {
      if (!isAfter(position, before.skip)) return;
      before.skip = null;
    }
    const found = await this.referenceOf(model);
    if (!found) return;
    const { reference, digest } = found;
    const columns = columnsOf(reference, payload);
    if (!columns) return;
    let own = before;
    if (
      !own ||
      !runs(own, model) ||
      !fits(own, found) ||
      (own.stream !== stream && isSilent(own, found, at))
    ) {
      own = {
        ...{ id, model: model.name, version: model.version, stream, digest, heard: at, skip: null },
        ...{ signal: noSignal(reference), dirty: true, closed: [], fresh: true },
      };
      this.signals.set(id, own);
      if (before?.signal.drift) this.urgent = true;
    }
    if (own.stream !== stream) return;
    const { drift } = own.signal;
    Object.assign(own, { dirty: true, heard: at, digest });
    if (!addSamples(reference, own.signal, columns, at)) return;
    own.closed.push(own.signal.windows.at(-1)!);
    if (own.closed.length > windowsKept) own.closed.shift();
    if ((drift === null) !== (own.signal.drift === null)) this.urgent = true;
  }

  /** The statistics in a release's lineage; null = it has none, or there is no such release. */
  private referenceOf(model: ReportedModel): Promise<Found | null> {
    const key = keyOf(model);
    const known = this.models.get(key);
    if (known && performance.now() < known.until) return known.found;
    const found = this.read(model.name, model.version).catch((err: unknown) => {
      if (!hasCode(err, 'AIOT_NOT_FOUND')) this.parts.log.warn({ err, model: key }, 'cannot read the model');
      return null;
    });
    // A removed version's number may be given to other content.
    keep(this.models, modelsKept, key, { found, until: performance.now() + lookedUpMs });
    return found;
  }

  private async read(name: string, version: number): Promise<Found | null> {
    const { digest, kind } = await this.parts.models.get(name, version);
    if (kind !== 'model') return null;
    let known = this.references.get(digest);
    if (!known) {
      known = this.unpack(digest);
      keep(this.references, referencesKept, digest, known);
      known.catch(() => this.references.delete(digest));
    }
    const reference = await known;
    return reference && { digest, reference };
  }

  private async unpack(digest: string): Promise<ModelReference | null> {
    const { unpackAny } = await import('../../model/index.js');
    return unpackAny(await this.parts.blobs.bytes(digest)).lineage.reference ?? null;
  }

  private async storeIfDue(): Promise<void> {
    if (this.urgent || performance.now() >= this.dueAt) await this.store();
  }

  /** Stores the changed counts, then the position. If another process counts by now, this one stores nothing. */
  private async store(): Promise<void> {
    const { at } = this;
    this.urgent = false;
    const begun = performance.now();
    if (at !== null && this.stored !== null) {
      const gone = this.gone(at);
      if (this.caughtUp) this.forget();
      const changed = [...this.signals.values()].filter(({ id, dirty }) => dirty && !gone.has(id));
      for (const some of slices(changed)) {
        await this.commit((transaction) => writeSignals(transaction, some, at));
        for (const own of some) Object.assign(own, { dirty: false, closed: [], fresh: false });
        await nextTurn();
      }
      if (at !== this.stored) {
        await this.commit(async (transaction) => {
          if (!(await this.move(at, transaction))) throw new Error('another process has moved the position');
        });
        this.stored = at;
      }
      for (const some of slices([...gone])) {
        await this.commit((transaction) => removeDrift(transaction, some));
        for (const id of some) this.signals.delete(id);
        await nextTurn();
      }
    }
    this.dueAt = performance.now() + Math.max(storeEveryMs, (performance.now() - begun) / mostShare);
  }

  /** A transaction, unless another process has loaded the counts since this one did. */
  private async commit(write: (transaction: Store) => Promise<void>): Promise<void> {
    await this.parts.store.transaction().execute(async (transaction) => {
      const own = await transaction
        .updateTable('meta')
        .set({ value: this.owner })
        .where('key', '=', ownerKey)
        .where('value', '=', this.owner)
        .executeTakeFirst();
      if (Number(own.numUpdatedRows) === 0) throw new Error('another process counts the telemetry');
      await write(transaction);
    });
  }

  /** Devices that were removed, or run another model. */
  private gone(at: string): Set<string> {
    const gone = new Set(this.signals.keys());
    if (gone.size === 0) return gone;
    for (const { id, reported } of this.parts.devices.records()) {
      const own = this.signals.get(id);
      if (!own) continue;
      const isAhead = own.skip !== null && isAfter(own.skip, at);
      if (isAhead || !reported?.model || runs(own, reported.model)) gone.delete(id);
    }
    return gone;
  }

  /** Ends drift that no sample has confirmed for a day. */
  private forget(): void {
    const before = (this.parts.now ?? Date.now)() - forgottenMs;
    for (const own of this.signals.values()) {
      if (own.signal.drift === null || own.heard > before) continue;
      Object.assign(own.signal, { drift: null, windows: [] });
      own.dirty = true;
    }
  }

  private async move(position: string, transaction: Store): Promise<boolean> {
    if (this.stored === null) {
      const first = transaction.insertInto('meta').values({ key: positionKey, value: position });
      const { numInsertedOrUpdatedRows: added } = await first
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      return Number(added ?? 0) > 0;
    }
    const moved = await transaction
      .updateTable('meta')
      .set({ value: position })
      .where('key', '=', positionKey)
      .where('value', '=', this.stored)
      .executeTakeFirst();
    return Number(moved.numUpdatedRows) > 0;
  }
}

/** The values of the reference's fields, of equal length; null if the message lacks one of them. */
function columnsOf({ fields }: ModelReference, payload: Entry['payload']): number[][] | null {
  const all = new Map(fieldsOf(payload));
  const columns: number[][] = [];
  for (const { name } of fields) {
    const column = all.get(name);
    if (!column || column.length === 0 || column.length !== (columns[0] ?? column).length) return null;
    columns.push(column);
  }
  return columns;
}

/** Whether the counts belong to this reference; a removed version's number may be given to other content. */
function fits({ digest, signal: { counts } }: DeviceSignal, { digest: expected, reference }: Found): boolean {
  const { fields } = reference;
  return (
    (digest ?? expected) === expected &&
    counts.length === fields.length &&
    counts.every((own, f) => own.length === fields[f]!.cuts.length + 1)
  );
}

function runs(own: Pick<DeviceSignal, 'model' | 'version'>, { name, version }: ReportedModel): boolean {
  return own.model === name && own.version === version;
}

/** Whether the device's stream has had no sample for long, so that another one may replace it. */
function isSilent({ heard, signal }: DeviceSignal, { reference }: Found, at: number): boolean {
  return at - heard > (silentWindows * 1000 * signal.needed) / reference.rateHz;
}

function keyOf({ name, version, digest }: ReportedModel): string {
  return `${name}@${version} ${digest ?? ''}`;
}

/** Adds an entry, and removes the oldest one if there are too many. */
function keep<T>(all: Map<string, T>, most: number, key: string, value: T): void {
  all.delete(key);
  all.set(key, value);
  const [oldest] = all.keys();
  if (all.size > most && oldest !== undefined) all.delete(oldest);
}

function* slices<T>(all: readonly T[]): Generator<T[]> {
  for (let i = 0; i < all.length; i += devicesAtOnce) yield all.slice(i, i + devicesAtOnce);
}

async function writeSignals(store: Store, changed: readonly DeviceSignal[], upTo: string): Promise<void> {
  const rows = changed.map(
    ({ id, model, version, stream, digest, heard, skip, signal: { drift, ...signal } }) => {
      const state: StoredState = { ...signal, ...(digest && { digest }), heard, upTo: skip ?? upTo };
      return {
        ...{ device: id, model, version, stream },
        ...{ state: JSON.stringify(state), drift: drift && JSON.stringify(drift) },
      };
    },
  );
  await store
    .insertInto('deviceDrift')
    .values(rows)
    .onConflict((conflict) =>
      conflict.column('device').doUpdateSet((is) => ({
        model: is.ref('excluded.model'),
        version: is.ref('excluded.version'),
        stream: is.ref('excluded.stream'),
        state: is.ref('excluded.state'),
        drift: is.ref('excluded.drift'),
      })),
    )
    .execute();
  const fresh = changed.filter((own) => own.fresh).map(({ id }) => id);
  if (fresh.length > 0) await store.deleteFrom('driftWindows').where('device', 'in', fresh).execute();
  for (const { id, closed } of changed) {
    if (closed.length === 0) continue;
    const windows = closed.map(({ from, to, psi, drifted }) => ({
      ...{ device: id, begun: from, ended: to },
      ...{ psi: JSON.stringify(psi), drifted: JSON.stringify(drifted) },
    }));
    await store.insertInto('driftWindows').values(windows).execute();
    const oldest = store
      .selectFrom('driftWindows')
      .select('id')
      .where('device', '=', id)
      .orderBy('id', 'desc')
      .offset(windowsKept)
      .limit(1);
    await store.deleteFrom('driftWindows').where('device', '=', id).where('id', '<=', oldest).execute();
  }
}

async function removeDrift(store: Store, ids: readonly string[]): Promise<void> {
  await store.deleteFrom('deviceDrift').where('device', 'in', ids).execute();
  await store.deleteFrom('driftWindows').where('device', 'in', ids).execute();
}

/** The drifted devices by id. @param ids absent = all */
export async function driftedDevices(store: Store, ids?: readonly string[]): Promise<Map<string, DriftFact>> {
  const rows = await store
    .selectFrom('deviceDrift')
    .select(['device', 'model', 'version', 'stream', 'drift'])
    .where('drift', 'is not', null)
    .$if(ids !== undefined, (query) => query.where('device', 'in', ids ?? []))
    .execute();
  return new Map(
    rows.map(({ device, model, version, stream, drift }) => [
      device,
      { model, version: Number(version), stream, ...(JSON.parse(drift ?? '{}') as SignalDrift) },
    ]),
  );
}

/** The drift of a device's signal, unless it runs another model by now. */
export function ownDrift(
  { id, reported }: Pick<DeviceRecord, 'id' | 'reported'>,
  drifted: ReadonlyMap<string, DriftFact>,
): DriftFact | null {
  const found = drifted.get(id);
  const model = reported?.model;
  return found && model && runs(found, model) ? found : null;
}

/** How a device's telemetry compares with the training data of the model that it runs; null = not known. */
export async function driftOf(
  store: Store,
  { id, reported }: Pick<DeviceRecord, 'id' | 'reported'>,
): Promise<DeviceDrift | null> {
  const row = await store.selectFrom('deviceDrift').selectAll().where('device', '=', id).executeTakeFirst();
  const model = reported?.model;
  if (!row || model?.name !== row.model || model.version !== Number(row.version)) return null;
  const { samples, fields, needed } = JSON.parse(row.state) as SignalState;
  const windows = await store
    .selectFrom('driftWindows')
    .selectAll()
    .where('device', '=', id)
    .orderBy('id')
    .execute();
  return {
    ...{ model: { name: row.model, version: Number(row.version) }, stream: row.stream, fields, samples },
    windowSamples: needed,
    windows: windows.map(({ begun, ended, psi, drifted }) => ({
      ...{ from: Number(begun), to: Number(ended) },
      ...{ psi: JSON.parse(psi) as number[], drifted: JSON.parse(drifted) as string[] },
    })),
  };
}
