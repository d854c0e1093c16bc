import { createHash } from 'node:crypto';
import type { Selectable } from 'kysely';
import { AiotError, unless } from '../../core/errors.js';
import type { Reported } from '../../device/protocol/messages.js';
import { deviceStep, mayConnect } from '../../fleet/device.js';
import type { BlobStore } from '../blobs/store.js';
import type { DesiredStates } from '../devices/desired.js';
import type { DeviceRecord, Devices } from '../devices/devices.js';
import type { Fleet } from '../devices/fleet.js';
import type { Events } from '../events/events.js';
import type { Firmware } from '../releases/releases.js';
import type { Rollouts } from '../releases/rollouts.js';
import type { Store } from '../store/database.js';
import type { PartTurn, Turns } from '../store/engine.js';
import type { Schema } from '../store/schema.js';
import {
  type Action,
  type ActionRelease,
  type ActionState,
  afterCancelFeedback,
  afterCancelPoll,
  afterDownload,
  afterFeedback,
  afterLook,
  afterWithdrawal,
  failed,
  isOver,
  type Outcome,
} from './action.js';
import { type Attributes, type Feedback, tagOf, tagValueOf } from './bodies.js';

interface DdiParts {
  store: Store;
  turns: Turns;
  devices: Devices;
  desired: DesiredStates;
  rollouts: Pick<Rollouts, 'reported'>;
  firmware: Pick<Firmware, 'get'>;
  fleet: Pick<Fleet, 'patch'>;
  blobs: BlobStore;
  events: Events;
  /** ms since 1970 */
  now: () => number;
  /** Polling interval of clients, ms. */
  pollMs: number;
}

/** Response to a client's poll. */
export interface Poll {
  open: Action | null;
  installed: Action | null;
  wantsAttributes: boolean;
}

/** A client counts as online if it has missed at most this many polls. */
const missedPolls = 3;

const endings = { swu: 'swu', raucb: 'raucb', mcuboot: 'bin' } as const;

/**
 * The platform's side of the Direct Device Integration API. A device's desired state becomes an action that its client
 * requests. The client's feedback is passed to the rollout as a protocol v1 report. The rollout is updated first, then
 * the action is saved. If the process is interrupted in between, the client repeats its feedback, and a rollout
 * tolerates a duplicate report.
 */
export class Ddi {
  private readonly actions: Actions;
  private readonly inTurn: PartTurn;
  readonly hashes: (digest: string) => Promise<FileHashes>;

  constructor(private readonly parts: DdiParts) {
    this.actions = new Actions(parts.store);
    this.inTurn = parts.turns.parts('ddi');
    this.hashes = hashesIn(parts.blobs);
  }

  /** Polling interval of clients, ms. */
  get pollMs(): number {
    return this.parts.pollMs;
  }

  /** Admits a device that has no certificate and no secret yet, on behalf of a gateway. @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED */
  async admit(name: string): Promise<void> {
    const { devices, events } = this.parts;
    const { state } = devices.record(name);
    if (mayConnect(state)) return;
    if (state !== 'registered') throw new AiotError('AIOT_NOT_ALLOWED', `the device ${name} is ${state}`);
    await devices.inTurnOf([name], async () => {
      const device = devices.record(name);
      if (device.state !== 'registered') return;
      const seen = deviceStep(deviceStep(device.state, 'certified'), 'seen');
      const event = { type: 'device.activate' as const, subject: name, who: `device ${name}` };
      await devices.update(device, { state: seen }, (store) => events.record(event, store));
    });
  }

  async poll(name: string): Promise<Poll> {
    const { devices, now, pollMs } = this.parts;
    const device = devices.record(name);
    await devices.polled(name, now() + missedPolls * pollMs);
    // Most polls change nothing, and do not wait for a turn.
    const open = (await this.hasNothingToDo(device))
      ? null
      : await this.inTurn([name], async () => {
          const settled = await this.settle(device);
          if (settled?.state !== 'cancelling') return settled;
          return this.take(device, settled, afterCancelPoll(settled, now()));
        });
    return {
      open,
      installed: await this.actions.installed(device.id),
      wantsAttributes: await this.actions.wants(device.id),
    };
  }

  /** Returns the action to install. @throws AIOT_NOT_FOUND for an action that is not to be installed now */
  look(name: string, id: number): Promise<Action> {
    return this.inTurn([name], async () => {
      const device = this.parts.devices.record(name);
      const open = await this.settle(device);
      if (open?.id !== id || open.state !== 'open') throw noAction(name, id);
      return (await this.take(device, open, afterLook(open))) ?? open;
    });
  }

  /** @throws AIOT_NOT_FOUND for an action that is not being canceled */
  cancellation(name: string, id: number): Promise<Action> {
    return this.inTurn([name], async () => {
      const open = await this.settle(this.parts.devices.record(name));
      if (open?.id !== id || open.state !== 'cancelling') throw noAction(name, id);
      return open;
    });
  }

  /** @throws AIOT_NOT_FOUND */
  async installed(name: string, id: number): Promise<Action> {
    const action = await this.known(name, id);
    if (action.state !== 'finished') throw noAction(name, id);
    return action;
  }

  /** @throws AIOT_NOT_FOUND, AIOT_ACTION_ENDED */
  feedback(name: string, id: number, feedback: Feedback): Promise<void> {
    return this.inTurn([name], async () => {
      const action = await this.active(name, id);
      await this.take(
        this.parts.devices.record(name),
        action,
        afterFeedback(action, feedback, this.parts.now()),
      );
    });
  }

  /** @throws AIOT_NOT_FOUND, AIOT_ACTION_ENDED, AIOT_ACTION_STATE */
  cancelFeedback(name: string, id: number, feedback: Feedback): Promise<void> {
    return this.inTurn([name], async () => {
      const action = await this.active(name, id);
      if (action.state !== 'cancelling') {
        throw new AiotError(
          'AIOT_ACTION_STATE',
          `action ${id} of ${name} is ${action.state}: its cancellation was not requested, so it cannot be confirmed`,
        );
      }
      const outcome = afterCancelFeedback(action, feedback, this.parts.now());
      await this.take(this.parts.devices.record(name), action, outcome);
    });
  }

  /** Returns a release's file to a device that has, or had, an action for that release. @throws AIOT_NOT_FOUND */
  async file(
    name: string,
    sequence: number,
    file: string,
  ): Promise<{ action: Action; release: ActionRelease }> {
    const { id } = this.parts.devices.record(name);
    const action = await this.actions.forRelease(id, sequence);
    const release = action?.release;
    if (action && release?.file === file) return { action, release };
    throw new AiotError('AIOT_NOT_FOUND', `no update of ${name} contains this file`);
  }

  /** Returns a release to a device that has, or had, an action for it. @throws AIOT_NOT_FOUND */
  async module(name: string, sequence: number): Promise<ActionRelease> {
    const action = await this.actions.forRelease(this.parts.devices.record(name).id, sequence);
    if (action?.release) return action.release;
    throw new AiotError('AIOT_NOT_FOUND', `no update of ${name} contains this software module`);
  }

  /** Counts a download that the client starts from the beginning. */
  downloading(name: string, { id }: Action): Promise<void> {
    return this.inTurn([name], async () => {
      const action = await this.known(name, id);
      if (action.state !== 'open') return;
      await this.take(this.parts.devices.record(name), action, afterDownload(action, this.parts.now()));
    });
  }

  /** Stores the attributes a device reports, as tags that begin with `attr.`. */
  async describe(name: string, { mode, data }: Attributes): Promise<void> {
    const { devices, fleet } = this.parts;
    const device = devices.record(name);
    const told = new Map(Object.entries(data).map(([key, value]) => [tagOf(key), tagValueOf(value)]));
    const tags: Record<string, string | null> = {};
    for (const tag of Object.keys(device.tags)) {
      const goes = mode === 'remove' ? told.has(tag) : mode === 'replace' && !told.has(tag);
      if (goes && tag.startsWith('attr.')) tags[tag] = null;
    }
    for (const [tag, value] of told) if (mode !== 'remove' && value !== '') tags[tag] = value;
    await fleet.patch(name, { tags }, `device ${name}`);
    await this.actions.want(device.id, false);
  }

  /** Records software on the device that was not installed by the platform. */
  async declare(name: string, installed: { name: string; version: string }): Promise<void> {
    const { devices } = this.parts;
    const before = devices.record(name).reported;
    const firmware = { version: installed.version, release: null };
    await devices.inTurnOf([name], () =>
      devices.report(name, { ...this.reportOf(devices.record(name)), ...(before ?? {}), firmware }),
    );
  }

  /** Whether the device has no action that has not ended, and its desired state does not require one. */
  private async hasNothingToDo(device: DeviceRecord): Promise<boolean> {
    const wish = await this.parts.desired.get(device.name);
    if (wish && !(await this.actions.of(device.id, wish.rollout))) return false;
    // Read last, because another request may add the action in the meantime.
    return (await this.actions.open(device.id)) === null;
  }

  /**
   * Updates the device's action to match its latest desired state and returns it; null = the device has nothing to do. Call only in the
   * device's turn.
   */
  private async settle(device: DeviceRecord): Promise<Action | null> {
    const { desired, now } = this.parts;
    const wish = await desired.get(device.name);
    let open = await this.actions.open(device.id);
    if (open?.state === 'open' && !open.kept && wish?.rollout !== open.wish) {
      open = afterWithdrawal(open, now());
      await this.actions.save(open);
      if (isOver(open)) open = null;
    }
    if (open || !wish || (await this.actions.of(device.id, wish.rollout))) return open;
    const release = wish.kind === 'firmware' ? await this.releaseOf(wish) : null;
    const made = await this.actions.insert({
      ...{ device: device.id, wish: wish.rollout, state: 'open', created: now(), ended: null, release },
      ...{ seen: false, step: 'IDLE', kept: false, recalled: null, polls: 0, downloads: 0, messages: [] },
    });
    if (release) return made;
    const message = `this kind of client accepts available firmware only, not ${wish.kind} ${wish.name}@${wish.version}`;
    return this.take(device, made, failed(made, { code: 'AIOT_UPDATE_DEVICE_TYPE', message }, now()));
  }

  private async releaseOf({ name, version, sequence }: { name: string; version: number; sequence: number }) {
    const card = await unless('AIOT_NOT_FOUND', this.parts.firmware.get(name, version));
    if (!card) return null;
    const file = `${name}-${version}.${card.bundle ? endings[card.bundle] : 'bin'}`;
    return { name, version, sequence, digest: card.digest, bytes: card.bytes, file };
  }

  /** Reports the outcome to the rollout, then saves it. Returns the action; null if the action has ended. */
  private async take(
    device: DeviceRecord,
    before: Action,
    { action, report }: Outcome,
  ): Promise<Action | null> {
    if (report) await this.report(device, action, report);
    if (action !== before) await this.actions.save(action);
    if (!isOver(action)) return action;
    // The device may now run another release with other attributes, so the attributes are requested again.
    if (action.state !== 'failed') await this.actions.want(device.id, true);
    return null;
  }

  private async report(
    device: DeviceRecord,
    action: Action,
    { state, error }: NonNullable<Outcome['report']>,
  ) {
    const { devices, rollouts } = this.parts;
    const { release } = action;
    const { name, version, sequence, digest } = release ?? {};
    const committed =
      state === 'COMMITTED' && name && version && sequence && digest
        ? { firmware: { name, version: String(version), release: { name, version, sequence, digest } } }
        : {};
    const reported: Reported = {
      ...{ ...this.reportOf(device), state, error, rollout: action.wish },
      ...committed,
    };
    await devices.inTurnOf([device.name], () => devices.report(device.name, reported));
    await rollouts.reported(device.name, reported, action.kept);
  }

  private reportOf({ type, reported }: DeviceRecord): Reported {
    const firmware = reported?.firmware ? { firmware: reported.firmware } : {};
    return {
      ...{ t: this.parts.now(), type, kind: 'firmware', state: 'IDLE', rollout: null, model: null, floor: 0 },
      ...{ download: null, golden: null, error: null, ...firmware },
    };
  }

  private async active(name: string, id: number): Promise<Action> {
    const action = await this.known(name, id);
    if (!isOver(action)) return action;
    throw new AiotError(
      'AIOT_ACTION_ENDED',
      `action ${id} of ${name} has already ended: it is ${action.state}`,
    );
  }

  private async known(name: string, id: number): Promise<Action> {
    const action = await this.actions.get(this.parts.devices.record(name).id, id);
    if (action) return action;
    throw noAction(name, id);
  }
}

function noAction(name: string, id: number): AiotError {
  return new AiotError('AIOT_NOT_FOUND', `${name} has no action ${id}`);
}

/** First id, so high that if a client loses its first digit, the remaining number is not in use. */
const firstId = 1001;

/** Stores actions. */
class Actions {
  constructor(private readonly store: Store) {}

  /** The action that has not ended; null = none. */
  async open(device: string): Promise<Action | null> {
    const states = ['open', 'cancelling'] satisfies ActionState[];
    const row = await this.rows(device).where('state', 'in', states).orderBy('id').executeTakeFirst();
    return row ? actionOf(row) : null;
  }

  /** The last installed action; null = none. */
  async installed(device: string): Promise<Action | null> {
    const rows = this.rows(device).where('state', '=', 'finished').orderBy('id', 'desc');
    const row = await rows.executeTakeFirst();
    return row ? actionOf(row) : null;
  }

  async get(device: string, id: number): Promise<Action | null> {
    const row = await this.rows(device).where('id', '=', id).executeTakeFirst();
    return row ? actionOf(row) : null;
  }

  async of(device: string, wish: string): Promise<Action | null> {
    const row = await this.rows(device).where('wish', '=', wish).executeTakeFirst();
    return row ? actionOf(row) : null;
  }

  /** The newest action for this release. */
  async forRelease(device: string, sequence: number): Promise<Action | null> {
    const rows = await this.rows(device).orderBy('id', 'desc').execute();
    return rows.map(actionOf).find(({ release }) => release?.sequence === sequence) ?? null;
  }

  /** Adds an action with the id after the highest one. */
  async insert(action: Omit<Action, 'id'>): Promise<Action> {
    for (;;) {
      const { last } = await this.store
        .selectFrom('ddiActions')
        .select(({ fn }) => fn.max('id').as('last'))
        .executeTakeFirstOrThrow();
      const numbered = { ...action, id: Math.max(firstId, Number(last ?? 0) + 1) };
      const added = await this.store
        .insertInto('ddiActions')
        .values(rowOf(numbered))
        .onConflict((conflict) => conflict.column('id').doNothing())
        .returning('id')
        .executeTakeFirst();
      // Otherwise, another device's action has received this id since.
      if (added) return numbered;
    }
  }

  async save(action: Action): Promise<void> {
    const { id, ...row } = rowOf(action);
    await this.store.updateTable('ddiActions').set(row).where('id', '=', id).execute();
  }

  /** Whether to request a device's attributes: initially, and when they may have changed. */
  async wants(device: string): Promise<boolean> {
    const row = await this.store
      .selectFrom('ddiDevices')
      .select('wants')
      .where('device', '=', device)
      .executeTakeFirst();
    return row === undefined || row.wants === 1;
  }

  async want(device: string, wants: boolean): Promise<void> {
    const values = { device, wants: wants ? 1 : 0 };
    await this.store
      .insertInto('ddiDevices')
      .values(values)
      .onConflict((conflict) => conflict.column('device').doUpdateSet({ wants: values.wants }))
      .execute();
  }

  private rows(device: string) {
    return this.store.selectFrom('ddiActions').selectAll().where('device', '=', device);
  }
}

function actionOf({ data, state, ...row }: Selectable<Schema['ddiActions']>): Action {
  return {
    ...row,
    state: state as ActionState,
    ...(JSON.parse(data) as Omit<Action, keyof typeof row | 'state'>),
  };
}

function rowOf({ id, device, wish, state, created, ended, ...data }: Action) {
  return { id, device, wish, state, created, ended, data: JSON.stringify(data) };
}

/** Hashes of a file in the API, hex. */
export interface FileHashes {
  sha1: string;
  md5: string;
  sha256: string;
}

const most = 1000;

/** Computes a blob's hashes once for all requests. Hashes stay valid, because blobs never change. */
function hashesIn(blobs: Pick<BlobStore, 'stream'>): (digest: string) => Promise<FileHashes> {
  const known = new Map<string, Promise<FileHashes>>();
  return (digest) => {
    const found = known.get(digest);
    if (found !== undefined) return found;
    const computed = hashesOf(blobs, digest);
    known.set(digest, computed);
    computed.catch(() => known.delete(digest));
    if (known.size > most) known.delete(known.keys().next().value ?? '');
    return computed;
  };
}

async function hashesOf(blobs: Pick<BlobStore, 'stream'>, digest: string): Promise<FileHashes> {
  const [sha1, md5] = [createHash('sha1'), createHash('md5')];
  for await (const chunk of blobs.stream(digest)) {
    sha1.update(chunk as Buffer);
    md5.update(chunk as Buffer);
  }
  return { sha1: sha1.digest('hex'), md5: md5.digest('hex'), sha256: digest.slice('sha256:'.length) };
}
