import { type PageQuery, pageOfRows } from '../../api/page.js';
import {
  type CrashFree,
  type Rollout,
  type RolloutCommand,
  type RolloutDeviceInfo,
  type RolloutDevicesQuery,
  type RolloutNews,
  type RolloutPlan,
  type RolloutStatus,
  rolloutHasEnded,
  type Saved,
  savedBy,
} from '../../api/rollouts/schema.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { newId } from '../../core/names.js';
import type { Reported } from '../../device/protocol/messages.js';
import { isOfSettings, parseWish } from '../../fleet/rollout/draft.js';
import { runningOf } from '../../fleet/rollout/report.js';
import { afterStep, rolloutStep } from '../../fleet/rollout/step.js';
import type {
  RolloutDevice,
  RolloutEvent,
  RolloutHead,
  RolloutState,
  RolloutStep,
  RolloutStore,
  World,
} from '../../fleet/rollout/types.js';
import { startRollout, waveOutcome } from '../../fleet/rollout/waves.js';
import type { CrashReport } from '../../formats/crash.js';
import { outOfReach, type Reach, reachOf } from '../access/reach.js';
import type { BlobStore } from '../blobs/store.js';
import { type Deltas, type DesiredStates, patienceMs } from '../devices/desired.js';
import type { Devices } from '../devices/devices.js';
import type { SettingsRollouts } from '../devices/settings-rollouts.js';
import { gather } from '../store/batches.js';
import { atMost, type Changes, serially, type Turn } from '../store/engine.js';
import { every, type Worker } from '../workers.js';
import type { Models } from './models.js';
import type { Configs, Firmware } from './releases.js';
import { Planner, Proofs } from './rollout-plans.js';

interface RolloutParts {
  store: RolloutStore;
  blobs: Pick<BlobStore, 'ready' | 'bytes'>;
  devices: Devices;
  models: Models;
  firmware: Pick<Firmware, 'verified' | 'manifest'>;
  configs: Pick<Configs, 'verified' | 'manifest'>;
  desired: DesiredStates;
  settings: SettingsRollouts;
  deltas: Deltas;
  changes: Changes;
  now: () => number;
}

type Listener = (news: RolloutNews) => void;

interface Waiting {
  event: RolloutEvent;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** Number of devices of a rollout per query. */
const devicesAtOnce = 1000;

/** Interval at which the rollouts' clock advances, and at which changes by other processes are read, ms. */
const tickMs = 250;

/**
 * Number of parts into which the rollouts are divided when several processes share the database. One process at a time advances the clock of
 * the rollouts in a part.
 */
const shards = 4;

/** Maximum number of concurrent steps in this process; each uses a database connection. */
const mostSteps = 5;

/**
 * Time that a rollout waits, after a platform restart, for devices that were online before, ms. Devices reconnect at different times, with
 * growing delays.
 */
const returnMs = 30_000;

/**
 * Runs rollouts. The fleet's state machine processes events. The next state and the devices' new desired states are
 * saved in one transaction; then the broker publishes the desired states. After a restart, the broker receives the
 * database's state, so no device is skipped or updated twice, wherever a step was interrupted. Each step starts from
 * the database's state, because a device may report to any of the processes that share the database. Steps of one
 * rollout wait for each other; those of different rollouts do not.
 */
export class Rollouts {
  /** Running rollouts. Other processes may have advanced them since they were read. */
  private readonly running = new Map<string, RolloutState>();
  /** Revisions of rollouts that ended here since the last read began. That read may still return them as running. */
  private readonly finished = new Map<string, number>();
  private readonly listeners = new Map<string, Set<Listener>>();
  /** Start time of this process, ms since 1970; null = not started yet. */
  private loaded: number | null = null;
  private readonly planner: Planner;
  private readonly proofs: Proofs;
  private readonly figures: RolloutFigures;
  /** For each rollout, reports received while a step was being saved; the next step processes all of them. */
  private readonly waiting = new Map<string, Waiting[]>();
  private readonly queues = new Map<string, { turn: Turn; tasks: number }>();
  private readonly steps = atMost(mostSteps);
  private readonly reading = serially();
  /** A read that has not begun yet, for all callers that need one. */
  private nextRead: Promise<void> | undefined;

  constructor(private readonly parts: RolloutParts) {
    this.planner = new Planner(parts);
    this.figures = new RolloutFigures(parts.devices, (id) => parts.store.get(id));
    this.proofs = new Proofs(parts);
  }

  /** Loads running rollouts, regardless of which process has advanced them. */
  load(): Promise<void> {
    this.nextRead ??= this.reading(() => {
      this.nextRead = undefined;
      return this.read();
    });
    return this.nextRead;
  }

  private async read(): Promise<void> {
    this.loaded ??= this.parts.now();
    this.finished.clear();
    const ended = new Set(this.running.keys());
    for (const state of await this.parts.store.running(this.running)) {
      ended.delete(state.head.id);
      this.note(state);
    }
    for (const id of ended) {
      // This process may have started it after the read began.
      const state = await this.parts.store.get(id);
      if (state) this.note(state);
    }
  }

  /** Reads the rollouts that other processes may have changed. */
  private async follow(): Promise<void> {
    if (this.parts.changes.shared) await this.load();
  }

  /** Remembers the state of a rollout, unless a later one is known. @param changed devices that changed */
  private note(state: RolloutState, changed?: readonly RolloutDevice[]): void {
    const { id, revision } = state.head;
    const before = this.running.get(id);
    if (Math.max(before?.head.revision ?? -1, this.finished.get(id) ?? -1) >= revision) return;
    if (rolloutHasEnded(state.head)) {
      this.running.delete(id);
      this.finished.set(id, revision);
      if (changed) this.figures.keep(state);
    } else this.running.set(id, state);
    this.announce(state, () => changed ?? changedSince(state, before));
  }

  /** Follows changes by other processes until the returned function is called. */
  watch(): () => void {
    let timer: NodeJS.Timeout | undefined;
    const stop = this.parts.changes.on('rollouts', () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        this.load().catch(() => {});
      }, tickMs);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }

  /** Advance the rollouts' clock, each in one process only. */
  workers(): Worker[] {
    const count = this.parts.changes.shared ? shards : 1;
    return Array.from({ length: count }, (_, shard) => ({
      // Earlier versions of aiot advance the clock of all rollouts in the first role.
      name: shard === 0 ? 'rollouts' : `rollouts-${shard + 1}`,
      run: (signal) => every(tickMs, signal, () => this.tick((id) => shardOf(id, count) === shard)),
    }));
  }

  /** @throws AIOT_NOT_FOUND, AIOT_MODEL_UNTRUSTED, AIOT_REQUEST_INVALID, AIOT_SELECTOR_INVALID, AIOT_ROLLOUT_EMPTY */
  async plan(value: unknown, reach: Reach | null = null): Promise<RolloutPlan> {
    await this.follow();
    return this.planner.plan(value, [...this.running.values()], reach);
  }

  /**
   * @param reach devices that the rights of the user who starts it are limited to; the selector is already limited to them
   * @throws those of `plan`, AIOT_ROLLOUT_PLAN, AIOT_ROLLOUT_OVERLAP
   */
  async start(value: unknown, who: string, reach: Reach | null = null): Promise<Rollout> {
    await this.follow();
    const planned = await this.planner.prepare(value, [...this.running.values()], reach);
    await this.parts.deltas.ready(planned.deltas, patienceMs.start);
    // Serialized with removals, so that the release cannot be removed in the meantime, and with other starts, which may need the same devices.
    return this.parts.models.inTurn(async () => {
      await this.follow();
      const running = [...this.running.values()];
      const { request, devices, current, warnings } = await this.planner.prepare(value, running, reach);
      const { releases, rollback, selector, policy } = request;
      const created = this.parts.now();
      this.planner.requireFree(this.running.values(), devices, request);
      const rollout = { id: newId('ro', created), releases, rollback, selector, policy, created };
      const limit = reach === null ? {} : { limit: [...reach.selectors] };
      const state = startRollout({ ...rollout, ...limit, devices, current, by: who });
      await this.supersede(devices, isOfSettings(request));
      await this.parts.store.insert(state, who);
      this.note(state);
      const begun = (await this.step(state.head.id, [{ type: 'tick' }], who)) ?? state;
      const rolled = rolloutOf(begun.head, created);
      return warnings.length > 0 ? { ...rolled, warnings } : rolled;
    });
  }

  /** @throws AIOT_NOT_FOUND, AIOT_ROLLOUT_STATE, AIOT_ROLLOUT_APPROVER, AIOT_ROLLOUT_NO_WAY_BACK */
  async command(id: string, type: RolloutCommand, who: string): Promise<Rollout> {
    const state = await this.step(id, [{ type, who }], who);
    if (!state) throw notFound(id);
    return rolloutOf(state.head, this.parts.now());
  }

  count(): Promise<number> {
    return this.parts.store.count();
  }

  /** Number of rollouts all of whose devices are in reach. */
  async countWithin(reach: Reach): Promise<number> {
    let count = 0;
    for (let after: string | undefined; ; ) {
      const { rollouts, next } = await this.list({ limit: 100, after }, reach);
      count += rollouts.length;
      if (next === null) return count;
      after = next;
    }
  }

  /** Requires all devices of a rollout in reach, because its progress and its commands concern all of them. @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED */
  async requireWithin(id: string, reach: Reach | null): Promise<void> {
    if (reach === null || (await this.isWithin(id, reach))) return;
    throw outOfReach(
      `the rollout ${id.slice(0, 64)} has devices that are not among those of this token (${reach.text})`,
    );
  }

  private async isWithin(id: string, reach: Reach): Promise<boolean> {
    const state = this.running.get(id);
    if (state) return [...state.devices.keys()].every((name) => reach.has(name));
    for (let after: string | undefined; ; ) {
      const rows = await this.parts.store.devices(id, { limit: devicesAtOnce, after });
      if (!rows.every(({ name }) => reach.has(name))) return false;
      const last = rows.at(-1);
      // A rollout always has devices, so none is known under this id.
      if (!last) return after !== undefined;
      if (rows.length < devicesAtOnce) return true;
      after = last.name;
    }
  }

  /** Newest first. With a `reach`, only rollouts all of whose devices are in it. */
  async list(
    { limit, after }: PageQuery,
    reach: Reach | null = null,
  ): Promise<{ rollouts: Rollout[]; next: string | null }> {
    const heads = await this.parts.store.list({ after, limit: limit + 1 });
    const { entries, next } = pageOfRows(heads, limit, ({ id }) => id);
    const shown: RolloutHead[] = [];
    for (const head of entries) if (reach === null || (await this.isWithin(head.id, reach))) shown.push(head);
    return { rollouts: shown.map((head) => rolloutOf(head, this.parts.now())), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(id: string): Promise<Rollout> {
    return rolloutOf(await this.headOf(id), this.parts.now());
  }

  /** @throws AIOT_NOT_FOUND */
  private async headOf(id: string): Promise<RolloutHead> {
    const { store, changes } = this.parts;
    const running = changes.shared ? undefined : this.running.get(id)?.head;
    const head = running ?? (await store.head(id));
    if (!head) throw notFound(id);
    return head;
  }

  /** Returns a rollout together with the releases that its devices run now. @throws AIOT_NOT_FOUND */
  async status(id: string): Promise<RolloutStatus> {
    const head = await this.headOf(id);
    return { ...rolloutOf(head, this.parts.now()), ...(await this.figures.of(head, this.running.get(id))) };
  }

  /** Sorted by name. @throws AIOT_NOT_FOUND */
  async devices(
    id: string,
    query: RolloutDevicesQuery,
  ): Promise<{ devices: RolloutDeviceInfo[]; next: string | null }> {
    const { limit, ...rest } = query;
    await this.get(id);
    const rows = await this.parts.store.devices(id, { ...rest, limit: limit + 1 });
    const { entries, next } = pageOfRows(rows, limit, ({ name }) => name);
    return { devices: entries.map(deviceInfo), next };
  }

  /** Calls the listener with each change until the returned function is called. */
  listen(id: string, listener: Listener): () => void {
    const listeners = this.listeners.get(id) ?? new Set();
    this.listeners.set(id, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.listeners.delete(id);
    };
  }

  /** Resolves when all changes caused by the report are saved. */
  async reported(device: string, report: Reported, refusedRecall = false): Promise<void> {
    if (report.rollout === null) return;
    const { rollout } = parseWish(report.rollout);
    // Another process may have started a rollout that is not loaded here yet.
    if (!this.running.has(rollout) && !this.parts.changes.shared) return;
    const { proof: signed, ...said } = report;
    const proof = signed && (await this.proofs.check(device, report, signed));
    await this.tell(rollout, { type: 'reported', device, report: { ...said, proof, refusedRecall } });
  }

  /**
   * Counts the crash of a device in its rollouts, unless another version of its firmware crashed. Resolves when all changes are saved.
   */
  async crashed(
    device: string,
    { t, firmware }: CrashReport,
    cause: { signature: string; reason: string },
  ): Promise<void> {
    const isIn = (state: RolloutState) => state.devices.has(device);
    // Another process may have started a rollout that is not loaded here yet.
    if (![...this.running.values()].some(isIn) && !this.parts.changes.shared) return;
    const now = this.parts.devices.find(device)?.reported?.firmware;
    const isOld = firmware?.version !== now?.version;
    if (firmware && now && isOld && (firmware.name ?? now.name) === now.name) return;
    await this.follow();
    for (const { head } of [...this.running.values()].filter(isIn))
      await this.step(head.id, [{ type: 'crashed', device, t: t ?? null, cause }], 'platform');
  }

  async revoked(device: string): Promise<void> {
    await this.follow();
    for (const { head, devices } of [...this.running.values()])
      if (devices.has(device)) await this.step(head.id, [{ type: 'revoked', device }], 'platform');
  }

  /**
   * Advances time, so that waves open, and deadlines and windows end.
   * @param isOwn whether to advance the rollout with this id
   */
  async tick(isOwn: (id: string) => boolean = () => true): Promise<void> {
    if (this.running.size === 0 && !this.parts.changes.shared) return;
    await this.follow();
    const all = [...this.running.values()].filter(({ head }) => isOwn(head.id));
    // Usually nothing is due, which the known state shows without a transaction.
    const due = all.filter((state) => this.decide(state, [{ type: 'tick' }]) !== null);
    const done = await Promise.allSettled(
      due.map(({ head }) => this.step(head.id, [{ type: 'tick' }], 'platform')),
    );
    for (const each of done) if (each.status === 'rejected') throw each.reason;
  }

  private tell(id: string, event: RolloutEvent): Promise<void> {
    return new Promise((resolve, reject) => {
      const others = this.waiting.get(id);
      if (others) {
        others.push({ event, resolve, reject });
        return;
      }
      this.waiting.set(id, [{ event, resolve, reject }]);
      void this.pump(id);
    });
  }

  private async pump(id: string): Promise<void> {
    let all: Waiting[] = [];
    const take = () => {
      all = this.waiting.get(id) ?? [];
      this.waiting.delete(id);
      return all.map(({ event }) => event);
    };
    try {
      await gather();
      if (await this.isRunning(id)) await this.step(id, take, 'platform');
      else take();
      for (const { resolve } of all) resolve();
    } catch (error) {
      // If the step did not begin, its reports are still waiting.
      if (all.length === 0) take();
      for (const { reject } of all) reject(error);
    }
  }

  /** Whether the rollout has not ended; another process may have started it. */
  private async isRunning(id: string): Promise<boolean> {
    if (this.running.has(id)) return true;
    const head = this.parts.changes.shared ? await this.parts.store.head(id) : null;
    return head !== null && !rolloutHasEnded(head);
  }

  /** Settings and releases do not replace each other. */
  private async supersede(devices: readonly string[], ofSettings: boolean): Promise<void> {
    for (const { head, devices: theirs } of [...this.running.values()]) {
      if (isOfSettings(head) !== ofSettings) continue;
      const taken = devices.filter((device) => theirs.has(device));
      const events = taken.map((device): RolloutEvent => ({ type: 'superseded', device }));
      if (events.length > 0) await this.step(head.id, events, 'platform');
    }
  }

  /**
   * Saves the changes, then publishes them. Returns the rollout after the step; null = there is no such rollout.
   * @param take events, or a function that returns them when the step begins
   */
  private step(
    id: string,
    take: RolloutEvent[] | (() => RolloutEvent[]),
    who: string,
  ): Promise<RolloutState | null> {
    return this.inOrder(id, async () => {
      const events = typeof take === 'function' ? take() : take;
      const { store, desired } = this.parts;
      const decide = (state: RolloutState) => this.decide(state, events);
      const known = this.running.get(id);
      const head = known?.head ?? (await store.head(id));
      const advance = () => this.steps(() => store.advance(id, known, decide, who));
      // Settings are part of the devices, which change only in turn.
      const advanced = await (head && isOfSettings(head) ? this.parts.devices.inTurn(advance) : advance());
      if (!advanced) return null;
      const { before, step, told } = advanced;
      if (!step) {
        this.note(before);
        return before;
      }
      const state = afterStep(before, step);
      this.note(state, step.changed);
      await desired.tell(told);
      return state;
    });
  }

  /** Runs this process's steps of a rollout one at a time. */
  private async inOrder<T>(id: string, task: () => Promise<T>): Promise<T> {
    const queue = this.queues.get(id) ?? { turn: serially(), tasks: 0 };
    this.queues.set(id, queue);
    queue.tasks++;
    try {
      return await queue.turn(task);
    } finally {
      if (--queue.tasks === 0) this.queues.delete(id);
    }
  }

  /** The next step, or null if there is nothing to save. */
  private decide(before: RolloutState, events: RolloutEvent[]): RolloutStep | null {
    const { devices, now } = this.parts;
    // Only an operator continues a rollout that has ended.
    if (rolloutHasEnded(before.head) && !events.some((event) => 'who' in event)) return null;
    const reach = reachOf(before.head.limit ?? [], devices);
    const world: World = {
      at: now(),
      online: (name: string) => devices.online(name),
      seen: (name: string) => {
        const record = devices.find(name);
        return record ? devices.lastSeenOf(record) : null;
      },
      returning: this.isReturning(before),
      shadows: (name: string) => devices.find(name)?.reported?.features?.includes('shadow') ?? false,
      permits: reach === null ? undefined : (name: string) => reach.has(name),
    };
    const news = isOfSettings(before.head) ? this.parts.settings.news(before) : [];
    const step = rolloutStep(before, [...news, ...events], world);
    if (!isNews(before, step)) return null;
    return { ...step, head: { ...step.head, revision: before.head.revision + 1 } };
  }

  /** Whether the rollout was running before this process started. */
  private isReturning({ head }: RolloutState): boolean {
    return this.loaded !== null && head.created < this.loaded && this.parts.now() < this.loaded + returnMs;
  }

  private announce(state: RolloutState, changed: () => readonly RolloutDevice[]): void {
    const listeners = this.listeners.get(state.head.id);
    if (!listeners) return;
    const news = { rollout: rolloutOf(state.head, this.parts.now()), changed: changed().map(deviceInfo) };
    for (const listener of listeners) listener(news);
  }
}

/** The part of the rollouts that this one belongs to. */
function shardOf(id: string, count: number): number {
  return count === 1 ? 0 : Number.parseInt(sha256Hex(id).slice(0, 8), 16) % count;
}

function changedSince(state: RolloutState, before: RolloutState | undefined): RolloutDevice[] {
  return [...state.devices.values()].filter((device) => before?.devices.get(device.name) !== device);
}

/** Whether there is anything to save; a step that changes only the available offers is not saved. */
function isNews({ head: before }: RolloutState, { head, changed }: RolloutStep): boolean {
  if (changed.length > 0) return true;
  const told = ({ budget: _, ...rest }: typeof head) => JSON.stringify(rest);
  return told(before) !== told(head);
}

function notFound(id: string): AiotError {
  return new AiotError('AIOT_NOT_FOUND', `the rollout ${id} does not exist`, {
    next: 'To see the rollouts, run `aiot rollout list`.',
  });
}

/** Maximum number of cached entries. A cache helps because an observer requests the same rollout repeatedly. */
const mostKept = 4;

type Runs = RolloutStatus['runs'];

interface Known {
  /** Revision of the rollout for which the statistics were counted. */
  revision: number;
  kind: RolloutHead['releases'][number]['kind'];
  /** Names of the rollout's devices. */
  members: ReadonlySet<string>;
  saved: Saved;
  /** Releases reported by the rollout's devices; null = not requested yet. */
  runs: Runs | null;
}

/**
 * Statistics on all devices in a rollout. Scanning a hundred thousand devices takes a tenth of a second or more. For
 * recently requested or ended rollouts, statistics are therefore counted once and then updated from devices' reports.
 */
export class RolloutFigures {
  private readonly known = new Map<string, Known>();

  /** @param read loads a rollout that is no longer running */
  constructor(
    private readonly devices: Pick<Devices, 'find' | 'onReported'>,
    private readonly read: (id: string) => Promise<RolloutState | null>,
  ) {
    devices.onReported((name, before, after) => {
      for (const { kind, members, runs } of this.known.values()) {
        if (runs === null || kind === 'settings' || !members.has(name)) continue;
        count(runs, kind, before, -1);
        count(runs, kind, after, 1);
      }
    });
  }

  /** @param running state of the rollout, if it is running */
  async of(head: RolloutHead, running: RolloutState | undefined): Promise<{ runs: Runs; saved: Saved }> {
    let known = this.known.get(head.id);
    if (known?.revision !== head.revision) {
      const state = running ?? (await this.read(head.id));
      if (state) known = this.keep(state);
    }
    if (!known) return { runs: [], saved: savedBy([]) };
    known.runs ??= this.countAll(known);
    const runs = known.runs.filter(({ devices }) => devices > 0).map((entry) => ({ ...entry }));
    return { runs: runs.sort((a, b) => b.devices - a.devices), saved: known.saved };
  }

  keep({ head: { id, revision, releases }, devices }: RolloutState): Known {
    const before = this.known.get(id);
    const known = {
      revision,
      kind: releases.at(-1)!.kind,
      members: before?.members ?? new Set(devices.keys()),
      saved: savedBy(devices.values()),
      runs: before?.runs ?? null,
    };
    this.known.delete(id);
    this.known.set(id, known);
    if (this.known.size > mostKept) this.known.delete(this.known.keys().next().value!);
    return known;
  }

  private countAll({ kind, members }: Known): Runs {
    const runs: Runs = [];
    // Devices report settings without a name and a version.
    if (kind === 'settings') return runs;
    for (const name of members) count(runs, kind, this.devices.find(name)?.reported ?? null, 1);
    return runs;
  }
}

/** A fleet runs few releases, so searching a list is faster than building a key from name and version. */
function count(runs: Runs, kind: Known['kind'], reported: Reported | null, by: 1 | -1): void {
  const { name = null, version = null } = (reported && runningOf(kind, reported)) ?? {};
  const entry = runs.find((each) => each.version === version && each.name === name);
  if (entry) entry.devices += by;
  else runs.push({ name, version, devices: by });
}

/** A rollout as returned by the API. @param now ms since 1970 */
function rolloutOf(head: RolloutHead, now: number): Rollout {
  const { id, state, reason, releases, rollback, selector, policy, by, approvals, created, ended } = head;
  return {
    ...{ id, state, reason, releases, rollback, selector, policy, by, approvals, created, ended },
    seconds: ((ended ?? now) - created) / 1000,
    waves: head.waves.map((wave, index) => {
      const { devices, counts, crashed = 0, opened, ended, shadow = null } = wave;
      return { state: waveOutcome(head, index), devices, ...counts, crashed, opened, ended, shadow };
    }),
    crashFree: policy.crashFree ? crashFreeOf(head) : null,
  };
}

function crashFreeOf({ crashes }: RolloutHead): CrashFree {
  const { deviceMs = 0, crashed = 0, causes = [] } = crashes ?? {};
  const hours = deviceMs / 3_600_000;
  const share = hours === 0 ? null : Math.max(0, 1 - crashed / hours);
  return {
    deviceHours: Math.floor(hours * 100) / 100,
    crashedHours: crashed,
    share,
    causes: [...causes].sort((a, b) => b.hours - a.hours),
  };
}

function deviceInfo(device: RolloutDevice): RolloutDeviceInfo {
  const {
    name,
    wave,
    state,
    step,
    error,
    offer,
    times,
    proof = null,
    shadow = null,
    delta,
    updated,
  } = device;
  const more = delta ? { delta } : {};
  return { name, wave, state, step, error, offers: offer, times, proof, shadow, ...more, updated };
}
