import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  Changeable,
  ChangedDevice,
  DeviceChange,
  DeviceListQuery,
  DevicePatch,
} from '../../api/contract/devices.js';
import type { DeviceInfo } from '../../api/fields.js';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError } from '../../core/errors.js';
import { changeDevice } from '../../fleet/device.js';
import { listedNames, parseExpression, testOf } from '../../fleet/selector.js';
import { narrowed, outOfReach, type Reach, requireInReach } from '../access/reach.js';
import type { Events, NewEvent } from '../events/events.js';
import type { DeviceRecord, Devices, DeviceUpdate } from './devices.js';

interface Parts {
  devices: Devices;
  events: Events;
  /** ms since 1970 */
  now: () => number;
  /** Called when a device may no longer connect: its sessions end, and rollouts stop waiting for it. */
  ended(name: string): Promise<void>;
  /** Called to delete everything stored under a removed name. */
  removed(name: string): Promise<void>;
}

/** One device in a request, and the outcome for it. */
interface Planned {
  answer: ChangedDevice;
  update?: DeviceUpdate;
  event?: NewEvent;
}

/** Number of devices per transaction. */
const batch = 100;

/** Receives the revision about to be changed, and throws if a different revision was expected. */
type Check = (revision: number) => void;

/**
 * The names that a selector chooses for reading; undefined for all. A list of names may also name loops and devices that no longer exist,
 * because their data still does.
 * @throws AIOT_SELECTOR_INVALID
 */
export function chosenDevices(
  { devices }: Pick<Parts, 'devices'>,
  selector: string | undefined,
): readonly string[] | undefined {
  if (selector === undefined) return undefined;
  const expression = parseExpression(selector);
  if (expression.kind === 'all') return undefined;
  if (expression.kind === 'term' && expression.key === 'name' && ['in', '='].includes(expression.operator))
    return expression.values;
  return devices.select(selector).map(({ name }) => name);
}

/** Bulk operations on devices, which are chosen by a selector and changed by name. */
export class Fleet {
  constructor(private readonly parts: Parts) {}

  /**
   * Sorted by name, starting after `after`. With a `reach`, only devices in it.
   * @throws AIOT_SELECTOR_INVALID, AIOT_NOT_FOUND (a listed name), AIOT_NOT_ALLOWED (a listed name out of reach)
   */
  async list({ selector: asked = 'all', limit, after }: DeviceListQuery, reach: Reach | null = null) {
    const { devices } = this.parts;
    const selector = narrowed(reach, asked);
    devices.requireListed(selector, reach);
    const { found, more } = await devices.page(selector, limit, after);
    if (found.length === 0 && after === undefined) devices.requireTags(selector, reach);
    const shown = found.filter(({ name }) => devices.find(name) !== null);
    const next = more ? found.at(-1)!.name : null;
    return { devices: shown.map(({ name }) => devices.info(name)), next };
  }

  /** With a `reach`, only devices in it. @see chosenDevices @throws AIOT_NOT_ALLOWED for a listed name out of reach */
  chosen(selector: string | undefined, reach: Reach | null = null): readonly string[] | undefined {
    return chosenDevices(this.parts, reach === null ? selector : narrowed(reach, selector ?? 'all'));
  }

  /**
   * Like `chosen`, for messages that arrive later: a device counts as it is then.
   * @throws AIOT_NOT_ALLOWED for a listed name out of reach, AIOT_SELECTOR_INVALID
   */
  watched(selector: string | undefined, reach: Reach | null = null): (name: string) => boolean {
    const text = narrowed(reach, selector ?? 'all');
    const expression = parseExpression(text);
    if (expression.kind === 'all') return () => true;
    const names = listedNames(text);
    if (names !== null) return (name) => names.includes(name);
    const { devices, now } = this.parts;
    return (name) => {
      const device = devices.find(name);
      return device !== null && testOf(expression, now())(devices.selectable(device));
    };
  }

  /**
   * Changes each device separately, in name order; if one change is rejected, the others still take effect. With `dryRun`, nothing is
   * changed. `check` receives the revision about to be changed, while no other change can run. With a `reach`, devices are changed only
   * while they are in it.
   * @throws AIOT_NOT_ALLOWED
   */
  async change(
    names: readonly string[],
    change: DeviceChange,
    dryRun: boolean,
    who: string,
    check?: Check,
    reach: Reach | null = null,
  ) {
    const answers: ChangedDevice[] = [];
    const all = [...new Set(names)];
    for (let i = 0; i < all.length; i += batch) {
      // SQLite calls block this thread, so nothing else would run until all devices are processed.
      if (i > 0) await nextTurn();
      answers.push(...(await this.changeSome(all.slice(i, i + batch), change, dryRun, who, check, reach)));
    }
    return answers;
  }

  /** Changes one device. @throws AIOT_NOT_FOUND, AIOT_DEVICE_STATE, AIOT_REQUEST_INVALID */
  async changeOne(
    name: string,
    change: DeviceChange,
    who: string,
    check?: Check,
    reach: Reach | null = null,
  ): Promise<DeviceInfo> {
    const { devices } = this.parts;
    const last = devices.info(name);
    changeDevice(devices.record(name), change);
    const [answer] = await this.change([name], change, false, who, check, reach);
    if (answer?.error) throw new AiotError(answer.error.code as ErrorCode, answer.error.message);
    return answer?.after === null ? last : devices.info(name);
  }

  /** Changes one device, completely or not at all. @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID (more tags or groups than allowed) */
  async patch(
    name: string,
    patch: DevicePatch,
    who: string,
    check?: Check,
    reach: Reach | null = null,
  ): Promise<DeviceInfo> {
    const { devices, events } = this.parts;
    return devices.inTurnOf([name], async () => {
      // The device may have left the reach while others made their changes.
      requireInReach(reach, [name]);
      const device = devices.record(name);
      check?.(device.revision);
      const told: NewEvent[] = [];
      let after: Changeable = { state: device.state, tags: device.tags, groups: device.groups };
      for (const change of changesOf(patch, device)) {
        const next = changeDevice(after, change);
        if (next === null || next === after) continue;
        const { action, ...data } = change;
        told.push({ who, type: `device.${action}`, subject: name, data });
        after = next;
      }
      if (told.length > 0) {
        this.requireStays(reach, device, after);
        await devices.updateAll([{ device, change: changed(device, after) }], async (store) => {
          for (const event of told) await events.record(event, store);
        });
      }
      return devices.info(name);
    });
  }

  private async changeSome(
    names: string[],
    change: DeviceChange,
    dryRun: boolean,
    who: string,
    check: Check | undefined,
    reach: Reach | null,
  ) {
    const { devices, events } = this.parts;
    const planned = await devices.inTurnOf(names, async () => {
      requireInReach(reach, names);
      if (check) for (const name of names) check(devices.record(name).revision);
      const plans = names.map((name) => this.plan(name, change, who));
      for (const { answer, update } of plans)
        if (update && answer.after) this.requireStays(reach, update.device, answer.after);
      const updates = plans.flatMap(({ update }) => update ?? []);
      if (dryRun || updates.length === 0) return plans;
      await devices.updateAll(updates, async (store) => {
        for (const { event } of plans) if (event) await events.record(event, store);
      });
      return plans;
    });
    if (!dryRun) for (const { answer } of planned) await this.tell(answer, change);
    return planned.map(({ answer }) => answer);
  }

  /** Users limited to some devices cannot move a device out of their reach, into that of others. @throws AIOT_NOT_ALLOWED */
  private requireStays(reach: Reach | null, device: DeviceRecord, { tags, groups }: Changeable): void {
    const { devices } = this.parts;
    if (reach === null || reach.matches(devices.selectable({ ...device, tags, groups }))) return;
    throw outOfReach(`the change would move ${device.name} out of the devices of this token (${reach.text})`);
  }

  /**
   * Ends connections, and deletes data stored under a removed name. Also called if the change was already stored
   * earlier, because that attempt may have been interrupted.
   */
  private async tell({ name, outcome, after }: ChangedDevice, { action }: DeviceChange): Promise<void> {
    if (outcome === 'refused') return;
    if (action === 'suspend' || action === 'revoke' || after === null) await this.parts.ended(name);
    if (after === null) await this.parts.removed(name);
  }

  private plan(name: string, change: DeviceChange, who: string): Planned {
    const device = this.parts.devices.find(name);
    if (!device) {
      const error = { code: 'AIOT_NOT_FOUND', message: this.parts.devices.unknown(name) };
      return { answer: { name, type: null, outcome: 'refused', before: null, after: null, error } };
    }
    const before: Changeable = { state: device.state, tags: device.tags, groups: device.groups };
    const answer = { name, type: device.type, before, error: null };
    try {
      const after = changeDevice(before, change);
      if (after === before) return { answer: { ...answer, outcome: 'same', after } };
      const { action, ...data } = change;
      const removed = after === null ? { id: device.id, type: device.type } : {};
      const event = { who, type: `device.${action}` as const, subject: name, data: { ...data, ...removed } };
      const update = { device, change: after && changed(device, after) };
      return { answer: { ...answer, outcome: 'changed', after }, update, event };
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      const { code, message } = error;
      return { answer: { ...answer, outcome: 'refused', after: before, error: { code, message } } };
    }
  }
}

/** Converts a patch into changes: tags with null are deleted, and groups are replaced. */
function changesOf({ tags = {}, groups }: DevicePatch, device: DeviceRecord): DeviceChange[] {
  const changes: DeviceChange[] = [];
  const entries = Object.entries(tags);
  const set = Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== null));
  const remove = entries.filter(([, value]) => value === null).map(([tag]) => tag);
  if (entries.length > 0) changes.push({ action: 'tag', set, remove });
  const old = device.groups.filter((group) => !groups?.includes(group));
  if (groups) changes.push({ action: 'group', add: groups, remove: old });
  return changes;
}

/** The fields that differ. Unchanged fields are not written. */
function changed(device: DeviceRecord, after: Changeable): Partial<DeviceRecord> {
  const { state, tags, groups } = after;
  return {
    ...(state === device.state ? {} : { state }),
    ...(tags === device.tags ? {} : { tags }),
    ...(groups === device.groups ? {} : { groups }),
  };
}
