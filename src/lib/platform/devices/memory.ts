import { AiotError } from '../../core/errors.js';
import { didYouMean } from '../../core/text.js';
import type { Reported } from '../../device/protocol/messages.js';
import { mayConnect } from '../../fleet/device.js';
import type { Expression } from '../../fleet/selector.js';
import { chipOfType } from '../../provision/chip-options.js';
import { DeviceColumns } from './columns.js';
import type { DeviceRecord, NewDevice } from './records.js';
import { Sharing } from './sharing.js';

/** Receives a device's report before and after a change; null = no report, or no such device. */
export type OnReported = (name: string, before: Reported | null, after: Reported | null) => void;

/** Receives the name of a device that was added or removed, or whose properties that rights can depend on were changed. */
export type OnSelectableChange = (name: string) => void;

/** Part of the devices, sorted by name. */
export interface Found {
  devices: DeviceRecord[];
  /** The part of the selector that must still be tested for each of them; null = all of them match. */
  rest: Expression | null;
}

/** Devices by board. A board may have several, of which all but one are revoked. */
type Boards = Map<string, DeviceRecord | Set<DeviceRecord>>;

/** Names that are compared with an unknown one, to suggest the nearest. */
const mostSimilar = 1000;

/** Devices of a page that are tested one by one, before all are tested at once. */
const nearby = 20_000;

/** Up to this number, sorting the matching devices is faster than visiting all devices in order. */
const fewMatches = 5000;

/** The database's devices, indexed for lookup. */
export class DeviceMemory {
  /** Devices by slot; undefined = a free slot. */
  private readonly slots: (DeviceRecord | undefined)[] = [];
  private readonly free: number[] = [];
  /** Slots in order of their devices' names. Slots that are not in it yet, and slots that were freed since it was made. */
  private order = new Int32Array(0);
  private added: number[] = [];
  private freed: number[] = [];
  /** The devices in order; undefined = to be made. Replaced, so that a caller can keep it. */
  private sorted: readonly DeviceRecord[] | undefined;
  /** Number of devices with each tag. */
  private readonly tagged = new Map<string, number>();
  private readonly columns = new DeviceColumns(this.slots, this.tagged);
  private readonly sharing = new Sharing();
  private readonly byName = new Map<string, number>();
  private readonly byFingerprint = new Map<string, DeviceRecord>();
  private readonly byMac: Boards = new Map();
  private readonly byChipId: Boards = new Map();
  private readonly listeners: OnReported[] = [];
  private readonly selectableListeners = new Set<OnSelectableChange>();

  find(name: string): DeviceRecord | undefined {
    const slot = this.byName.get(name);
    return slot === undefined ? undefined : this.slots[slot];
  }

  withCertificate(fingerprint: string): DeviceRecord | undefined {
    return this.byFingerprint.get(fingerprint);
  }

  /** Devices that have or had this board, by MAC address or the guide's chip id. */
  withBoard({ mac = null, chipId = null }: Partial<Pick<DeviceRecord, 'mac' | 'chipId'>>): DeviceRecord[] {
    return this.boardsOf({ mac, chipId }).flatMap(([index, board]) => {
      const found = index.get(board);
      return found === undefined ? [] : found instanceof Set ? [...found] : [found];
    });
  }

  count(): number {
    return this.byName.size;
  }

  /** Devices sorted by name, in code unit order. */
  records(): readonly DeviceRecord[] {
    this.sorted ??= Array.from(this.inOrder(), (slot) => this.slots[slot]!);
    return this.sorted;
  }

  /**
   * Devices after a name that a selector chooses, sorted by name. Does not visit each device, so it is fast for a million.
   * @param most stops after this number of devices, if nothing is left to test
   */
  choose(expression: Expression, after?: string, most = Number.POSITIVE_INFINITY): Found {
    const named = this.named(expression);
    if (named) {
      const later = named.filter(({ name }) => after === undefined || name > after);
      return { devices: later.sort((a, b) => (a.name < b.name ? -1 : 1)), rest: expression };
    }
    const order = this.inOrder();
    const { test, rest } = this.columns.split(expression);
    const limit = rest === null ? most : Number.POSITIVE_INFINITY;
    const devices: DeviceRecord[] = [];
    const from = after === undefined ? 0 : this.firstBehind(after);
    // A page of a selector with many matches ends early. Otherwise, it is faster to test all devices at once.
    const near = limit === Number.POSITIVE_INFINITY ? from : Math.min(order.length, from + nearby);
    let i = from;
    for (; i < near && devices.length < limit; i++) {
      const slot = order[i]!;
      if (test === null || test.one(slot)) devices.push(this.slots[slot]!);
    }
    if (devices.length >= limit) return { devices, rest };
    if (i === order.length) return { devices, rest };
    const matches = test?.all() ?? null;
    const few = matches && this.fewOf(matches);
    if (few) {
      const start = this.nameAt(order[i]!);
      const later = few.filter(({ name }) => name >= start).sort((a, b) => (a.name < b.name ? -1 : 1));
      return { devices: [...devices, ...later].slice(0, limit), rest };
    }
    for (; i < order.length && devices.length < limit; i++) {
      const slot = order[i]!;
      if (matches === null || matches[slot] === 1) devices.push(this.slots[slot]!);
    }
    return { devices, rest };
  }

  /** The devices in matching slots; null if there are many. Finds them without visiting the others. */
  private fewOf(matches: Uint8Array): DeviceRecord[] | null {
    const found: DeviceRecord[] = [];
    for (let slot = matches.indexOf(1); slot !== -1; slot = matches.indexOf(1, slot + 1)) {
      if (found.length === fewMatches) return null;
      const device = this.slots[slot];
      if (device) found.push(device);
    }
    return found;
  }

  /** The few devices that a selector allows by name or board; null if it does not limit either. */
  private named(expression: Expression): DeviceRecord[] | null {
    if (expression.kind === 'and') {
      for (const part of expression.of) {
        const found = this.named(part);
        if (found) return found;
      }
    }
    if (expression.kind !== 'term' || !['=', 'in'].includes(expression.operator)) return null;
    const { key, values } = expression;
    if (key !== 'name' && key !== 'mac') return null;
    const found = values.flatMap((value) =>
      key === 'mac' ? this.withBoard({ mac: value }) : (this.find(value) ?? []),
    );
    return [...new Set(found)];
  }

  /** The names around an unknown name, to suggest a similar one; not all of a large fleet. */
  namesNear(name: string): string[] {
    const order = this.inOrder();
    const from = Math.max(0, this.firstBehind(name) - mostSimilar / 2);
    return Array.from(order.subarray(from, from + mostSimilar), (slot) => this.slots[slot]!.name);
  }

  /** The names of devices' tags. @param isMeant whether a device's tags count; absent = all */
  tagNames(isMeant?: (device: DeviceRecord) => boolean): ReadonlySet<string> {
    if (!isMeant) return new Set(this.tagged.keys());
    // Equal tags are one object.
    const different = new Set<DeviceRecord['tags']>();
    for (const device of this.slots)
      if (device && !different.has(device.tags) && isMeant(device)) different.add(device.tags);
    return new Set([...different].flatMap((tags) => Object.keys(tags)));
  }

  onReported(listener: OnReported): void {
    this.listeners.push(listener);
  }

  /** Calls the listener until the returned function is called. */
  onSelectableChange(listener: OnSelectableChange): () => void {
    this.selectableListeners.add(listener);
    return () => this.selectableListeners.delete(listener);
  }

  /** Changes a cached device. */
  assign(device: DeviceRecord, change: Partial<DeviceRecord>): void {
    const before = device.reported;
    const selectableBefore = selectablePropertiesOf(device);
    const slot = this.byName.get(device.name);
    const isHere = slot !== undefined && this.slots[slot] === device;
    if (isHere && hasBoard(change)) this.forgetBoard(device);
    if (isHere && change.tags !== undefined) this.countTags(device, -1);
    Object.assign(device, change);
    this.share(device, change);
    if (isHere && hasBoard(change)) this.rememberBoard(device);
    if (isHere && change.tags !== undefined) this.countTags(device, 1);
    if (isHere && inColumns.some((field) => change[field] !== undefined)) this.columns.changed(slot);
    this.tell(device.name, before, device.reported);
    // Equal tags are one object.
    if (isHere && selectablePropertiesOf(device).some((value, i) => value !== selectableBefore[i]))
      this.tellSelectableChange(device.name);
  }

  remember(device: DeviceRecord): void {
    const known = this.byName.get(device.name);
    const slot = known ?? this.free.pop() ?? this.slots.length;
    const before = this.slots[slot];
    if (before !== device) {
      if (before) this.forgetBoard(before);
      if (before) this.countTags(before, -1);
      this.share(device);
      this.slots[slot] = device;
      this.sorted = undefined;
      if (known === undefined) this.added.push(slot);
      this.byName.set(device.name, slot);
      this.rememberBoard(device);
      this.countTags(device, 1);
      this.columns.changed(slot);
      this.tell(device.name, before?.reported ?? null, device.reported);
      this.tellSelectableChange(device.name);
    }
    for (const fingerprint of [device.fingerprint, device.nextFingerprint])
      if (fingerprint !== null) this.byFingerprint.set(fingerprint, device);
  }

  forget(device: DeviceRecord): void {
    this.forgetCertificates(device);
    const slot = this.byName.get(device.name);
    const known = slot === undefined ? undefined : this.slots[slot];
    if (slot !== undefined && known) {
      this.forgetBoard(known);
      this.countTags(known, -1);
      this.slots[slot] = undefined;
      this.sorted = undefined;
      this.freed.push(slot);
      this.byName.delete(device.name);
    }
    this.tell(device.name, device.reported, null);
    this.tellSelectableChange(device.name);
  }

  forgetCertificates({
    fingerprint,
    nextFingerprint,
  }: Pick<DeviceRecord, 'fingerprint' | 'nextFingerprint'>) {
    for (const old of [fingerprint, nextFingerprint]) if (old !== null) this.byFingerprint.delete(old);
  }

  /** @throws AIOT_ALREADY_EXISTS */
  requireFree({ name, ...board }: Pick<NewDevice, 'name' | 'mac' | 'chipId'>): void {
    const before = this.find(name);
    if (before && before.state !== 'revoked') throw nameTaken(before);
    this.requireFreeBoard(board, name);
  }

  /**
   * Requires that no other device has this board. Call only from a task passed to `Devices.inTurn`.
   * @param name name of the device that may already have the board
   * @param mayName whether the error may name this other device
   * @throws AIOT_ALREADY_EXISTS
   */
  requireFreeBoard(
    { mac, chipId }: Pick<DeviceRecord, 'mac' | 'chipId'>,
    name: string,
    mayName: (other: string) => boolean = () => true,
  ): void {
    const isOther = (device: DeviceRecord) => device.state !== 'revoked' && device.name !== name;
    const same = this.withBoard({ mac }).find(isOther);
    const alike = same ?? this.withBoard({ chipId }).find(isOther);
    if (!alike) return;
    if (!mayName(alike.name)) throw boardOfOther(same ? `the board ${mac}` : `the chip id ${chipId}`);
    if (same) throw boardTaken(`the board ${mac} is already registered as ${same.name}`, same.name);
    throw boardTaken(`the chip id ${chipId} already belongs to ${alike.name}`, alike.name);
  }

  /**
   * Applies the database's state of the named devices. Returns the names whose open connections are no longer valid:
   * devices that may no longer connect, or only with another certificate, and replaced boards.
   */
  follow(names: readonly string[], records: readonly DeviceRecord[]): string[] {
    const found = new Map(records.map((record) => [record.name, record]));
    const ended: string[] = [];
    for (const name of new Set(names)) {
      const before = this.find(name);
      const now = found.get(name);
      if (before && (!now || endsConnections(before, now))) ended.push(name);
      if (before && !now) this.forget(before);
      if (!now) continue;
      const same = before?.id === now.id;
      // Ignores a record that was read before this process's last change became visible.
      if (same && now.revision < before.revision) continue;
      if (before) this.forgetCertificates(before);
      if (same) this.assign(before, now);
      this.remember(same ? before : now);
    }
    return ended;
  }

  /** The slots in order of their devices' names. */
  private inOrder(): Int32Array {
    if (this.added.length === 0 && this.freed.length === 0) return this.order;
    const isUsed = (slot: number) => this.slots[slot] !== undefined;
    const old = this.freed.length === 0 ? this.order : this.order.filter(isUsed);
    const added = this.added.filter(isUsed).sort((a, b) => (this.nameAt(a) < this.nameAt(b) ? -1 : 1));
    const order = new Int32Array(old.length + added.length);
    let from = 0;
    added.forEach((slot, i) => {
      const to = this.firstBehind(this.nameAt(slot), old, from);
      order.set(old.subarray(from, to), from + i);
      order[to + i] = slot;
      from = to;
    });
    order.set(old.subarray(from), from + added.length);
    // A freed slot is used again only now, because the old order still contained it.
    for (const slot of this.freed) this.free.push(slot);
    [this.order, this.added, this.freed] = [order, [], []];
    return order;
  }

  private nameAt(slot: number): string {
    return this.slots[slot]!.name;
  }

  /** Index of the first device whose name comes after `name`. */
  private firstBehind(name: string, order: Int32Array = this.inOrder(), from = 0): number {
    let low = from;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.nameAt(order[middle]!) > name) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Replaces the parts of a device that other devices have too. @param changed only these fields */
  private share(device: DeviceRecord, changed: Partial<DeviceRecord> = device): void {
    const { sharing } = this;
    if (changed.type !== undefined) device.type = sharing.value(device.type);
    if (changed.tags !== undefined) device.tags = sharing.value(device.tags);
    if (changed.groups !== undefined) device.groups = sharing.value(device.groups);
    if (changed.reported !== undefined) device.reported = sharing.report(device.reported);
  }

  private countTags({ tags }: DeviceRecord, change: 1 | -1): void {
    for (const tag of Object.keys(tags ?? {})) {
      const count = (this.tagged.get(tag) ?? 0) + change;
      if (count > 0) this.tagged.set(tag, count);
      else this.tagged.delete(tag);
    }
  }

  private rememberBoard(device: DeviceRecord): void {
    for (const [index, board] of this.boardsOf(device)) {
      const found = index.get(board);
      if (found === undefined) index.set(board, device);
      else if (found instanceof Set) found.add(device);
      else index.set(board, new Set([found, device]));
    }
  }

  private forgetBoard(device: DeviceRecord): void {
    for (const [index, board] of this.boardsOf(device)) {
      const found = index.get(board);
      if (found === device) index.delete(board);
      else if (found instanceof Set && found.delete(device) && found.size === 0) index.delete(board);
    }
  }

  private boardsOf({ mac, chipId }: Pick<DeviceRecord, 'mac' | 'chipId'>): [Boards, string][] {
    const boards: [Boards, string][] = [];
    if (mac) boards.push([this.byMac, mac]);
    if (chipId) boards.push([this.byChipId, chipId]);
    return boards;
  }

  private tell(name: string, before: Reported | null, after: Reported | null): void {
    if (before === after) return;
    for (const listener of this.listeners) listener(name, before, after);
  }

  private tellSelectableChange(name: string): void {
    for (const listener of this.selectableListeners) listener(name);
  }
}

/** The properties that rights can depend on. */
function selectablePropertiesOf({ id, type, mac, tags, groups }: DeviceRecord): readonly unknown[] {
  return [id, type, mac, tags, groups];
}

/** Fields that columns hold. */
const inColumns = ['type', 'state', 'groups', 'tags', 'reported'] satisfies (keyof DeviceRecord)[];

function hasBoard(change: Partial<DeviceRecord>): boolean {
  return change.mac !== undefined || change.chipId !== undefined;
}

function endsConnections(before: DeviceRecord, now: DeviceRecord): boolean {
  if (before.id !== now.id || (mayConnect(before.state) && !mayConnect(now.state))) return true;
  return (
    now.revision >= before.revision &&
    before.fingerprint !== null &&
    before.fingerprint !== now.fingerprint &&
    mayConnect(now.state)
  );
}

/**
 * Suggests `rotate` for a computer, which can get a new key. A chip's key is in its image or on its board, so `replace` is suggested
 * instead.
 */
function nameTaken({ name, type }: DeviceRecord): AiotError {
  const renew = chipOfType(type) === null ? 'rotate' : 'replace';
  return new AiotError('AIOT_ALREADY_EXISTS', `the device ${name} is already registered`, {
    subject: 'device',
    next: `Use the identity that was made for it. If that is lost, run \`aiot device ${renew} ${name} --out DIR\`. To start over, run \`aiot device revoke ${name}\`, then repeat the command. For another device, choose another name.`,
  });
}

function boardTaken(message: string, name: string): AiotError {
  return new AiotError('AIOT_ALREADY_EXISTS', message, {
    subject: 'device',
    next: `To renew its certificate, run \`aiot device rotate ${name} --port PORT\`. To rename it, run \`aiot device revoke ${name}\`, then repeat the command.`,
  });
}

/** As `boardTaken`, for users who must not learn the other device's name. */
function boardOfOther(what: string): AiotError {
  return new AiotError('AIOT_ALREADY_EXISTS', `${what} already belongs to another device`, {
    subject: 'device',
    next: 'Use another board, or ask an operator without a device limit to revoke the device that uses this one.',
  });
}

/** Error message for an unknown name, with the closest match among `names` as a suggestion. */
export function unknownDevice(name: string, names: readonly string[]): string {
  return `no device is named ${name}${didYouMean(name, names)}`;
}
