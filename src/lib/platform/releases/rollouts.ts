import { type PageQuery, pageOfRows } from '../../api/page.js';
import {
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
import { AiotError } from '../../core/errors.js';
import { newId } from '../../core/names.js';
import type { Reported } from '../../device/protocol/messages.js';
import { parseWish } from '../../fleet/rollout/draft.js';
import { runningOf } from '../../fleet/rollout/report.js';
import { afterStep, rolloutStep } from '../../fleet/rollout/step.js';
import type {
  RolloutDevice,
  RolloutEvent,
  RolloutHead,
  RolloutState,
  RolloutStep,
  RolloutStore,
} from '../../fleet/rollout/types.js';
import { startRollout, waveOutcome } from '../../fleet/rollout/waves.js';
import type { CrashReport } from '../../formats/crash.js';
import type { BlobStore } from '../blobs/store.js';
import { type Deltas, type DesiredStates, patienceMs } from '../devices/desired.js';
import type { Devices } from '../devices/devices.js';
import { gather } from '../store/batches.js';
import { type Changes, serially, type Turn, type Turns } from '../store/engine.js';
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
  deltas: Deltas;
  turns: Turns;
  changes: Changes;
  now: () => number;
}

type Listener = (news: RolloutNews) => void;

interface Waiting {
  id: string;
  event: RolloutEvent;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** Interval at which the rollouts' clock advances, ms. */
const tickMs = 250;

/**
 * Time that a rollout waits, after a platform restart, for devices that were online before, ms. Devices reconnect at different times, with
 * growing delays.
 */
const returnMs = 30_000;

/**
 * Runs rollouts. The fleet's state machine processes events. The next state and the devices' new desired states are
 * saved in one transaction; then the broker publishes the desired states. After a restart, the broker receives the
 * database's state, so no device is skipped or updated twice, wherever a step was interrupted. Each step starts from
 * the database's state, because a device may report to any of the processes that share the database.
 */
export class Rollouts {
  private readonly running = new Map<string, RolloutState>();
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly inTurn: Turn;
  /** Start time of this process, ms since 1970; null = not started yet. */
  private loaded: number | null = null;
  private readonly planner: Planner;
  private readonly proofs: Proofs;
  private readonly figures: RolloutFigures;
  /** Reports received while a step was being saved; the next step processes all of them. */
  private waiting: Waiting[] = [];
  private pumping = false;

  constructor(private readonly parts: RolloutParts) {
    const turn = parts.turns.of('rollouts');
    this.inTurn = parts.changes.shared ? (task) => turn(() => this.load().then(task)) : turn;
    this.planner = new Planner(parts);
    this.figures = new RolloutFigures(parts.devices, (id) => parts.store.get(id));
    this.proofs = new Proofs(parts);
  }

  /**
   * Loads running rollouts, regardless of which process has advanced them. Call only from a task passed to `inTurn`, or while no other
   * process is running.
   */
  async load(): Promise<void> {
    this.loaded ??= this.parts.now();
    const states = await this.parts.store.running(this.running);
    const ended = new Set(this.running.keys());
    for (const state of states) {
      ended.delete(state.head.id);
      const before = this.running.get(state.head.id);
      this.running.set(state.head.id, state);
      if (before !== state) this.announce(state, () => changedSince(state, before));
    }
    for (const id of ended) {
      const before = this.running.get(id);
      this.running.delete(id);
      const state = this.listeners.has(id) ? await this.parts.store.get(id) : null;
      if (state) this.announce(state, () => changedSince(state, before));
    }
  }

  /** Follows changes by other processes until the returned function is called. */
  watch(): () => void {
    const follow = serially();
    let waiting = false;
    return this.parts.changes.on('rollouts', () => {
      if (waiting) return;
      waiting = true;
      follow(() => {
        waiting = false;
        return this.inTurn(async () => {});
      }).catch(() => {});
    });
  }

  /** Advances the rollouts' clock, in one process only. */
  worker(): Worker {
    return { name: 'rollouts', run: (signal) => every(tickMs, signal, () => this.tick()) };
  }

  /** @throws AIOT_NOT_FOUND, AIOT_MODEL_UNTRUSTED, AIOT_REQUEST_INVALID, AIOT_SELECTOR_INVALID, AIOT_ROLLOUT_EMPTY */
  plan(value: unknown): Promise<RolloutPlan> {
    return this.planner.plan(value, [...this.running.values()]);
  }

  /** @throws those of `plan`, AIOT_ROLLOUT_PLAN, AIOT_ROLLOUT_OVERLAP */
  async start(value: unknown, who: string): Promise<Rollout> {
    const planned = await this.planner.prepare(value, [...this.running.values()]);
    await this.parts.deltas.ready(planned.deltas, patienceMs.start);
    // Serialized with removals, so that the release cannot be removed in the meantime.
    return this.parts.models.inTurn(async () => {
      const running = [...this.running.values()];
      const { request, devices, current, warnings } = await this.planner.prepare(value, running);
      const { releases, rollback, selector, policy } = request;
      return this.inTurn(async () => {
        const created = this.parts.now();
        this.planner.requireFree(this.running.values(), devices, policy.priority);
        const rollout = { id: newId('ro', created), releases, rollback, selector, policy, created };
        const state = startRollout({ ...rollout, devices, current, by: who });
        await this.supersede(devices);
        await this.parts.store.insert(state, who);
        this.running.set(state.head.id, state);
        const rolled = rolloutOf((await this.step(state, [{ type: 'tick' }], who)).head, created);
        return warnings.length > 0 ? { ...rolled, warnings } : rolled;
      });
    });
  }

  /** @throws AIOT_NOT_FOUND, AIOT_ROLLOUT_STATE, AIOT_ROLLOUT_APPROVER, AIOT_ROLLOUT_NO_WAY_BACK */
  command(id: string, type: RolloutCommand, who: string): Promise<Rollout> {
    return this.inTurn(async () => {
      const state = this.running.get(id) ?? (await this.parts.store.get(id));
      if (!state) throw notFound(id);
      return rolloutOf((await this.step(state, [{ type, who }], who)).head, this.parts.now());
    });
  }

  count(): Promise<number> {
    return this.parts.store.count();
  }

  /** Newest first. */
  async list({ limit, after }: PageQuery): Promise<{ rollouts: Rollout[]; next: string | null }> {
    const heads = await this.parts.store.list({ after, limit: limit + 1 });
    const { entries, next } = pageOfRows(heads, limit, ({ id }) => id);
    return { rollouts: entries.map((head) => rolloutOf(head, this.parts.now())), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(id: string): Promise<Rollout> {
    const head = this.running.get(id)?.head ?? (await this.parts.store.head(id));
    if (!head) throw notFound(id);
    return rolloutOf(head, this.parts.now());
  }

  /** Returns a rollout together with the releases that its devices run now. @throws AIOT_NOT_FOUND */
  async status(id: string): Promise<RolloutStatus> {
    const running = this.running.get(id);
    const head = running?.head ?? (await this.parts.store.head(id));
    if (!head) throw notFound(id);
    return { ...rolloutOf(head, this.parts.now()), ...(await this.figures.of(head, running)) };
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
  async crashed(device: string, { t, firmware }: CrashReport): Promise<void> {
    const isIn = (state: RolloutState) => state.devices.has(device);
    // Another process may have started a rollout that is not loaded here yet.
    if (![...this.running.values()].some(isIn) && !this.parts.changes.shared) return;
    const now = this.parts.devices.find(device)?.reported?.firmware;
    const isOld = firmware?.version !== now?.version;
    if (firmware && now && isOld && (firmware.name ?? now.name) === now.name) return;
    await this.inTurn(async () => {
      for (const state of [...this.running.values()].filter(isIn))
        await this.step(state, [{ type: 'crashed', device, t: t ?? null }], 'platform');
    });
  }

  async revoked(device: string): Promise<void> {
    await this.inTurn(async () => {
      for (const state of [...this.running.values()]) {
        if (state.devices.has(device)) await this.step(state, [{ type: 'revoked', device }], 'platform');
      }
    });
  }

  /** Advances time, so that waves open, and deadlines and windows end. */
  async tick(): Promise<void> {
    if (this.running.size === 0 && !this.parts.changes.shared) return;
    await this.inTurn(async () => {
      for (const state of [...this.running.values()]) await this.step(state, [{ type: 'tick' }], 'platform');
    });
  }

  private tell(id: string, event: RolloutEvent): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ id, event, resolve, reject });
      void this.pump();
    });
  }

  private async pump(): Promise<void> {
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (this.waiting.length > 0) {
        await gather();
        await this.inTurn(() => this.takeAll());
      }
    } catch (error) {
      // The lock could not be acquired, so the waiting reports have not been processed.
      for (const { reject } of this.waiting.splice(0)) reject(error);
    } finally {
      this.pumping = false;
    }
  }

  private async takeAll(): Promise<void> {
    const byRollout = new Map<string, Waiting[]>();
    for (const waiting of this.waiting.splice(0)) {
      const others = byRollout.get(waiting.id);
      if (others) others.push(waiting);
      else byRollout.set(waiting.id, [waiting]);
    }
    for (const [id, all] of byRollout) {
      try {
        const state = this.running.get(id);
        const events = all.map(({ event }) => event);
        if (state) await this.step(state, events, 'platform');
        for (const { resolve } of all) resolve();
      } catch (error) {
        for (const { reject } of all) reject(error);
      }
    }
  }

  private async supersede(devices: readonly string[]): Promise<void> {
    for (const state of [...this.running.values()]) {
      const taken = devices.filter((device) => state.devices.has(device));
      const events = taken.map((device): RolloutEvent => ({ type: 'superseded', device }));
      if (events.length > 0) await this.step(state, events, 'platform');
    }
  }

  /** Saves the changes, then publishes them. */
  private async step(before: RolloutState, events: RolloutEvent[], who: string): Promise<RolloutState> {
    const { devices, now } = this.parts;
    const world = {
      at: now(),
      online: (name: string) => devices.online(name),
      returning: this.isReturning(before),
      shadows: (name: string) => devices.find(name)?.reported?.features?.includes('shadow') ?? false,
    };
    const step = rolloutStep(before, events, world);
    if (!isNews(before, step)) return before;
    const numbered = { ...step, head: { ...step.head, revision: step.head.revision + 1 } };
    const told = await this.parts.store.save(before, numbered, who);
    const state = afterStep(before, numbered);
    if (rolloutHasEnded(state.head)) {
      this.running.delete(state.head.id);
      this.figures.keep(state);
    } else this.running.set(state.head.id, state);
    await this.parts.desired.tell(told);
    this.announce(state, () => numbered.changed);
    return state;
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
        if (runs === null || !members.has(name)) continue;
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
