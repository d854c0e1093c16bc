import {
  type Desired,
  isAway,
  RehearsedDevice,
  type RehearsedNetwork,
  type RehearsedTraffic,
  type Reported,
} from '../../device/index.js';
import { type Manifest, manifestSchema } from '../../formats/index.js';
import {
  type Release,
  type RolloutPhase,
  type RolloutPlan,
  rolloutHasEnded,
  rolloutPolicySchema,
} from '../../registry/index.js';
import {
  afterStep,
  type RolloutEvent,
  type RolloutState,
  type RolloutStep,
  rolloutStep,
  startRollout,
  type UpdateReport,
  type Wish,
} from '../rollout/index.js';
import { Agenda } from './agenda.js';

export interface RehearsalOptions {
  network: RehearsedNetwork;
  /** Of what is rolled out. */
  bytes: number;
  /** Once the broker is away for so long, ms; 0 = never. */
  outageMs: number;
  /** When that begins, ms after the beginning. */
  outageAt: number;
  observer?: RehearsalObserver;
}

/** Whoever counts what goes to and fro. Times are ms since 1970. */
export interface RehearsalObserver extends RehearsedTraffic {
  /** The platform has taken a step: what it writes down, and whom it tells what. */
  stepped(at: number, before: RolloutState, step: RolloutStep): void;
  /** A device has told it this. */
  reported(at: number, device: string, kind: Release['kind'], reported: Reported): void;
}

/** How one rehearsal went. */
export interface Rehearsal {
  /** `unended`: it had not after a month. */
  state: RolloutPhase | 'unended';
  /** Why it stopped. */
  code: string | null;
  /** From its beginning until it ended or stood still, ms. */
  ms: number;
  devices: number;
  committed: number;
  /** They booted it. */
  tried: number;
  /** They tried it and went back, or refused it. */
  failed: number;
  /** Neither: not there, not asked, or taken out. */
  left: number;
}

/** Reports are taken so long after the first of them, as the platform takes them between two commits, ms. */
const gatherMs = 250;
const tickMs = 5000;
const minuteMs = 60_000;
const longestMs = 30 * 86_400_000;

/** Runs a planned rollout on a fleet that chance makes, by a clock that goes as fast as all can be computed. */
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

  constructor(
    plan: RolloutPlan,
    private readonly options: RehearsalOptions,
  ) {
    const { releases, rollback = null, selector } = plan.request;
    const asked = rolloutPolicySchema.parse(plan.request.policy ?? {});
    this.begun = Math.max(plan.made, asked.startAt ?? 0);
    this.now = this.begun;
    const names = plan.waves.flat();
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
      report: (device: string, kind: Release['kind'], reported: Reported) => {
        options.observer?.reported(this.now, device, kind, reported);
        this.gather({ type: 'reported', device, report: ofKind(kind, reported) });
      },
      ...(options.observer ? { traffic: options.observer } : {}),
    };
    this.everyone = names.map((name, index) => new RehearsedDevice(name, index, world));
    for (const device of this.everyone) this.devices.set(device.name, device);
  }

  toTheEnd(): Rehearsal {
    this.weather(0);
    this.outage();
    this.tick();
    while (!this.over()) {
      const entry = this.agenda.next();
      if (!entry) break;
      this.now = entry.at;
      entry.then();
    }
    return this.told();
  }

  /** Nothing will change any more without somebody who decides. */
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
    const step = rolloutStep(this.state, events, { at: this.now, online, shadows: () => true });
    this.options.observer?.stepped(this.now, this.state, step);
    this.state = afterStep(this.state, step);
    for (const wish of step.wishes) this.devices.get(wish.device)?.hear(desiredOf(wish));
  }

  /** Who is away in this minute: each begins it in a second of its own, for devices do not come and go by the clock. */
  private weather(second: number): void {
    if (this.options.network.offline === 0) return;
    if (!this.brokerAway) this.connectSome(Math.floor(second / 60), second % 60, 60);
    this.agenda.add(this.now + minuteMs / 60, () => this.weather(second + 1));
  }

  /** The device of this index, and each so many-th after it. */
  private connectSome(minute: number, from: number, each: number): void {
    for (let i = from; i < this.everyone.length; i += each) {
      this.everyone[i]!.connect(!isAway(this.options.network, i, minute));
    }
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
      tried: all.filter(({ times }) => times.booted !== undefined).length,
      ...{ committed, failed, left: all.length - committed - failed },
    };
  }
}

function ofKind(kind: Release['kind'], reported: Reported): UpdateReport {
  const { rollout, state, golden, error, shadow, model: running } = reported;
  const told = { rollout, kind, state, golden, error, shadow };
  if (kind === 'firmware') return { ...told, model: null, firmware: { release: running } };
  return kind === 'config' ? { ...told, model: null, config: running } : { ...told, model: running };
}

function desiredOf({ wish, release, shadow }: Wish): Desired | null {
  if (release === null) return null;
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

/** As good as signed: what is rehearsed is not the signatures. */
function manifestOf(desired: Desired, bytes: number, issued: number): Manifest {
  const { kind, name, version, sequence } = desired;
  const digest = `sha256:${sequence.toString(16).padStart(64, '0')}`;
  return manifestSchema.parse({
    ...{ spec: 'aiot-manifest/1', role: 'release', kind, name, version, sequence, floor: 0 },
    ...{ issued, expires: null, deviceTypes: ['rehearsed'], artifacts: [{ name: 'bundle', digest, bytes }] },
  });
}
