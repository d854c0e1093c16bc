import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DeviceInfo } from '../../api/fields.js';
import { AiotError } from '../../core/errors.js';
import type { Reported } from '../../device/protocol/messages.js';
import { type DeviceEvent, deviceStep, mayConnect } from '../../fleet/device.js';
import {
  keysOf,
  parseExpression,
  requireKnownTags,
  requireListedNames,
  type Selectable,
  testOf,
} from '../../fleet/selector.js';
import { type SettingsDrift, settingsDrift } from '../../fleet/settings.js';
import type { Reach } from '../access/reach.js';
import { type Events, type NewEvent, settle } from '../events/events.js';
import { inBatches } from '../store/batches.js';
import type { Store } from '../store/database.js';
import {
  type Changes,
  type FollowDevices,
  localTurns,
  noChanges,
  type PartTurn,
  serially,
  type Turn,
  type Turns,
} from '../store/engine.js';
import { DeviceMemory, type OnReported, type OnSelectableChange, unknownDevice } from './memory.js';
import {
  type Board,
  compact,
  type DeviceRecord,
  type DeviceUpdate,
  insertDevices,
  type NewDevice,
  raised,
  readAllDevices,
  readDevices,
  unseen,
  writeDevices,
} from './records.js';

export type { DeviceRecord, DeviceUpdate, NewDevice } from './records.js';

/**
 * The registered devices. Every connection and message looks them up, so reads come from memory; writes are on disk before the call
 * resolves.
 */
export class Devices {
  private readonly memory = new DeviceMemory();
  /** Open connections per device. */
  private readonly connections = new Map<string, number>();
  /** Whether this process records connections. */
  private isRecording = true;
  /** Raised each time this replica starts or stops recording connections. */
  private recordingTurn = 0;
  /** Devices that were connected according to the last records, and whose presence is not known yet. */
  private recorded = new Set<string>();
  /** When each device's first open connection began, ms since 1970. */
  private readonly connectedAt = new Map<string, number>();
  /** Time until which a polling device counts as online, ms since 1970. */
  private readonly expected = new Map<string, number>();
  /** Devices that are connected to other replicas. */
  private elsewhere: ReadonlySet<string> = new Set();
  /** When devices were last connected to another replica, ms since 1970. */
  private readonly seenElsewhere = new Map<string, number>();
  /** Serializes code that reads and then changes any devices, so that the code sees all earlier changes by others. */
  readonly inTurn: Turn;
  private readonly inPartTurn: PartTurn;
  /** Runs one read of the database at a time, so that reads are applied in order. */
  private readonly following = serially();
  private nextRead: Promise<void> | undefined;
  private readonly changed: FollowDevices;
  private readonly endings = new Set<(name: string) => void>();
  private readonly reports = inBatches<Report>(200, (all) =>
    this.write(ofReports(all, this.memory, this.now())),
  );
  private readonly sightings = inBatches<Sighting>(200, (all) => this.see(all));

  private constructor(
    private readonly store: Store,
    private readonly now: () => number,
    private readonly events: Events,
    turns: Turns,
    private readonly changes: Changes,
  ) {
    this.changed = changes.followDevices();
    const [turn, partTurn] = [turns.of('devices'), turns.parts('devices')];
    this.inTurn = changes.shared ? (task) => turn(() => this.follow().then(task)) : turn;
    this.inPartTurn = changes.shared
      ? (keys, task) => partTurn(keys, () => this.follow().then(task))
      : partTurn;
  }

  /**
   * As `inTurn`, but only for code that changes the named devices, so that it does not wait for changes of others.
   * @param board the board that the code assigns to a device, if any
   */
  inTurnOf<T>(names: readonly string[], task: () => Promise<T>, board: Partial<Board> = {}): Promise<T> {
    if (names.length > fewNames) return this.inTurn(task);
    const boards = [board.mac && `mac ${board.mac}`, board.chipId && `chip ${board.chipId}`];
    const keys = [
      ...names.map((name) => `device ${name}`),
      ...boards.filter((key) => typeof key === 'string'),
    ];
    return this.inPartTurn(keys, task);
  }

  static async open(
    store: Store,
    now: () => number,
    events: Events,
    turns: Turns = localTurns(),
    changes: Changes = noChanges,
  ): Promise<Devices> {
    const devices = new Devices(store, now, events, turns, changes);
    // Subscribed before the read, so that changes in between are reread.
    await devices.changed(async () => {});
    for await (const page of readAllDevices(store))
      for (const device of page) devices.memory.remember(device);
    return devices;
  }

  /**
   * Follows changes by other processes until the returned function is called. `ended`: the device's open connections are no longer valid.
   * A failed read is repeated with the next change.
   */
  watch(ended: (name: string) => void): () => void {
    this.endings.add(ended);
    const stop = this.changes.on('devices', () => {
      this.follow().catch(() => {});
    });
    return () => {
      stop();
      this.endings.delete(ended);
    };
  }

  /** Applies all changes that were committed before the call. Calls share a read that has not begun yet. */
  private follow(): Promise<void> {
    this.nextRead ??= this.following(() => {
      this.nextRead = undefined;
      return this.changed(async (names) => {
        const ended = this.memory.follow(names, await readDevices(this.store, names));
        for (const name of ended) for (const tell of this.endings) tell(name);
      });
    });
    return this.nextRead;
  }

  /**
   * Registers a device. Call only in a turn of its name and board. Returns whether the name belonged to a revoked
   * device; such a name may be reused.
   * @param along additional writes in the same transaction
   * @throws AIOT_ALREADY_EXISTS (the name, or the board)
   */
  async insert(
    { tags = {}, groups = [], ...device }: NewDevice & Partial<Pick<DeviceRecord, 'tags' | 'groups'>>,
    along?: (store: Store) => Promise<unknown>,
  ): Promise<{ replaced: boolean }> {
    this.memory.requireFree(device);
    const before = this.memory.find(device.name);
    const row = { ...device, ...unseen };
    const json = { tags: JSON.stringify(tags), groups: JSON.stringify(groups) };
    await this.store.transaction().execute(async (store) => {
      await store
        .deleteFrom('devices')
        .where('name', '=', device.name)
        .where('state', '=', 'revoked')
        .execute();
      await store
        .insertInto('devices')
        .values({ ...row, ...json, reported: null, desired: null, secret: null })
        .execute();
      await along?.(store);
    });
    if (before) this.memory.forgetCertificates(before);
    this.memory.remember(compact({ ...row, reported: null, tags, groups, revision: 1 }));
    return { replaced: before !== undefined };
  }

  /** Inserts devices that have no board. Their names must be free. Call only from a task passed to `inTurn`. @param along as in `insert` */
  async insertAll(
    devices: readonly (NewDevice & Pick<DeviceRecord, 'tags'>)[],
    along?: (store: Store) => Promise<unknown>,
  ): Promise<void> {
    await this.store.transaction().execute(async (store) => {
      await insertDevices(store, devices);
      await along?.(store);
    });
    for (const device of devices)
      this.memory.remember(compact({ ...device, ...unseen, reported: null, groups: [], revision: 1 }));
  }

  find(name: string): DeviceRecord | null {
    return this.memory.find(name) ?? null;
  }

  /** @throws AIOT_ALREADY_EXISTS */
  requireFree(device: Pick<NewDevice, 'name' | 'mac' | 'chipId'>): void {
    this.memory.requireFree(device);
  }

  /**
   * Requires that no other device has this board. Call only in a turn of the board.
   * @param name name of the device that may already have the board
   * @param reach devices that the error may name
   * @throws AIOT_ALREADY_EXISTS
   */
  requireFreeBoard(
    board: Pick<DeviceRecord, 'mac' | 'chipId'>,
    name: string,
    reach: Reach | null = null,
  ): void {
    this.memory.requireFreeBoard(board, name, (other) => reach?.has(other) !== false);
  }

  /** Whether this chip id, sent by a board with the guide's firmware, belongs to a device that is registered or may connect. */
  knows(chipId: string): boolean {
    return this.memory.withBoard({ chipId }).some(({ state }) => state === 'registered' || mayConnect(state));
  }

  count(): number {
    return this.memory.count();
  }

  /** Devices sorted by name, in code unit order. */
  records(): readonly DeviceRecord[] {
    return this.memory.records();
  }

  /** Devices that have or had this board, by MAC address or the guide's chip id. */
  withBoard(board: Partial<Pick<DeviceRecord, 'mac' | 'chipId'>>): DeviceRecord[] {
    return this.memory.withBoard(board);
  }

  async withId(id: string): Promise<DeviceRecord | null> {
    const row = await this.store.selectFrom('devices').select('name').where('id', '=', id).executeTakeFirst();
    const device = row ? this.find(row.name) : null;
    return device?.id === id ? device : null;
  }

  /** Devices that a selector chooses, sorted by name. @throws AIOT_SELECTOR_INVALID */
  select(selector: string): DeviceRecord[] {
    const { devices, rest } = this.memory.choose(parseExpression(selector));
    if (rest === null) return devices;
    const matches = testOf(rest, this.now());
    return devices.filter((device) => matches(this.selectable(device)));
  }

  /**
   * Calls a function for each device that a selector chooses, sorted by name, and gives other requests a turn in between. Devices that are
   * removed meanwhile may be included.
   * @param selector absent = all devices
   * @throws AIOT_SELECTOR_INVALID
   */
  async visit(look: (device: DeviceRecord) => void, selector?: string): Promise<void> {
    const { devices, rest } =
      selector === undefined
        ? { devices: this.records(), rest: null }
        : this.memory.choose(parseExpression(selector));
    const matches = rest && testOf(rest, this.now());
    for (let i = 0; i < devices.length; i++) {
      if (i % glance === glance - 1) await nextTurn();
      const device = devices[i]!;
      if (!matches || matches(this.selectable(device))) look(device);
    }
  }

  /**
   * A page of the devices that a selector chooses, sorted by name, and whether there are more.
   * @throws AIOT_SELECTOR_INVALID
   */
  async page(selector: string, limit: number, after?: string) {
    const { devices, rest } = this.memory.choose(parseExpression(selector), after, limit + 1);
    const found: DeviceRecord[] = [];
    const matches = rest && testOf(rest, this.now());
    for (let i = 0; i < devices.length && found.length <= limit; i++) {
      const device = devices[i]!;
      // A selector with few matches tests many devices, so other requests are given a turn.
      if (i % glance === glance - 1) await nextTurn();
      if (!matches || matches(this.selectable(device))) found.push(device);
    }
    return { found: found.slice(0, limit), more: found.length > limit };
  }

  /**
   * Requires the names of a selector that is only a list of names. With a `reach`, other devices count as unknown, and are not suggested.
   * @throws AIOT_NOT_FOUND, AIOT_SELECTOR_INVALID
   */
  requireListed(selector: string, reach: Reach | null = null): void {
    const known = { has: (name: string) => this.find(name) !== null && reach?.has(name) !== false };
    requireListedNames(selector, known, (name) => this.namesNear(name, reach));
  }

  /**
   * Rejects a mistyped tag; for selectors that match nothing. With a `reach`, only tags of its devices and of the limit itself are known.
   * @throws AIOT_SELECTOR_INVALID
   */
  requireTags(selector: string, reach: Reach | null = null): void {
    const ofLimit = (reach?.selectors ?? []).flatMap((text) => [...keysOf(text)]);
    const tags = ofLimit.flatMap((key) => (key.startsWith('tag.') ? key.slice('tag.'.length) : []));
    const ofDevices = () => this.memory.tagNames(reach ? ({ name }) => reach.has(name) : undefined);
    requireKnownTags(selector, () => new Set([...tags, ...ofDevices()]));
  }

  /** Error message for an unknown name. */
  unknown(name: string, reach: Reach | null = null): string {
    return unknownDevice(name, this.namesNear(name, reach));
  }

  private namesNear(name: string, reach: Reach | null): string[] {
    return this.memory.namesNear(name).filter((each) => reach?.has(each) !== false);
  }

  /** Registers a listener for changes to devices' reports; the listener is called once the report is on disk. */
  onReported(listener: OnReported): void {
    this.memory.onReported(listener);
  }

  /** Calls the listener for each device that may match other rights now, until the returned function is called. */
  onSelectableChange(listener: OnSelectableChange): () => void {
    return this.memory.onSelectableChange(listener);
  }

  selectable(device: DeviceRecord): Selectable {
    return new DeviceView(device, this, this.now);
  }

  /** @throws AIOT_NOT_FOUND */
  info(name: string): DeviceInfo {
    const device = this.record(name);
    const { id, type, state, fingerprint, expires, nextFingerprint, nextExpires, reported } = device;
    const { mac, chipId, created, lastSeen, tags, groups, revision } = device;
    const drift = this.settingsDrift(name);
    const next =
      nextFingerprint === null || nextExpires === null
        ? null
        : { fingerprint: nextFingerprint, expires: nextExpires };
    // Each field is named, because copying the others takes five times as long, and lists contain 100 devices.
    return {
      ...{ name: device.name, id, type, state, fingerprint, expires, mac, chipId },
      ...{ created, lastSeen, tags, groups, revision, next },
      online: this.online(name),
      model: reported?.model ?? null,
      firmware: reported?.firmware?.version ?? null,
      updateState: reported?.state ?? null,
      sensor: reported?.sensor ?? null,
      config: reported?.config ?? null,
      settings: drift && { state: drift.state, differing: drift.differences.map(({ path }) => path) },
      vitals: reported?.vitals ?? null,
      log: reported?.log ?? null,
      heap: reported?.heap ?? null,
    };
  }

  /** Whether the device is connected to this replica or another one. */
  online(name: string): boolean {
    return this.isHere(name) || this.elsewhere.has(name);
  }

  /** Whether the device is connected to this replica, or polls it. */
  isHere(name: string): boolean {
    return (this.connections.get(name) ?? 0) > 0 || (this.expected.get(name) ?? 0) > this.now();
  }

  /** Compares a device's reported settings with those that it should use; null = it should use none. @throws AIOT_NOT_FOUND */
  settingsDrift(name: string): SettingsDrift | null {
    const { settings, reported } = this.record(name);
    if (!settings?.wanted) return null;
    const since = Math.max(settings.wanted.at, this.connectedAt.get(name) ?? 0);
    return settingsDrift(
      settings.wanted,
      reported?.settings ?? null,
      this.online(name) ? this.now() - since : null,
    );
  }

  /** Names of the devices that are connected to this replica, or poll it. */
  connectedHere(): string[] {
    const names = new Set([...this.connections.keys(), ...this.expected.keys()]);
    return [...names].filter((name) => this.isHere(name));
  }

  /** Names of the devices that are connected to any replica. */
  onlineNames(): string[] {
    const names = new Set([...this.connectedHere(), ...this.elsewhere]);
    return [...names].filter((name) => this.find(name) !== null);
  }

  /** Replaces the names of the devices that are connected to other replicas. */
  connectedElsewhere(names: ReadonlySet<string>): void {
    const before = this.elsewhere;
    this.elsewhere = names;
    for (const name of before) if (!this.elsewhere.has(name)) this.seenElsewhere.set(name, this.now());
  }

  /** When the device was last seen by any replica. The stored time is reread only with other changes of the device. */
  lastSeenOf({ name, lastSeen }: DeviceRecord): number | null {
    const elsewhere = this.seenElsewhere.get(name);
    return elsewhere === undefined ? lastSeen : Math.max(lastSeen ?? 0, elsewhere);
  }

  /** Records that the device has polled. @param until time until which the device counts as online, ms since 1970 */
  async polled(name: string, until: number): Promise<void> {
    const before = this.isHere(name);
    this.expected.set(name, until);
    await this.seen(name, before ? undefined : 'device.connect');
  }

  /** The device with this certificate, if it may connect now. The first use of a new certificate ends the previous one. */
  authenticated(fingerprint: string): DeviceRecord | null {
    const device = this.memory.withCertificate(fingerprint);
    if (!device || !mayConnect(device.state)) return null;
    const isNext = fingerprint === device.nextFingerprint;
    const expires = isNext ? device.nextExpires : device.expires;
    if (expires === null || expires <= this.now()) return null;
    // If the write fails, it is repeated when the certificate is next used.
    if (isNext) this.inTurnOf([device.name], () => this.promote(device, fingerprint)).catch(() => {});
    return device;
  }

  private async promote(device: DeviceRecord, fingerprint: string): Promise<void> {
    if (device.nextFingerprint !== fingerprint) return;
    const { name, fingerprint: before } = device;
    const used = {
      who: `device ${name}`,
      type: 'device.settle' as const,
      subject: name,
      data: { fingerprint, before },
    };
    await this.certify(device, { fingerprint, expires: device.nextExpires ?? 0 }, {}, (store) =>
      this.events.record(used, store),
    );
  }

  /**
   * Makes this the only valid certificate of the device. Call only in a turn of the device.
   * @param along additional writes in the same transaction
   */
  async certify(
    device: DeviceRecord,
    { fingerprint, expires }: { fingerprint: string; expires: number },
    more: Partial<DeviceRecord> = {},
    along?: (store: Store) => Promise<unknown>,
  ): Promise<void> {
    const state = deviceStep(device.state, 'certified');
    const certificate = { fingerprint, expires, nextFingerprint: null, nextExpires: null };
    const old = { ...device };
    await this.update(device, { ...certificate, ...more, state }, along);
    this.memory.forgetCertificates(old);
    this.memory.remember(device);
  }

  /**
   * Adds a certificate alongside the current one, which becomes invalid when the new one is first used. Call only in a turn of
   * the device.
   */
  async offer(
    device: DeviceRecord,
    next: { fingerprint: string; expires: number },
    along?: (store: Store) => Promise<unknown>,
  ): Promise<void> {
    const old = { ...device };
    const change = { nextFingerprint: next.fingerprint, nextExpires: next.expires };
    await this.update(device, change, along);
    this.memory.forgetCertificates(old);
    this.memory.remember(device);
  }

  /** Whether this is the current or next certificate of a device that may connect. */
  holds(fingerprint: string): boolean {
    const device = this.memory.withCertificate(fingerprint);
    return device !== undefined && mayConnect(device.state);
  }

  /** Whether a device that may connect has a certificate, current or next, that has not expired. */
  hasCertificate(name: string): boolean {
    const device = this.memory.find(name);
    if (!device || !mayConnect(device.state)) return false;
    return [device.expires, device.nextExpires].some((at) => at !== null && at > this.now());
  }

  mayConnect(name: string): boolean {
    const device = this.memory.find(name);
    return device !== undefined && mayConnect(device.state);
  }

  /** @throws AIOT_NOT_FOUND, AIOT_DEVICE_STATE (the event is not possible in the device's state) */
  async act(name: string, event: Exclude<DeviceEvent, 'certified'>, who: string): Promise<DeviceInfo> {
    await this.inTurnOf([name], async () => {
      const device = this.record(name);
      const before = device.state;
      const state = deviceStep(before, event);
      const type = event === 'seen' ? 'device.activate' : (`device.${event}` as const);
      await this.update(device, { state }, async (store) => {
        if (state !== before) await this.events.record({ who, type, subject: name }, store);
      });
    });
    return this.info(name);
  }

  async connected(name: string): Promise<void> {
    const before = this.connections.get(name) ?? 0;
    this.connections.set(name, before + 1);
    if (before === 0) this.connectedAt.set(name, this.now());
    if (!this.isRecording) return;
    const isNew = before === 0 && !this.recorded.delete(name);
    await this.seen(name, isNew ? 'device.connect' : undefined);
  }

  async disconnected(name: string): Promise<void> {
    const left = Math.max(0, (this.connections.get(name) ?? 0) - 1);
    this.connections.set(name, left);
    if (!this.isRecording || !this.memory.find(name)) return;
    await this.seen(name, left === 0 ? 'device.disconnect' : undefined);
  }

  /** From now on, connections are counted but not recorded, because another replica sees and records them too. */
  leaveRecording(): void {
    this.recordingTurn++;
    this.isRecording = false;
    this.recorded.clear();
  }

  /**
   * From now on, this replica records connections. It also records those that began or ended while no replica did.
   * @param settled resolves when the broker has reported the devices that are connected
   */
  async takeRecording(settled: Promise<unknown>): Promise<void> {
    const turn = ++this.recordingTurn;
    const recorded = await connectedIn(this.store);
    // Connections that began or ended during the query are recorded below, because nothing else has recorded them.
    if (turn !== this.recordingTurn) return;
    this.isRecording = true;
    this.recorded = recorded;
    const begun = this.connectedHere().filter((name) => !recorded.delete(name) && this.find(name));
    await Promise.all(begun.map((name) => this.seen(name, 'device.connect')));
    await settled;
    if (turn !== this.recordingTurn) return;
    const ended = [...recorded].filter((name) => !this.isHere(name) && this.find(name));
    recorded.clear();
    await Promise.all(ended.map((name) => this.seen(name, 'device.disconnect')));
  }

  /** Stores a report; resolves once it is on disk. */
  async report(name: string, reported: Reported): Promise<void> {
    this.record(name);
    await this.reports({ name, reported });
  }

  /** Clears the report, because another board now has the name. */
  async unreport(name: string): Promise<void> {
    await this.inTurnOf([name], () => this.update(this.record(name), { reported: null, lastSeen: null }));
  }

  /**
   * Records that a device has connected or disconnected.
   * @param presence the event to record, if any
   */
  private async seen(name: string, presence: NewEvent['type'] | undefined): Promise<void> {
    this.record(name);
    await this.sightings({ name, presence });
  }

  /**
   * Only a change of state is serialized with `act`, so that a device that is being revoked stays revoked. Devices that reconnect only change
   * the time when they were last seen, and must not wait for changes by other replicas.
   */
  private see(all: readonly Sighting[]): Promise<void> {
    const seen = ofSightings(all, this.memory, this.now());
    if (seen.changes.every(({ change }) => change?.state === undefined)) return this.write(seen);
    const names = all.map(({ name }) => name);
    return this.inTurnOf(names, () => this.write(ofSightings(all, this.memory, this.now())));
  }

  private write({ changes, told }: Told): Promise<void> {
    return this.updateAll(changes, (store) => this.events.recordAll(told, store));
  }

  /** Changes one device. Call only in a turn of the device. */
  update(
    device: DeviceRecord,
    change: Partial<DeviceRecord>,
    along?: (store: Store) => Promise<unknown>,
  ): Promise<void> {
    return this.updateAll([{ device, change }], along);
  }

  /** Writes all changes or none; a change of null removes the device. Call only in a turn of these devices. */
  async updateAll(changes: DeviceUpdate[], along?: (store: Store) => Promise<unknown>): Promise<void> {
    const whole = await this.store.transaction().execute(async (transaction) => {
      const written = await this.writeIn(transaction, changes);
      await along?.(transaction);
      return written;
    });
    this.keep(whole);
  }

  /** Writes changes within a transaction. Call only in a turn of these devices. @returns pass them to `keep` once it is committed */
  async writeIn(transaction: Store, changes: readonly DeviceUpdate[]): Promise<DeviceUpdate[]> {
    const whole = changes.map(raised);
    await writeDevices(transaction, whole);
    return whole;
  }

  /** Remembers changes that `writeIn` has written. */
  keep(written: readonly DeviceUpdate[]): void {
    for (const { device, change } of written) {
      if (change) this.memory.assign(device, change);
      else this.memory.forget(device);
    }
  }

  /** @throws AIOT_NOT_FOUND */
  record(name: string): DeviceRecord {
    const device = this.memory.find(name);
    if (device) return device;
    throw new AiotError('AIOT_NOT_FOUND', this.unknown(name), {
      next: 'To see the devices, run `aiot device list`.',
    });
  }
}

/** Maximum number of devices whose changes do not exclude those of all others. */
const fewNames = 64;

/** Number of devices tested before yielding to other work. */
const glance = 2000;

/** Names of the devices whose last recorded presence is a connection. */
async function connectedIn(store: Store): Promise<Set<string>> {
  await settle(store);
  const lastOf = async (type: 'device.connect' | 'device.disconnect') => {
    const rows = await store
      .selectFrom('events')
      .select(['subject', (is) => is.fn.max('id').as('last')])
      .where('type', '=', type)
      .groupBy('subject')
      .execute();
    return new Map(rows.map(({ subject, last }) => [subject, Number(last)]));
  };
  const [begun, ended] = [await lastOf('device.connect'), await lastOf('device.disconnect')];
  return new Set([...begun].filter(([name, id]) => id > (ended.get(name) ?? 0)).map(([name]) => name));
}

interface Report {
  name: string;
  reported: Reported;
}

/** A device that connected or disconnected; `presence`: the event to record, if any. */
interface Sighting {
  name: string;
  presence: NewEvent['type'] | undefined;
}

/** Changes to write for many devices at once, and their events. */
interface Told {
  changes: DeviceUpdate[];
  told: NewEvent[];
}

interface Known {
  find(name: string): DeviceRecord | undefined;
}

/**
 * Changes for each device's latest report. A report that differs from the previous one is recorded as an event. Devices removed meanwhile are
 * left out.
 */
export function ofReports(all: readonly Report[], known: Known, lastSeen: number): Told {
  const told: NewEvent[] = [];
  const last = new Map<DeviceRecord, Reported>();
  for (const { name, reported } of all) {
    const device = known.find(name);
    if (!device) continue;
    const before = last.get(device) ?? device.reported;
    // A broker delivers its retained reports again to each new session. They do not show that the device was there.
    if (JSON.stringify(before) === JSON.stringify(reported)) continue;
    const data = reportChange(before, reported);
    last.set(device, reported);
    if (data) told.push({ who: `device ${name}`, type: 'device.report', subject: name, data });
  }
  return {
    told,
    changes: [...last].map(([device, reported]) => ({ device, change: { reported, lastSeen } })),
  };
}

/** Changes for devices that were seen. Changes of state must be serialized with others, so that a device that is being revoked stays revoked. */
export function ofSightings(all: readonly Sighting[], known: Known, lastSeen: number): Told {
  const told: NewEvent[] = [];
  const changes = new Map<DeviceRecord, Partial<DeviceRecord>>();
  for (const { name, presence } of all) {
    const device = known.find(name);
    if (!device) continue;
    const before = changes.get(device)?.state ?? device.state;
    const state = mayConnect(before) ? deviceStep(before, 'seen') : before;
    const moved = state === device.state ? {} : { state };
    changes.set(device, { ...moved, lastSeen });
    const activated = state === before ? [] : ['device.activate' as const];
    for (const type of [...activated, ...(presence ? [presence] : [])])
      told.push({ who: `device ${name}`, type, subject: name });
  }
  return { told, changes: [...changes].map(([device, change]) => ({ device, change })) };
}

/**
 * News in a report: the running model, the firmware, the update's step or error, a changed reason for the last restart, or a further
 * restart caused by a fault. Null if none of these has changed, because progress within a step and repeated reports are not events.
 */
function reportChange(before: Reported | null, now: Reported): Record<string, unknown> | null {
  const [old, told] = [before && newsOf(before), newsOf(now)];
  const boot = now.vitals?.boot?.reason;
  if (boot !== undefined && (boot !== before?.vitals?.boot?.reason || hasFallen(before, now)))
    return { ...told, boot };
  return JSON.stringify(old) === JSON.stringify(told) ? null : told;
}

/** Whether a fault has restarted the device again. Ordinary restarts are not news, because devices that sleep restart all day. */
function hasFallen(before: Reported, { vitals }: Reported): boolean {
  const [old, uptime] = [before.vitals?.uptimeMs, vitals?.uptimeMs];
  const isFault = !['power-on', 'software'].includes(vitals?.boot?.reason ?? 'software');
  return isFault && old !== undefined && uptime !== undefined && uptime < old;
}

function newsOf({ state, rollout, model, firmware, config, error }: Reported): Record<string, unknown> {
  const told = { state, rollout, model: named(model), error, firmware: firmware?.version ?? null };
  return config === undefined ? told : { ...told, config: named(config) };
}

function named(running: Reported['model']): { name: string; version: number; sequence: number } | null {
  return running && { name: running.name, version: running.version, sequence: running.sequence };
}

/**
 * A device as seen by selectors. Values are looked up on demand, because views are created for many devices, and few of their values are
 * used.
 */
class DeviceView implements Selectable {
  constructor(
    private readonly device: DeviceRecord,
    private readonly devices: { online(name: string): boolean },
    private readonly now: () => number,
  ) {}

  get name() {
    return this.device.name;
  }

  get id() {
    return this.device.id;
  }

  get type() {
    return this.device.type;
  }

  get state() {
    return this.device.state;
  }

  get groups() {
    return this.device.groups;
  }

  get tags() {
    return this.device.tags;
  }

  get online() {
    return this.devices.online(this.device.name);
  }

  get model() {
    return this.device.reported?.model ?? null;
  }

  get firmware() {
    return this.device.reported?.firmware?.version ?? null;
  }

  /** The stored time of an online device is that of its last connection or report, which may be days ago. */
  get lastSeen() {
    return this.online ? this.now() : this.device.lastSeen;
  }

  get created() {
    return this.device.created;
  }

  get mac() {
    return this.device.mac;
  }
}
