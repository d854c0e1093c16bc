import { AiotError } from '../../core/errors.js';
import { dictionary, newId } from '../../core/names.js';
import type { CrashReport } from '../../formats/crash.js';
import type { BootReason, Vitals } from '../../formats/vitals.js';
import { decodeMessage, topicOf } from '../protocol/codec.js';
import { type Desired, desiredSchema, type Reported, type ShadowFigures } from '../protocol/messages.js';
import { Prover } from '../update/prover.js';
import { reportOfAll, runningOf, type SlotContent } from '../update/record.js';
import type { UpdateMachine } from '../update/types.js';
import { type Door, Line } from './line.js';
import { type Kind, Part, type PartPorts } from './member-part.js';
import { arrivals, asks, chanceOf, delayOf, type FaultKind, isRigged, type Network } from './network.js';
import type { FleetSource, Program } from './source.js';

/** Settings that all devices in a fleet share. */
export interface Shared {
  network: Network;
  /** Speed-up factor of the fleet's clock. */
  clock: number;
  /** Initial state for each kind of update. */
  blanks: Record<Kind, UpdateMachine>;
  source: FleetSource;
  now: () => number;
  onMessage(direction: 'sent' | 'heard'): void;
  onOnline(delta: 1 | -1): void;
}

/** Delays before consecutive reconnection attempts, in ms of the fleet's time; the last one repeats. */
const reconnectMs = [1000, 2000, 5000, 10_000, 20_000, 60_000];

/** Minimum duration of a restart, ms; the maximum is twice as long. */
const bootMs = 2000;

/** One device in a fleet: its connection, and an update machine for each kind of update that was ever requested. */
export class Member implements PartPorts {
  private parts: Part[] = [];
  /** The kind of the last desired release, to which reports refer. */
  private speaks: Kind = 'model';
  private line: Line | null = null;
  private events = 0;
  private losses = 0;
  private readonly inOrder = arrivals(() => this.delay());
  private boots = 0;
  private began: number;
  private bootReason: BootReason = 'power-on';
  /** Releases after whose commit the device has crashed (fault `crash`). */
  private readonly crashedWith = new Set<string>();
  /** The report of a crash, until it has been sent after the restart. */
  private crashReport: CrashReport | null = null;
  /** Whether the device is restarting. */
  private off = false;
  /** Firmware installed over the air, and firmware on trial. */
  private program: Program | null = null;
  private tried: Program | null = null;
  private up = false;
  private wanted = false;
  private stopped = false;
  private retry: NodeJS.Timeout | null = null;
  private whenReady: ((error: Error | null) => void) | null = null;
  private readonly prover: Prover;
  private readonly shadow: MemberShadow;

  constructor(
    readonly name: string,
    readonly index: number,
    private readonly door: Door,
    readonly shared: Shared,
    readonly fault: FaultKind | undefined,
  ) {
    const { now, clock: speed } = shared;
    this.began = now();
    this.prover = new Prover({ signer: door.signer, now, speed, report: () => this.report() });
    this.shadow = new MemberShadow({
      speed,
      measure: async () => this.known('model')?.measured() ?? null,
      report: () => this.report(),
      fail: (error) => this.known('model')?.failed(this.machine('model').attempt, error),
    });
  }

  get online(): boolean {
    return this.line?.ready ?? false;
  }

  /** Phase of the last update. */
  get phase(): string {
    return this.machine(this.speaks).phase;
  }

  running(kind: Kind): Reported['model'] {
    return runningOf(this.machine(kind));
  }

  private known(kind: Kind): Part | undefined {
    return this.parts.find((part) => part.kind === kind);
  }

  private machine(kind: Kind): UpdateMachine {
    return this.known(kind)?.state ?? this.shared.blanks[kind];
  }

  /**
   * Resolves with null when the device is connected, or with the error of a rejected attempt. After an error, the device keeps trying.
   */
  connect(): Promise<Error | null> {
    this.wanted = true;
    if (this.fault === 'offline') return Promise.resolve(null);
    return new Promise((resolve) => {
      this.whenReady = resolve;
      this.open();
    });
  }

  ping(): void {
    this.line?.ping();
  }

  /** Takes the device offline or brings it back online. When back, it sends its current state. */
  away(isAway: boolean): void {
    if (this.stopped || this.fault === 'offline') return;
    this.wanted = !isAway;
    if (isAway) this.line?.cut();
    else if (!this.line) this.open();
  }

  stop(): void {
    this.stopped = true;
    this.wanted = false;
    this.prover.stop();
    this.shadow.run(false);
    for (const part of this.parts) part.end();
    if (this.retry) clearTimeout(this.retry);
    this.line?.cut();
  }

  private open(): void {
    if (this.line || this.stopped || this.off || !this.wanted) return;
    const { shared, name } = this;
    const door = this.door;
    const line = new Line({
      ...{ name, door, now: shared.now, onMessage: shared.onMessage },
      onReady: () => this.ready(line),
      onDesired: (payload) => this.hear(payload),
      onAcknowledged: (id) => {
        for (const part of this.parts) part.acknowledged(id);
      },
      onClosed: (error) => this.closed(line, error),
    });
    this.line = line;
  }

  private ready(line: Line): void {
    this.losses = 0;
    this.up = true;
    this.shared.onOnline(1);
    line.publish('presence', { online: true, t: this.shared.now() });
    this.report();
    for (const part of this.parts) part.beat();
    if (this.crashReport) line.publish('crash', this.crashReport);
    this.crashReport = null;
    this.whenReady?.(null);
    this.whenReady = null;
  }

  private closed(line: Line, error: Error | null): void {
    if (this.line !== line) return;
    this.line = null;
    if (this.up) this.shared.onOnline(-1);
    this.up = false;
    this.whenReady?.(error ?? new Error(`${this.name} was disconnected`));
    this.whenReady = null;
    if (!this.wanted || this.stopped || this.off) return;
    const wait = reconnectMs[Math.min(this.losses, reconnectMs.length - 1)]!;
    const { network, clock } = this.shared;
    const spread = 0.5 + chanceOf(network.seed, this.index, asks.retry, this.losses++);
    this.retry = setTimeout(() => this.open(), (wait * spread) / clock);
  }

  private report(): number {
    if (!this.line?.ready) return 0;
    const [model, config] = [this.machine('model'), this.machine('config')];
    const machines = { model, config, firmware: this.machine('firmware') };
    const all = reportOfAll(machines, this.speaks, this.shared.now());
    const program = this.tried ?? this.program;
    const told = program && all.firmware ? { ...all, firmware: { ...all.firmware, ...program } } : all;
    const whole = { ...told, vitals: this.vitals(this.line.waiting) };
    return this.line.publish('reported', this.prover.prove(this.shadow.told(whole)));
  }

  /** The vitals of a virtual device; the uptime is in the device's own time. @param waiting messages without acknowledgment */
  private vitals(waiting: number): Vitals {
    const { now, clock } = this.shared;
    return {
      uptimeMs: Math.max(0, Math.round((now() - this.began) * clock)),
      boot: { reason: this.bootReason },
      queue: { waiting, dropped: 0 },
      ...(this.fault === 'battery' ? { battery: { percent: 3 } } : {}),
    };
  }

  private hear(payload: Buffer): void {
    try {
      const topic = topicOf(this.name, 'desired');
      const wish = payload.length === 0 ? null : decodeMessage(desiredSchema, topic, payload);
      this.prover.wish(wish);
      if (wish) this.shadow.wish(wish);
      this.inOrder(() => this.desire(wish));
    } catch (error) {
      // An invalid payload is ignored, as on the virtual device.
      if (!(error instanceof AiotError)) throw error;
    }
  }

  /** Handles a new desired release. Only one update runs at a time, so the updates of all other kinds are withdrawn. */
  private desire(wish: Desired | null): void {
    if (this.off || this.stopped) return;
    for (const part of this.parts) if (part.kind !== wish?.kind) part.feed({ type: 'withdrawn' });
    if (!wish) return;
    const part = this.known(wish.kind) ?? new Part(wish.kind, this);
    if (!this.parts.includes(part)) this.parts.push(part);
    part.feed({ type: 'desired', desired: wish });
  }

  /** Calls `then` after the network's latency. */
  later(then: () => void): void {
    const ms = this.delay();
    if (ms < 1) setImmediate(then);
    else setTimeout(then, ms);
  }

  private delay(): number {
    const { network, clock } = this.shared;
    return delayOf(network, this.index, this.events++) / clock;
  }

  get rigged(): boolean {
    return isRigged(this.shared.network, this.index);
  }

  /**
   * Reports the state of this kind's update. Later reports concern the same kind until this method is called with
   * another kind.
   */
  tell(kind: Kind): number {
    // Nothing is reported during a boot, and the reported kind does not change.
    if (this.off) return 0;
    this.speaks = kind;
    return this.report();
  }

  activated(kind: Kind): void {
    this.prover.use(kind);
    const { digest } = this.known(kind)?.active ?? {};
    if (this.fault === 'crash' && digest !== undefined && !this.crashedWith.has(digest)) {
      this.crashedWith.add(digest);
      setTimeout(() => this.crash(), bootMs / this.shared.clock).unref();
    }
    if (kind !== 'firmware' || this.off || !this.tried) return;
    this.program = this.tried;
    this.tried = null;
  }

  /** Crashes, and reports it after the restart. */
  private crash(): void {
    if (this.off || this.stopped) return;
    const t = this.shared.now();
    const { version = '0', ...named } = this.program ?? this.machine('model').traits.firmware ?? {};
    this.crashReport = {
      ...{ id: newId('crash', t), t, kind: 'exception', reason: 'simulated crash, a fault of the fleet' },
      firmware: { ...named, version },
      backtrace: [{ function: 'simulated_fault' }],
    };
    this.restart(null, 'panic');
  }

  runShadow(isOn: boolean): void {
    this.shadow.run(isOn);
  }

  active(kind: Kind): SlotContent | null {
    return this.known(kind)?.active ?? null;
  }

  restart(into: Program | null, reason: BootReason = 'software'): void {
    if (this.off || this.stopped) return;
    this.off = true;
    this.bootReason = reason;
    if (this.retry) clearTimeout(this.retry);
    this.line?.cut();
    this.shadow.run(false);
    for (const part of this.parts) part.end();
    const { network, clock } = this.shared;
    const spread = 1 + chanceOf(network.seed, this.index, asks.restart, this.boots++);
    setTimeout(() => this.boot(into), (bootMs * spread) / clock);
  }

  /** Starts from the contents of the flash. */
  private boot(into: Program | null): void {
    if (this.stopped) return;
    this.tried = into;
    this.began = this.shared.now();
    const before = this.parts;
    this.parts = before.map(({ kind }) => new Part(kind, this));
    for (const [i, part] of this.parts.entries()) part.boot(before[i]!.state.record, into !== null);
    this.off = false;
    this.open();
  }
}

interface MemberShadowPorts {
  /** Speed-up factor of the device's clock. */
  speed: number;
  /** Runs both models over the available windows once; null = there is nothing to compare. */
  measure(): Promise<ShadowFigures | null>;
  report(): void;
  fail(error: unknown): void;
}

/** Minimum interval between shadow reports at any clock speed, ms. */
const leastMs = 50;

/** The shadow on a device in a fleet. Without a sensor, it repeats the same windows for each report. */
class MemberShadow {
  private everyMs = 10_000;
  private timer: NodeJS.Timeout | undefined;
  private figures: ShadowFigures | null = null;

  constructor(private readonly ports: MemberShadowPorts) {}

  wish({ shadow }: Desired): void {
    if (shadow) this.everyMs = shadow.everyMs;
  }

  run(isOn: boolean): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.figures = null;
    if (!isOn) return;
    const pass = () => this.pass(timer);
    const timer = setInterval(pass, Math.max(leastMs, this.everyMs / this.ports.speed)).unref();
    this.timer = timer;
    pass();
  }

  told(reported: Reported): Reported {
    return this.figures ? { ...reported, shadow: this.figures } : reported;
  }

  private pass(timer: NodeJS.Timeout): void {
    this.ports.measure().then(
      (figures) => {
        if (this.timer !== timer || !figures) return;
        this.figures = this.figures ? sum(this.figures, figures) : figures;
        this.ports.report();
      },
      (error: unknown) => {
        if (this.timer !== timer) return;
        this.run(false);
        this.ports.fail(error);
      },
    );
  }
}

function sum(before: ShadowFigures, more: ShadowFigures): ShadowFigures {
  const side = (which: 'active' | 'candidate') => {
    const labels = Object.assign(dictionary<number>(), before[which].labels);
    for (const [label, count] of Object.entries(more[which].labels))
      labels[label] = (labels[label] ?? 0) + count;
    return { ...more[which], labels };
  };
  return {
    windows: before.windows + more.windows,
    disagreements: before.disagreements + more.disagreements,
    ...{ active: side('active'), candidate: side('candidate') },
  };
}
