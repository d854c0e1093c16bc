import type { Manifest } from '../../formats/manifest/manifest.js';
import type { Desired, Reported } from '../protocol/messages.js';
import { bootUpdate } from '../update/ending.js';
import { blankRecord, reportOf } from '../update/record.js';
import { updateStep } from '../update/step.js';
import type { DeviceTraits, UpdateEffect, UpdateEvent, UpdateMachine } from '../update/types.js';
import type { Kind } from './member-part.js';
import { asks, chanceOf, delayOf, isRigged, type Network } from './network.js';

/** Conditions shared by all devices in a rehearsal. */
export interface RehearsedNetwork extends Network {
  /** Share of updates with a power cut in the first trial. */
  powerCuts: number;
  /** Probability that an updated device crashes within an hour; absent = 0. */
  crashRate?: number;
  /** A device's download rate, bytes per second. */
  bytesPerSecond: number;
}

/** Environment of a rehearsed device. Simulated time advances after all work at the current time is done. */
export interface RehearsedWorld {
  network: RehearsedNetwork;
  /** ms since 1970 */
  now(): number;
  later(ms: number, then: () => void): void;
  /** The manifest of a release, treated as verified. */
  manifest(desired: Desired): Manifest;
  /** Called when a report reaches the platform. */
  report(device: string, kind: Kind, reported: Reported): void;
  /** Called when the report of a device reaches the platform that has applied settings, or rejected them. */
  settled(device: string, wish: string, error: { code: string; message: string } | null): void;
  traffic?: RehearsedTraffic;
}

/** Settings that a device should use. */
export interface SettingsWish {
  wish: string;
  /** Whether these are the settings that the device used before. */
  isFormer: boolean;
}

/** A device's traffic, apart from its reports. Times are ms since 1970. */
export interface RehearsedTraffic {
  /** Called when the device has connected again and subscribes. */
  connected(at: number, device: string): void;
  /** Called when the device has requested the manifest, or this many bytes of the artifact. */
  fetched(at: number, device: string, what: 'manifest' | 'blob', bytes: number): void;
}

const traits = (kind: Kind): DeviceTraits => ({
  kind,
  ...{ type: 'rehearsed', slotBytes: 2 ** 31, interface: 2 ** 20, modes: [] },
  features: ['shadow'],
});
/** Predictions are not rehearsed. A shadow therefore always agrees with the model in use. */
const side = { p50Ms: 1, p95Ms: 1, arenaBytes: 0, labels: {} };
const agreed = { windows: 1_000_000, disagreements: 0, active: side, candidate: side };
const bootMs = 2000;
/** Time from the start of a trial until the artifact runs, ms. */
const trialMs = 2000;
const vectors = 3;

/**
 * A device in a rehearsal. It uses the virtual device's update state machines, one for each kind, and randomly
 * generated network, flash and power events.
 */
export class RehearsedDevice {
  online = true;
  /** When the device was last connected, ms since 1970; null while it is online. */
  left: number | null = null;
  private readonly parts = new Map<Kind, UpdateMachine>();
  /** The desired release into whose firmware the device was restarted. */
  private entered: string | null = null;
  /** The desired release that the broker retains and delivers when the device connects; undefined = no new one. */
  private wish: Desired | null | undefined;
  /** The settings that the broker delivers when the device connects; null = no new ones. */
  private settings: SettingsWish | null = null;
  /** Work that waits for the connection. */
  private waiting: (() => void)[] = [];
  private messages = 0;
  private updates = 0;
  /** Arrival time of the last message in each direction, ms. Later messages must not arrive before this time. */
  private heardBy = 0;
  private toldBy = 0;

  constructor(
    readonly name: string,
    private readonly index: number,
    private readonly world: RehearsedWorld,
  ) {}

  hear(wish: Desired | null): void {
    this.wish = wish;
    if (this.online) this.listen();
  }

  /** The settings that the device should use. A withdrawal is not reported, because the device keeps no trace of it. */
  hearSettings(wish: SettingsWish | null): void {
    this.settings = wish;
    if (this.online) this.applySettings();
  }

  private applySettings(): void {
    const wish = this.settings;
    if (wish === null) return;
    const { world } = this;
    const error =
      isRigged(world.network, this.index) && !wish.isFormer
        ? { code: 'AIOT_SETTINGS_REJECTED', message: 'the device rejects the settings' }
        : null;
    world.later(2 * this.delay(), () => {
      // Newer settings have replaced these. A device that has lost its connection reports when it connects again.
      if (this.settings !== wish || !this.online) return;
      this.settings = null;
      world.settled(this.name, wish.wish, error);
    });
  }

  /** Goes offline or comes back online. */
  connect(online: boolean): void {
    if (online === this.online) return;
    this.online = online;
    this.left = online ? null : this.world.now();
    if (!online) return;
    this.world.traffic?.connected(this.world.now(), this.name);
    for (const kind of this.parts.keys()) this.tell(kind);
    this.listen();
    this.applySettings();
    for (const then of this.waiting.splice(0)) then();
  }

  private listen(): void {
    const { world } = this;
    const wish = this.wish;
    if (wish === undefined) return;
    this.wish = undefined;
    const now = world.now();
    this.heardBy = Math.max(this.heardBy, now + this.delay());
    world.later(this.heardBy - now, () => {
      if (wish) this.feed(wish.kind, { type: 'desired', desired: wish });
      else for (const kind of this.parts.keys()) this.feed(kind, { type: 'withdrawn' });
    });
  }

  private feed(kind: Kind, event: UpdateEvent): void {
    const before = this.parts.get(kind) ?? bootUpdate(blankRecord, [], traits(kind)).state;
    const { state, effects } = updateStep(before, event);
    this.parts.set(kind, state);
    for (const effect of effects) this.perform(kind, effect);
  }

  private perform(kind: Kind, effect: UpdateEffect): void {
    if (effect.type === 'report' || effect.type === 'shadow') this.tell(kind);
    else if (effect.type === 'abandon' && kind === 'firmware') this.restart(kind, false);
    else if ('attempt' in effect) this.work(kind, effect);
  }

  private tell(kind: Kind): void {
    const state = this.parts.get(kind);
    // Reports made while offline are sent on reconnection.
    if (!this.online || !state) return;
    const { world } = this;
    const now = world.now();
    const shadow = state.phase === 'SHADOW' ? { shadow: agreed } : {};
    const reported = { ...reportOf(state, now), ...shadow };
    this.toldBy = Math.max(this.toldBy, now + this.delay());
    world.later(this.toldBy - now, () => world.report(this.name, kind, reported));
  }

  private work(kind: Kind, effect: Extract<UpdateEffect, { attempt: number }>): void {
    const { attempt } = effect;
    const { network, now } = this.world;
    const answer = (ms: number, event: UpdateEvent, line: boolean) =>
      this.world.later(ms, () => {
        if (line && !this.online) this.waiting.push(() => this.feed(kind, event));
        else this.feed(kind, event);
      });
    const desired = this.parts.get(kind)?.job?.desired;
    switch (effect.type) {
      case 'fetchManifest':
        if (!desired) return;
        this.world.traffic?.fetched(now(), this.name, 'manifest', 0);
        answer(
          2 * this.delay(),
          { type: 'manifest', attempt, manifest: this.world.manifest(desired), now: now() },
          true,
        );
        return;
      case 'fetchBundle': {
        const { bytes } = effect;
        this.world.traffic?.fetched(now(), this.name, 'blob', bytes);
        if (!effect.resume) this.feed(kind, { type: 'erased', attempt });
        this.feed(kind, { type: 'progress', attempt, bytes });
        const ms = this.delay() + (bytes / network.bytesPerSecond) * 1000;
        answer(ms, { type: 'downloaded', attempt, bytes }, true);
        return;
      }
      case 'hashSlot':
        answer(effect.bytes / 1000, { type: 'hashed', attempt, digest: this.digestOf(kind) }, false);
        return;
      case 'beginTrial':
        answer(
          this.isEntered(kind) ? 0 : trialMs,
          { type: 'trial', attempt, entered: this.isEntered(kind) },
          false,
        );
        return;
      case 'runGolden':
        this.golden(kind, attempt);
        return;
      case 'sendHeartbeat':
        answer(2 * this.delay(), { type: 'heartbeat', attempt }, true);
    }
  }

  private isEntered(kind: Kind): boolean {
    const { trial } = this.parts.get(kind)?.record ?? blankRecord;
    return kind === 'firmware' && trial !== null && trial.rollout === this.entered;
  }

  private golden(kind: Kind, attempt: number): void {
    const { network, later } = this.world;
    const first = this.parts.get(kind)?.record.trial?.tries === 1;
    const cut = chanceOf(network.seed, this.index, asks.power, this.updates) < network.powerCuts;
    if (first && cut) {
      this.updates++;
      this.restart(kind, false);
      return;
    }
    if (kind === 'firmware' && !this.isEntered(kind)) {
      this.restart(kind, true);
      return;
    }
    later(100, () => this.feed(kind, this.verdict(kind, attempt)));
  }

  private verdict(kind: Kind, attempt: number): UpdateEvent {
    const isBad = isRigged(this.world.network, this.index);
    if (kind === 'model') return { type: 'golden', attempt, vectors, passed: isBad ? vectors - 1 : vectors };
    if (!isBad) return { type: 'golden', attempt, vectors: 0, passed: 0 };
    const code = kind === 'firmware' ? 'AIOT_UPDATE_TRIAL' : 'AIOT_CONFIG_UNFIT';
    return { type: 'failed', attempt, code, message: 'the new version does not work' };
  }

  /**
   * Restarts the device, which loses everything but the flash.
   * @param entered whether the device restarts into firmware on trial
   */
  private restart(kind: Kind, entered: boolean): void {
    const record = this.parts.get(kind)!.record;
    this.connect(false);
    this.world.later(bootMs, () => {
      this.entered = entered ? (record.trial?.rollout ?? null) : null;
      const { state, effects } = bootUpdate(record, [], traits(kind));
      this.parts.set(kind, state);
      this.connect(true);
      for (const effect of effects) this.perform(kind, effect);
    });
  }

  private digestOf(kind: Kind): string {
    return this.parts.get(kind)?.job?.manifest?.artifacts[0]?.digest ?? '';
  }

  private delay(): number {
    this.messages += 1;
    return delayOf(this.world.network, this.index, this.messages);
  }
}
