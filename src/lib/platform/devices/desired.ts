import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Release, SignedRelease } from '../../api/rollouts/schema.js';
import { digestOf } from '../../core/crypto.js';
import { encodeMessage, topicOf } from '../../device/protocol/codec.js';
import type { Desired, Reported } from '../../device/protocol/messages.js';
import { runningOf } from '../../fleet/rollout/report.js';
import type { Wish } from '../../fleet/rollout/types.js';
import { createDeltaInSteps } from '../../formats/delta/patch.js';
import { releaseLeases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import type { Events } from '../events/events.js';
import { locksRows, type Store } from '../store/database.js';
import { type Changes, serially } from '../store/engine.js';
import { type DeviceRecord, inLockOrder, type StoredSettings } from './records.js';

/** Publishes a retained message at QoS 1; an empty payload deletes the retained message. */
export type PublishRetained = (topic: string, payload: Buffer) => Promise<void>;

/** Messages that are published at once, and then compared with the database. */
const toldAtOnce = 100;

/** The desired state of each device: written to the database first, then retained at the broker. */
export class DesiredStates {
  /**
   * Desired state of each device as last published by this process; undefined if there are no other processes to
   * follow.
   */
  private told: Map<string, string | null> | undefined;
  private toldSettings: Map<string, string | null> | undefined;

  constructor(
    private readonly store: Store,
    private readonly publish: PublishRetained,
    private readonly events: Events,
    private readonly deltas: Deltas,
  ) {}

  /** Desired state of a device; null = none. */
  async get(device: string): Promise<Desired | null> {
    const row = await this.store
      .selectFrom('devices')
      .select('desired')
      .where('name', '=', device)
      .executeTakeFirst();
    return row?.desired ? (JSON.parse(row.desired) as Desired) : null;
  }

  /**
   * Writes desired states within a transaction; a withdrawal is ignored if the device already has a newer desired state.
   * @returns the states that took effect: pass them to `tell` once the transaction is committed
   */
  async write(wishes: readonly Wish[], store: Store): Promise<Wish[]> {
    const held: Wish[] = [];
    const deltas = new WishedDeltas(this.deltas, store);
    const asked = inLockOrder(wishes, ({ device }) => device);
    for (let i = 0; i < asked.length; i += 500) {
      const some = asked.slice(i, i + 500);
      const rows = await lockDesired(store, some, await deltas.any(some));
      const changes = new Map<string, string | null>();
      for (const { delta: _, ...each } of some) {
        const row = rows.get(each.device);
        const wish = await deltas.added(each, row?.reported ?? null);
        const text = changes.has(wish.device) ? changes.get(wish.device)! : (row?.desired ?? null);
        if (wish.release === null && rolloutIn(text) !== wish.wish) continue;
        changes.set(wish.device, textOf(wish));
        held.push(wish);
      }
      // Set before the write, because the notification of the change may arrive before the write resolves.
      for (const [device, text] of changes) this.told?.set(device, text);
      await writeDesired(store, changes);
    }
    const told = held.map((wish) => ({ wish, desired: desiredOf(wish) }));
    await this.events.recordAll(
      told.map(({ wish, desired }) => ({
        ...{ who: 'platform', type: 'device.desire' as const, subject: wish.device },
        data: { desired },
      })),
      store,
    );
    return held;
  }

  /**
   * Publishes desired states that were written. Another rollout may have written a newer one meanwhile, whose message must not be replaced by
   * an older one. A device's state is therefore read again after its message, and published again if it has changed.
   */
  async tell(wishes: readonly Wish[]): Promise<void> {
    for (let i = 0; i < wishes.length; i += toldAtOnce)
      await this.publishLatest(
        new Map(wishes.slice(i, i + toldAtOnce).map((wish) => [wish.device, textOf(wish)])),
      );
  }

  /** @param texts the stored desired state of each device; null = none */
  private async publishLatest(texts: ReadonlyMap<string, string | null>): Promise<void> {
    let left = texts;
    while (left.size > 0) {
      await Promise.all(
        [...left].map(([device, text]) => this.publish(topicOf(device, 'desired'), Buffer.from(text ?? ''))),
      );
      const published = left;
      const rows = await this.store
        .selectFrom('devices')
        .select(['name', 'desired'])
        .where('name', 'in', [...published.keys()])
        .execute();
      const changed = rows.filter(({ name, desired }) => desired !== published.get(name));
      left = new Map(changed.map(({ name, desired }) => [name, desired]));
    }
  }

  /** Publishes the settings of devices, after they were written. */
  async tellSettings(devices: readonly Pick<DeviceRecord, 'name' | 'settings'>[]): Promise<void> {
    for (const { name, settings } of devices) {
      const message = settingsMessage(settings);
      this.toldSettings?.set(name, message);
      await this.publish(topicOf(name, 'settings'), Buffer.from(message ?? ''));
    }
  }

  /**
   * Ends the settings of a device that reports some, unless it should use settings: it was offline when they were removed. Another process
   * may have set new ones meanwhile, so they are read from the database, and again after the message.
   */
  async endSettings(device: string): Promise<void> {
    const read = async (): Promise<StoredSettings | null> => {
      const row = this.store.selectFrom('devices').select('settings').where('name', '=', device);
      const stored = (await row.executeTakeFirst())?.settings ?? null;
      return stored === null ? null : JSON.parse(stored);
    };
    if ((await read())?.wanted) return;
    await this.tellSettings([{ name: device, settings: null }]);
    const settings = await read();
    if (settings?.wanted) await this.tellSettings([{ name: device, settings }]);
  }

  /**
   * Publishes changes by other processes on this process's broker, for devices connected to it, until the returned function is called. Not
   * used when all processes share a broker.
   */
  watch(changes: Changes): () => void {
    if (!changes.shared) return () => {};
    this.told = new Map();
    this.toldSettings = new Map();
    const follow = changes.followDevices();
    const inTurn = serially();
    const catchUp = () => inTurn(() => follow((names) => this.catchUp(names)));
    // A failed read is ignored, because the next change triggers another, which includes the missed changes.
    return changes.on('devices', () => void catchUp().catch(() => {}));
  }

  private async catchUp(names: readonly string[]): Promise<void> {
    for (let i = 0; i < names.length; i += 1000) {
      const some = names.slice(i, i + 1000);
      const rows = this.store
        .selectFrom('devices')
        .select(['name', 'desired', 'settings'])
        .where('name', 'in', some);
      for (const { name, desired, settings: stored } of await rows.execute()) {
        const settings = stored === null ? null : (JSON.parse(stored) as StoredSettings);
        if ((this.toldSettings?.get(name) ?? null) !== settingsMessage(settings))
          await this.tellSettings([{ name, settings }]);
        if ((this.told?.get(name) ?? null) === desired) continue;
        this.told?.set(name, desired);
        await this.publish(topicOf(name, 'desired'), Buffer.from(desired ?? ''));
      }
    }
  }

  /**
   * Publishes all desired states, settings and reported states from the database, because the platform's broker does not keep these messages
   * across a restart. An external broker may have lost them too, except reported states, which the platform would take for new ones.
   */
  async restore(
    devices: readonly Pick<DeviceRecord, 'name' | 'reported' | 'settings'>[],
    isExternal: boolean,
  ): Promise<void> {
    for (let last = ''; ; ) {
      const rows = await this.store
        .selectFrom('devices')
        .select(['name', 'desired'])
        .where('desired', 'is not', null)
        .where('name', '>', last)
        .orderBy('name')
        .limit(toldAtOnce)
        .execute();
      for (const { name, desired } of rows) this.told?.set(name, desired);
      await this.publishLatest(new Map(rows.map(({ name, desired }) => [name, desired])));
      if (rows.length < toldAtOnce) break;
      last = rows.at(-1)!.name;
    }
    await this.tellSettings(devices.filter(({ settings }) => settings?.wanted));
    if (isExternal) return;
    for (const { name, reported } of devices) {
      if (reported !== null) await this.publish(topicOf(name, 'reported'), encodeMessage(reported));
    }
  }

  /**
   * Deletes the retained messages of an earlier device with this name, so that they are neither delivered nor
   * attributed to the new device.
   */
  async forget(device: string): Promise<void> {
    for (const channel of ['desired', 'settings', 'reported', 'presence'] as const) {
      await this.publish(topicOf(device, channel), Buffer.alloc(0));
    }
  }

  /** Deletes the retained report and presence of the board that had this name before; the desired state stays. */
  async moved(device: string): Promise<void> {
    for (const channel of ['reported', 'presence'] as const) {
      await this.publish(topicOf(device, channel), Buffer.alloc(0));
    }
  }
}

/** The message with a device's settings; null = it has none. */
function settingsMessage(settings: StoredSettings | null): string | null {
  if (!settings?.wanted) return null;
  const { digest, values } = settings.wanted;
  return encodeMessage({ digest, values }).toString();
}

/** Name of the desired release in the stored text of a desired state. */
function rolloutIn(text: string | null): string | undefined {
  return text === null ? undefined : (JSON.parse(text) as Desired).rollout;
}

function textOf(wish: Wish): string | null {
  const desired = desiredOf(wish);
  return desired && JSON.stringify(desired);
}

type DesiredRow = { desired: string | null; reported: string | null };

/** Reads the desired states of devices, and locks them until the transaction ends. @param all whether to read the reports too */
async function lockDesired(
  store: Store,
  wishes: readonly Wish[],
  all: boolean,
): Promise<Map<string, DesiredRow>> {
  const names = wishes.map(({ device }) => device);
  const rows = await store
    .selectFrom('devices')
    .select(['name', 'desired'])
    .$if(all, (query) => query.select('reported'))
    .where('name', 'in', names)
    .orderBy('name')
    .$if(locksRows(store), (query) => query.forUpdate())
    .execute();
  return new Map(rows.map(({ name, desired, reported = null }) => [name, { desired, reported }]));
}

async function writeDesired(store: Store, changes: ReadonlyMap<string, string | null>): Promise<void> {
  if (changes.size === 0) return;
  const { sql } = await import('kysely');
  const rows = [...changes].map(([name, desired]) => sql`(${name}, ${desired})`);
  // Both engines name the columns of VALUES like this.
  await sql`
    UPDATE "devices" SET "desired" = "wished"."column2" FROM (VALUES ${sql.join(rows)}) AS "wished"
    WHERE "devices"."name" = "wished"."column1"`.execute(store);
}

/** API path segment for each kind's registry. */
const nouns = { firmware: 'firmware', config: 'configs' };

/** Message with a device's desired state; null = none. */
export function desiredOf({ wish, release, soakMs, shadow, delta }: Wish): Desired | null {
  // Settings are published on a topic of their own.
  if (release === null || release.kind === 'settings') return null;
  const { kind, name, version, sequence } = release;
  const manifest =
    kind === 'model'
      ? `/api/v1/manifests/${sequence}`
      : `/api/v1/${nouns[kind]}/${encodeURIComponent(name)}/versions/${version}/manifest?sequence=${sequence}`;
  const asked = { ...(soakMs ? { soakMs } : {}), ...(shadow ? { shadow } : {}), ...(delta ? { delta } : {}) };
  return { rollout: wish, kind, name, version, sequence, manifest, ...asked };
}

/** Digests of the release that devices run and of the one that they should run. */
export interface DeltaPair {
  base: string;
  target: string;
}

/** A patch that saves more than half the size. */
interface MadeDelta extends DeltaPair {
  digest: string;
  bytes: number;
}

interface Parts {
  store: Store;
  blobs: BlobStore;
  /** ms since 1970 */
  now: () => number;
}

/**
 * Maximum size of releases that get patches, bytes, because making a patch takes about 13 bytes of memory per byte of
 * release.
 */
const largest = 4 * 1024 * 1024;

/** How long making a patch may block other work, ms. */
const sliceMs = 10;

/**
 * How long the start of a rollout and a plan wait for their patches, ms. Devices that are offered the release before its patch exists
 * download the whole release.
 */
export const patienceMs = { start: 3000, plan: 15_000 };

/** Maximum number of base releases for which patches to one release are made: those that most devices run. */
export const mostBases = 8;

/** Patches between releases, made when a rollout is planned or started, from the releases that its devices run. */
export class Deltas {
  private readonly inTurn = serially();
  private closed = false;

  constructor(private readonly parts: Parts) {}

  /**
   * Returns the patches that save more than half the size. Waits at most `waitMs` for patches to be made; patches not
   * ready by then are completed in the background.
   */
  async ready(pairs: readonly DeltaPair[], waitMs: number): Promise<MadeDelta[]> {
    // A failed patch must not delay the rollout, because the whole release can be downloaded instead.
    const made = Promise.allSettled(pairs.map((pair) => this.inTurn(() => this.make(pair))));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs);
    });
    await Promise.race([made, late]);
    clearTimeout(timer);
    const known = await Promise.all(pairs.map((pair) => this.known(pair, this.parts.store)));
    return known.flatMap((row) => (row?.digest ? [{ ...row, digest: row.digest }] : []));
  }

  /** Returns those of the digests that belong to a release. */
  async released(kind: 'model' | 'firmware', digests: readonly string[]): Promise<Set<string>> {
    const found = new Set<string>();
    const all = this.parts.store.selectFrom(kind === 'model' ? 'models' : 'firmware').select('digest');
    // A statement has a limited number of parameters.
    for (let i = 0; i < digests.length; i += 1000) {
      const rows = await all.where('digest', 'in', digests.slice(i, i + 1000)).execute();
      for (const { digest } of rows) found.add(digest);
    }
    return found;
  }

  /** Aborts patches in progress. */
  async close(): Promise<void> {
    this.closed = true;
    await this.inTurn(async () => {});
  }

  /** Patches that produce one release, by the digest of their base. */
  async of(target: string, store: Store): Promise<Map<string, MadeDelta>> {
    const rows = await store
      .selectFrom('deltas')
      .select(['base', 'target', 'digest', 'bytes'])
      .where('target', '=', target)
      .where('digest', 'is not', null)
      .execute();
    return new Map(rows.map((row) => [row.base, row as MadeDelta]));
  }

  private known({ base, target }: DeltaPair, store: Store) {
    const row = store.selectFrom('deltas').select(['base', 'target', 'digest', 'bytes']);
    return row.where('base', '=', base).where('target', '=', target).executeTakeFirst();
  }

  private async make({ base, target }: DeltaPair): Promise<void> {
    const { store, blobs, now } = this.parts;
    if (this.closed || base === target || (await this.known({ base, target }, store))) return;
    const sizes = await Promise.all([blobs.size(base), blobs.size(target)]);
    if (sizes.some((size) => size === null || size > largest)) return;
    const [from, to] = await Promise.all([blobs.bytes(base), blobs.bytes(target)]);
    const patch = await this.inSlices(from, to);
    if (!patch) return;
    const saves = 2 * patch.length < to.length;
    const digest = saves ? digestOf(patch) : null;
    if (digest) await blobs.put(digest, Readable.from([patch]));
    const row = { base, target, digest, bytes: patch.length, made: now() };
    await store.transaction().execute(async (transaction) => {
      const into = transaction.insertInto('deltas').values(row);
      await into.onConflict((conflict) => conflict.doNothing()).execute();
      if (digest) await releaseLeases([digest], transaction);
    });
  }

  /** Makes a patch in slices between which other work can proceed, because megabytes take seconds. null = aborted. */
  private async inSlices(base: Uint8Array, target: Uint8Array): Promise<Uint8Array | null> {
    const steps = createDeltaInSteps(base, target);
    for (let since = performance.now(); !this.closed; ) {
      const { done, value } = steps.next();
      if (done) return value;
      if (performance.now() - since < sliceMs) continue;
      await nextTurn();
      since = performance.now();
    }
    return null;
  }
}

const noDeltas = Promise.resolve(new Map<string, MadeDelta>());

/** Looks up the patches for desired states written in one transaction. */
class WishedDeltas {
  private readonly known = new Map<string, Promise<Map<string, MadeDelta>>>();

  constructor(
    private readonly deltas: Deltas,
    private readonly store: Store,
  ) {}

  /** Whether there are patches for the release of any of the desired states. */
  async any(wishes: readonly Wish[]): Promise<boolean> {
    for (const { release } of wishes) if ((await this.madeFor(release)).size > 0) return true;
    return false;
  }

  /** Returns the desired state, with a patch if there is one for the release in the device's report. */
  async added(wish: Wish, report: string | null): Promise<Wish> {
    const { release } = wish;
    const deltas = await this.madeFor(release);
    if (release === null || deltas.size === 0) return wish;
    const reported = report === null ? null : (JSON.parse(report) as Reported);
    const delta = deltas.get((reported && runningOf(release.kind, reported)?.digest) ?? '');
    if (!delta) return wish;
    const { base, digest, bytes } = delta;
    return { ...wish, delta: { base, digest, bytes } };
  }

  private madeFor(release: Release | null): Promise<Map<string, MadeDelta>> {
    if (release === null || release.kind === 'config' || release.kind === 'settings') return noDeltas;
    const { kind, name, version } = release;
    const key = `${kind} ${name}@${version}`;
    const made = this.known.get(key) ?? this.of(release);
    this.known.set(key, made);
    return made;
  }

  private async of({ kind, name, version }: SignedRelease): Promise<Map<string, MadeDelta>> {
    const rows = this.store.selectFrom(kind === 'model' ? 'models' : 'firmware').select('digest');
    const row = await rows.where('name', '=', name).where('version', '=', version).executeTakeFirst();
    return row ? this.deltas.of(row.digest, this.store) : new Map();
  }
}
