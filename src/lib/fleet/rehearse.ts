import type { RehearsalConditions, Rehearsals } from '../api/rollouts/rehearsal.js';
import {
  type RolloutKind,
  type RolloutPhase,
  type RolloutPlan,
  type RolloutReason,
  rolloutHasEnded,
  rolloutPolicySchema,
} from '../api/rollouts/schema.js';
import { asks, chanceOf, isAway } from '../device/fleet/network.js';
import {
  RehearsedDevice,
  type RehearsedNetwork,
  type RehearsedTraffic,
  type SettingsWish,
} from '../device/fleet/rehearsed.js';
import type { Desired, Reported } from '../device/protocol/messages.js';
import { type Manifest, manifestSchema } from '../formats/manifest/manifest.js';
import { afterStep, rolloutStep } from './rollout/step.js';
import type { RolloutEvent, RolloutState, RolloutStep, UpdateReport, Wish } from './rollout/types.js';
import { startRollout } from './rollout/waves.js';

export interface RehearseOptions extends RehearsalConditions {
  /** Called between runs. The caller can stop the rehearsals by throwing an error. */
  onRun?: (done: number) => Promise<void> | void;
}

/** The outage begins at a random time within this period, which starts with the rollout, ms. */
const outageWithinMs = 600_000;

/** Rehearses a plan several times, each time with different random events. The same seed yields the same results. */
export async function rehearseAll(plan: RolloutPlan, options: RehearseOptions): Promise<Rehearsals> {
  const { runs, network, bytes, outageMs, onRun } = options;
  const all: Rehearsal[] = [];
  for (let run = 0; run < runs; run++) {
    const seed = Math.floor(chanceOf(network.seed, run) * 2 ** 31);
    const outageAt = Math.floor(chanceOf(network.seed, run, 1) * outageWithinMs);
    all.push(rehearse(plan, { network: { ...network, seed }, bytes, outageMs, outageAt }));
    await onRun?.(run + 1);
  }
  const of = (value: (rehearsal: Rehearsal) => number) => figuresOf(all.map(value));
  return {
    ...{ runs, seed: network.seed, devices: plan.waves.flat().length },
    trouble: all.filter(({ state }) => state !== 'done').length / runs,
    stopped: all.filter(({ state }) => state === 'paused' || state === 'rolledBack').length / runs,
    ends: endsOf(all),
    seconds: of(({ ms }) => ms / 1000),
    tried: of(({ tried }) => tried),
    failed: of(({ failed }) => failed),
    left: of(({ left }) => left),
  };
}

function endsOf(all: readonly Rehearsal[]): Rehearsals['ends'] {
  const found = new Map<string, Rehearsals['ends'][number]>();
  for (const { state, code } of all) {
    const entry = found.get(`${state} ${code}`) ?? { state, code, runs: 0 };
    entry.runs++;
    found.set(`${state} ${code}`, entry);
  }
  return [...found.values()].sort((a, b) => b.runs - a.runs);
}

function figuresOf(values: number[]): Rehearsals['seconds'] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: sorted.at(-1)! };
}

export interface RehearsalOptions {
  network: RehearsedNetwork;
  /** Size of the release, bytes. */
  bytes: number;
  /** Length of the broker's single outage, ms; 0 = no outage. */
  outageMs: number;
  /** Start of the outage, ms after the rollout starts. */
  outageAt: number;
  observer?: RehearsalObserver;
}

/** Observes the traffic in both directions. Times are ms since 1970. */
export interface RehearsalObserver extends RehearsedTraffic {
  /** Called after a step of the rollout. The platform stores the step's result and sends it to devices. */
  stepped(at: number, before: RolloutState, step: RolloutStep): void;
  /** Called when a device has sent a report. */
  reported(at: number, device: string, kind: RolloutKind, reported: Reported): void;
}

/** Result of one rehearsal. */
export interface Rehearsal {
  /** `unended`: not finished after a month of simulated time. */
  state: RolloutPhase | 'unended';
  /** Code of the reason why the rollout stopped; null if it did not stop. */
  code: string | null;
  /** Time from the start until the rollout ended or stalled, ms. */
  ms: number;
  devices: number;
  committed: number;
  /** Devices that booted the release, or that applied or rejected the settings. */
  tried: number;
  /** Devices that tried the release and rolled back, or rejected it. */
  failed: number;
  /** All other devices: offline, not offered the release, or withdrawn. */
  left: number;
}

/** Delay between the first report and the step that processes it, ms. On the platform, this is the time between two commits. */
const gatherMs = 250;

const tickMs = 5000;
const minuteMs = 60_000;
const hourMs = 3_600_000;
const longestMs = 30 * 86_400_000;

/** Runs a planned rollout on a randomly generated fleet, with a simulated clock that advances as fast as the machine can compute. */
export function rehearse(plan: RolloutPlan, options: RehearsalOptions): Rehearsal {
  return new Run(plan, options).toTheEnd();
}

class Run {
  private readonly agenda = new Agenda();
  private readonly devices = new Map<string, RehearsedDevice>();
  private readonly everyone: RehearsedDevice[];
  private readonly begun: number;
  private now: number;
  private state: RolloutState;
  private gathered: RolloutEvent[] = [];
  private brokerAway = false;
  private readonly isOfSettings: boolean;
  /** Devices that have applied or rejected the settings. */
  private readonly settled = new Set<string>();

  constructor(
    plan: RolloutPlan,
    private readonly options: RehearsalOptions,
  ) {
    const { releases, rollback = null, selector } = plan.request;
    const asked = rolloutPolicySchema.parse(plan.request.policy ?? {});
    this.begun = Math.max(plan.made, asked.startAt ?? 0);
    this.now = this.begun;
    const names = plan.waves.flat();
    this.isOfSettings = releases.some(({ kind }) => kind === 'settings');
    this.state = startRollout({
      ...{ id: 'ro_rehearsal', releases: [...releases], rollback, selector, devices: names },
      ...{ policy: { ...asked, approval: false, startAt: null }, by: 'rehearsal', created: this.now },
    });
    const manifests = new Map<string, Manifest>();
    const world = {
      network: options.network,
      now: () => this.now,
      later: (ms: number, then: () => void) => this.agenda.add(this.now + ms, then),
      manifest: (desired: Desired) => {
        const known = manifests.get(desired.manifest) ?? manifestOf(desired, options.bytes, this.begun);
        manifests.set(desired.manifest, known);
        return known;
      },
      report: (device: string, kind: RolloutKind, reported: Reported) => {
        options.observer?.reported(this.now, device, kind, reported);
        this.gather({ type: 'reported', device, report: ofKind(kind, reported) });
      },
      settled: (device: string, rollout: string, error: RolloutReason | null) => {
        this.settled.add(device);
        const told = { state: error ? 'IDLE' : 'COMMITTED', error, kind: 'settings' as const };
        this.gather({ type: 'reported', device, report: { rollout, model: null, ...told } });
      },
      ...(options.observer ? { traffic: options.observer } : {}),
    };
    this.everyone = names.map((name, index) => new RehearsedDevice(name, index, world));
    for (const device of this.everyone) this.devices.set(device.name, device);
  }

  toTheEnd(): Rehearsal {
    this.weather(0);
    this.outage();
    this.crashes(0);
    this.tick();
    while (!this.over()) {
      const entry = this.agenda.next();
      if (!entry) break;
      this.now = entry.at;
      entry.then();
    }
    return this.told();
  }

  /** Whether the rehearsal is over: nothing more can change without an operator's decision, or the maximum simulated time has passed. */
  private over(): boolean {
    const { head } = this.state;
    if (rolloutHasEnded(head) || this.now - this.begun >= longestMs) return true;
    return (
      head.state === 'paused' && head.waves.every(({ counts }) => counts.updating + counts.recalled === 0)
    );
  }

  private tick(): void {
    this.step([{ type: 'tick' }]);
    this.agenda.add(this.now + tickMs, () => this.tick());
  }

  private gather(event: RolloutEvent): void {
    this.gathered.push(event);
    if (this.gathered.length > 1) return;
    this.agenda.add(this.now + gatherMs, () => this.step(this.gathered.splice(0)));
  }

  private step(events: readonly RolloutEvent[]): void {
    const online = (name: string) => this.devices.get(name)?.online ?? false;
    const seen = (name: string) => this.devices.get(name)?.left ?? null;
    const step = rolloutStep(this.state, events, { at: this.now, online, seen, shadows: () => true });
    this.options.observer?.stepped(this.now, this.state, step);
    this.state = afterStep(this.state, step);
    for (const wish of step.wishes) {
      const device = this.devices.get(wish.device);
      if (this.isOfSettings) device?.hearSettings(settingsOf(wish, this.state));
      else device?.hear(desiredOf(wish));
    }
  }

  /** Connects or disconnects devices: a different sixtieth each second, because real devices are not synchronized. */
  private weather(second: number): void {
    if (this.options.network.offline === 0) return;
    if (!this.brokerAway) this.connectSome(Math.floor(second / 60), second % 60, 60);
    this.agenda.add(this.now + minuteMs / 60, () => this.weather(second + 1));
  }

  /** Updates the connection of every `each`-th device, beginning at this index. */
  private connectSome(minute: number, from: number, each: number): void {
    for (let i = from; i < this.everyone.length; i += each) {
      this.everyone[i]!.connect(!isAway(this.options.network, i, minute));
    }
  }

  /** Crashes updated devices, each at the end of an hour of the rollout; less often if the device has run for only a part of that hour. */
  private crashes(hour: number): void {
    const { seed, crashRate = 0 } = this.options.network;
    if (crashRate === 0) return;
    for (const [index, { name }] of this.everyone.entries()) {
      const chance = chanceOf(seed, index, asks.crash, hour);
      if (chance >= crashRate) continue;
      const device = this.state.devices.get(name);
      const ran = device?.state === 'committed' ? (this.now - (device.times.committed ?? 0)) / hourMs : 0;
      if (chance < crashRate * ran) this.gather({ type: 'crashed', device: name, t: null });
    }
    this.agenda.add(this.now + hourMs, () => this.crashes(hour + 1));
  }

  private outage(): void {
    const { outageMs, outageAt } = this.options;
    if (outageMs === 0) return;
    this.agenda.add(this.now + outageAt, () => {
      this.brokerAway = true;
      for (const device of this.devices.values()) device.connect(false);
    });
    this.agenda.add(this.now + outageAt + outageMs, () => {
      this.brokerAway = false;
      this.connectSome(Math.floor((this.now - this.begun) / minuteMs), 0, 1);
    });
  }

  private told(): Rehearsal {
    const { head, devices } = this.state;
    const all = [...devices.values()];
    const count = (states: string[]) => all.filter(({ state }) => states.includes(state)).length;
    const [committed, failed] = [count(['committed']), count(['failed', 'rolledBack'])];
    const ended = rolloutHasEnded(head) || head.state === 'paused';
    return {
      state: ended ? head.state : 'unended',
      code: head.reason?.code ?? null,
      ms: this.now - this.begun,
      devices: all.length,
      tried: this.isOfSettings
        ? this.settled.size
        : all.filter(({ times }) => times.booted !== undefined).length,
      ...{ committed, failed, left: all.length - committed - failed },
    };
  }
}

function ofKind(kind: RolloutKind, reported: Reported): UpdateReport {
  const { rollout, state, golden, error, shadow, model: running } = reported;
  const told = { rollout, kind, state, golden, error, shadow };
  if (kind === 'firmware') return { ...told, model: null, firmware: { release: running } };
  return kind === 'config' ? { ...told, model: null, config: running } : { ...told, model: running };
}

/** Former settings are always accepted, because the device has used them before. */
function settingsOf({ wish, release, device }: Wish, { devices }: RolloutState): SettingsWish | null {
  if (release === null) return null;
  return { wish, isFormer: devices.get(device)?.state === 'restoring' };
}

function desiredOf({ wish, release, shadow }: Wish): Desired | null {
  // Settings are part of the device's desired state, and not a release that it downloads.
  if (release === null || release.kind === 'settings') return null;
  const { kind, name, version, sequence } = release;
  return {
    rollout: wish,
    kind,
    name,
    version,
    sequence,
    manifest: `${kind} ${sequence}`,
    ...(shadow && { shadow }),
  };
}

/** An unsigned manifest, because a rehearsal does not check signatures. */
function manifestOf(desired: Desired, bytes: number, issued: number): Manifest {
  const { kind, name, version, sequence } = desired;
  const digest = `sha256:${sequence.toString(16).padStart(64, '0')}`;
  return manifestSchema.parse({
    ...{ spec: 'aiot-manifest/1', role: 'release', kind, name, version, sequence, floor: 0 },
    ...{ issued, expires: null, deviceTypes: ['rehearsed'], artifacts: [{ name: 'bundle', digest, bytes }] },
  });
}

interface Entry {
  at: number;
  /** Position in the order of insertion, which breaks ties between entries with the same time. */
  order: number;
  then: () => void;
}

/** Pending events, the earliest first: a binary heap. */
class Agenda {
  private readonly entries: Entry[] = [];
  private entered = 0;

  add(at: number, then: () => void): void {
    const entries = this.entries;
    this.entered += 1;
    const entry = { at, order: this.entered, then };
    let i = entries.length;
    for (; i > 0; ) {
      const above = (i - 1) >> 1;
      if (!before(entry, entries[above]!)) break;
      entries[i] = entries[above]!;
      i = above;
    }
    entries[i] = entry;
  }

  next(): Entry | undefined {
    const entries = this.entries;
    const first = entries[0];
    const last = entries.pop();
    if (first === undefined || last === undefined || entries.length === 0) return first;
    let i = 0;
    for (;;) {
      let below = 2 * i + 1;
      if (below >= entries.length) break;
      if (below + 1 < entries.length && before(entries[below + 1]!, entries[below]!)) below++;
      if (!before(entries[below]!, last)) break;
      entries[i] = entries[below]!;
      i = below;
    }
    entries[i] = last;
    return first;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
