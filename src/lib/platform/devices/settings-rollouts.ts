import type { RolloutReason, SettingsRelease } from '../../api/rollouts/schema.js';
import { AiotError } from '../../core/errors.js';
import { wishOf } from '../../fleet/rollout/draft.js';
import type {
  RolloutDevice,
  RolloutEvent,
  RolloutHead,
  RolloutState,
  Wish,
} from '../../fleet/rollout/types.js';
import {
  changedSettings,
  inverseChange,
  pathsOf,
  type SettingsChange,
  withoutPaths,
} from '../../fleet/settings.js';
import type { Events, NewEvent } from '../events/events.js';
import type { Store } from '../store/database.js';
import type { DesiredStates } from './desired.js';
import type { DeviceRecord, Devices, DeviceUpdate } from './devices.js';
import type { StoredSettings } from './records.js';
import { layersOf, readSettings, type SettingsDefinition, settingsInvalid } from './settings.js';

interface Parts {
  store: Store;
  events: Events;
  devices: Devices;
  desired: DesiredStates;
  /** ms since 1970 */
  now: () => number;
}

type Settled = Pick<RolloutDevice, 'name' | 'wave' | 'state' | 'offer'>;

/**
 * Settings that rollouts change. An offer changes the device's own overrides, and keeps the former ones with the device until they are
 * needed for a withdrawal or a rollback. A device reports its settings as always, so it needs no support for rollouts.
 */
export class SettingsRollouts {
  constructor(private readonly parts: Parts) {}

  /** @throws AIOT_SETTINGS_UNKNOWN */
  async definitionOf(type: string): Promise<SettingsDefinition> {
    const all = await readSettings(this.parts.store);
    const definition = all.find((each) => each.type === type);
    if (definition) return definition;
    const known = all.length === 0 ? 'no type' : all.map((each) => each.type).join(', ');
    throw new AiotError('AIOT_SETTINGS_UNKNOWN', `the type ${type} has no settings; known: ${known}`);
  }

  /**
   * Whether a device already uses the changed settings.
   * @throws AIOT_SETTINGS_INVALID if the change is invalid for the device
   */
  uses(device: DeviceRecord, change: SettingsChange, definition: SettingsDefinition): boolean {
    const own = device.settings?.own ?? {};
    const changed = changedSettings(own, change);
    const resolved = definition.compiled.resolve(layersOf(definition, device, changed));
    if ('problem' in resolved) throw settingsInvalid(device.name, resolved.problem);
    if (JSON.stringify(changed) !== JSON.stringify(own)) return false;
    return this.parts.devices.settingsDrift(device.name)?.state === 'same';
  }

  /** Whether the device has reported, but never its settings, so that its firmware may not support them. */
  isSilent({ reported }: DeviceRecord): boolean {
    return reported !== null && reported.settings === undefined;
  }

  /** News about the devices of a rollout since its last step: from their reports, and from users who changed the same settings. */
  news({ head, devices }: RolloutState): RolloutEvent[] {
    const paths = pathsIn(head);
    const events: RolloutEvent[] = [];
    for (const device of devices.values()) {
      const event = this.newsOf(head, device, paths);
      if (event) events.push(event);
    }
    return events;
  }

  private newsOf(head: RolloutHead, device: Settled, paths: readonly string[]): RolloutEvent | null {
    const { name, wave, state, offer } = device;
    const isOpen = state === 'pending' || state === 'offered' || state === 'restoring';
    if (!isOpen && (state !== 'committed' || head.waves[wave]?.state === 'passed')) return null;
    const settings = this.parts.devices.find(name)?.settings;
    const edits = isOpen ? editsOf(settings, head.created) : [];
    const edit = edits.find((each) => paths.some((path) => overlap(each.path, path)));
    // A rollback still restores the settings that have not been changed since.
    if (
      edit &&
      (state !== 'restoring' || paths.every((path) => edits.some((each) => overlap(each.path, path))))
    )
      return { type: 'changed', device: name, ...edit };
    const deployed = settings?.deployed;
    if (state === 'restoring' && deployed?.rollout !== head.id) return { type: 'superseded', device: name };
    if (deployed?.wish !== wishOf(head.id, offer)) return null;
    if (state === 'committed') return this.driftOf(name);
    const error = deployed.problem
      ? { code: 'AIOT_SETTINGS_INVALID', message: `${name}: settings${deployed.problem}` }
      : this.rejectionOf(name);
    const isSame = this.parts.devices.settingsDrift(name)?.state === 'same';
    if (!error && !isSame) return null;
    const told = { state: error ? 'IDLE' : 'COMMITTED', error, kind: 'settings' as const };
    return { type: 'reported', device: name, report: { rollout: deployed.wish, model: null, ...told } };
  }

  private driftOf(device: string): RolloutEvent | null {
    const error = this.rejectionOf(device);
    if (error) return { type: 'drifted', device, error };
    const drift = this.parts.devices.settingsDrift(device);
    if (drift?.state !== 'drifted') return null;
    const paths = drift.differences.map(({ path }) => path).join(', ');
    const message = `the device no longer uses the settings${paths === '' ? '' : `: it reports other values of ${paths}`}`;
    return { type: 'drifted', device, error: { code: 'AIOT_SETTINGS_UNCONFIRMED', message } };
  }

  /** The device's own error for the settings that it should use. */
  private rejectionOf(name: string): RolloutReason | null {
    const { devices } = this.parts;
    if (devices.settingsDrift(name)?.state !== 'rejected') return null;
    const { code, message } = devices.record(name).reported?.settings?.error ?? { code: '', message: '' };
    return { code, message };
  }

  /**
   * Writes the settings for the offers, withdrawals and rollbacks of a step within its transaction. Settings that a user has changed on a
   * device since the rollout started are kept. Call only from a task passed to `Devices.inTurn`.
   * @returns the changes: pass them to `written` once the transaction is committed
   */
  async write(head: RolloutHead, wishes: readonly Wish[], store: Store): Promise<DeviceUpdate[]> {
    if (wishes.length === 0) return [];
    const [release] = head.releases;
    const definition = (await readSettings(store)).find(({ type }) => type === release?.name);
    const updates: DeviceUpdate[] = [];
    const told: NewEvent[] = [];
    for (const wish of wishes) {
      const device = this.parts.devices.find(wish.device);
      if (!device || device.state === 'revoked') continue;
      const written = this.after(device, head, wish, definition);
      if (!written) continue;
      updates.push({ device, change: { settings: written.settings } });
      const { set = {}, unset = [] } = written.change ?? {};
      const data = { set, unset: [...unset], rollout: head.id };
      if (written.change) told.push({ who: 'platform', type: 'device.settings', subject: device.name, data });
    }
    await this.parts.events.recordAll(told, store);
    return this.parts.devices.writeIn(store, updates);
  }

  /** Keeps committed changes in memory, and publishes them. */
  async written(updates: readonly DeviceUpdate[]): Promise<void> {
    const { devices, desired } = this.parts;
    devices.keep(updates);
    await desired.tellSettings(updates.map(({ device }) => device));
  }

  /** A device's settings once the wish is fulfilled, and the change that led to them; null = nothing is to be written. */
  private after(
    device: DeviceRecord,
    head: RolloutHead,
    { wish, release }: Wish,
    definition: SettingsDefinition | undefined,
  ): { settings: StoredSettings; change: SettingsChange | null } | null {
    const before = device.settings ?? { own: {}, wanted: null };
    const { deployed, ...rest } = before;
    const edits = editsOf(before, head.created);
    const isEdited = (path: string) => edits.some((edit) => overlap(edit.path, path));
    if (release === null) {
      if (deployed?.wish !== wish || deployed.isBack) return null;
      const back = withoutPaths(deployed.back, isEdited);
      if (deployed.problem || pathsOf(back).length === 0) return { settings: rest, change: null };
      return { settings: this.changed(device, rest, back, definition).settings, change: back };
    }
    if (release.kind !== 'settings') return null;
    if (release.change === null) {
      if (deployed?.rollout !== head.id) return null;
      const { problem: _, ...former } = deployed;
      const back = deployed.isBack ? {} : withoutPaths(deployed.back, isEdited);
      const { settings, problem } = this.changed(device, rest, back, definition);
      const restored = { ...former, wish, isBack: true, ...(problem === null ? {} : { problem }) };
      return { settings: { ...settings, deployed: restored }, change: back };
    }
    if (pathsIn(head).some(isEdited)) return null;
    const back = inverseChange(before.own, release.change);
    const { settings, problem } = this.changed(device, rest, release.change, definition);
    if (problem !== null) {
      const refused = { rollout: head.id, wish, back: {}, problem };
      return { settings: { ...rest, deployed: refused }, change: null };
    }
    return { settings: { ...settings, deployed: { rollout: head.id, wish, back } }, change: release.change };
  }

  /** The settings after a change; if they are invalid, the device keeps the settings that it should use now. */
  private changed(
    device: DeviceRecord,
    before: StoredSettings,
    change: SettingsChange,
    definition: SettingsDefinition | undefined,
  ): { settings: StoredSettings; problem: string | null } {
    const own = changedSettings(before.own, change);
    const settings = { ...before, own };
    if (!definition) return { settings, problem: `: the type ${device.type} no longer has settings` };
    const resolved = definition.compiled.resolve(layersOf(definition, device, own));
    if ('problem' in resolved) return { settings, problem: resolved.problem.text };
    const { digest, values } = resolved;
    const isSame = digest === before.wanted?.digest;
    const wanted = isSame ? before.wanted : { digest, values, at: this.parts.now() };
    return { settings: { ...settings, wanted }, problem: null };
  }
}

/** The settings that a rollout changes. */
function pathsIn({ releases }: RolloutHead): string[] {
  const [release] = releases as SettingsRelease[];
  return release?.change ? pathsOf(release.change) : [];
}

/** The changes by users since a time. */
function editsOf(
  settings: StoredSettings | null | undefined,
  since: number,
): { path: string; who: string }[] {
  return Object.entries(settings?.edits ?? {}).flatMap(([path, { at, who }]) =>
    at >= since ? { path, who } : [],
  );
}

/** Whether one setting is the other, a part of it, or an object around it. */
function overlap(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}.`) || b.startsWith(`${a}.`);
}
