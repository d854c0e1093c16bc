import { AiotError } from '../../core/errors.js';
import type { BootReason } from '../../formats/vitals.js';
import type { Desired, ShadowFigures } from '../protocol/messages.js';
import { bootUpdate } from '../update/ending.js';
import { blankRecord, type DeviceRecord, type SlotContent } from '../update/record.js';
import { updateStep } from '../update/step.js';
import type { DeviceTraits, UpdateEffect, UpdateEvent, UpdateMachine } from '../update/types.js';
import { ownFirmware } from '../virtual/firmware.js';
import { configFlashBytes, defaultSlotBytes } from '../virtual/types.js';
import type { FaultKind } from './network.js';
import type { FleetSource, Program } from './source.js';

/** The parts of a device that the update of one kind (model, firmware or configuration) uses. */
export interface PartPorts {
  readonly shared: { blanks: Record<Kind, UpdateMachine>; source: FleetSource; now: () => number };
  readonly fault: FaultKind | undefined;
  /** Whether every update on this device fails. */
  readonly rigged: boolean;
  /** Calls `then` after the network's latency. */
  later(then: () => void): void;
  /** Reports this kind. Returns the packet id that the broker will acknowledge; 0 = offline. */
  tell(kind: Kind): number;
  activated(kind: Kind): void;
  runShadow(isOn: boolean): void;
  /** Restarts the device, which loses everything but the flash. `into`: the program on trial; null = the current one. */
  restart(into: Program | null, reason?: BootReason): void;
  /** The active content of this kind. */
  active(kind: Kind): SlotContent | null;
}

/**
 * The update of one kind on a device in a fleet, from power-on to the next restart. Its record represents the flash.
 */
export class Part {
  state: UpdateMachine;
  /** Digest of the downloaded bytes. */
  private got = '';
  /** The report whose acknowledgment ends the trial: the packet id, and the report's update attempt. */
  private heartbeat: { attempt: number; id: number } | null = null;
  /** The desired release into whose firmware the device restarted. */
  private entered: string | null = null;
  private isOver = false;

  constructor(
    readonly kind: Kind,
    private readonly ports: PartPorts,
  ) {
    this.state = ports.shared.blanks[kind];
  }

  /** Starts from the contents of the flash. @param entered whether the running program is the program on trial */
  boot(record: DeviceRecord, entered: boolean): void {
    if (entered && this.kind === 'firmware') this.entered = record.trial?.rollout ?? null;
    const { state, effects } = bootUpdate(record, [], this.state.traits);
    this.state = state;
    for (const effect of effects) this.perform(effect);
  }

  /** Ends the update. Results of pending work are then ignored. */
  end(): void {
    this.isOver = true;
  }

  feed(event: UpdateEvent): void {
    if (this.isOver) return;
    const step = updateStep(this.state, event);
    this.state = step.state;
    for (const effect of step.effects) this.perform(effect);
  }

  /**
   * If the trial still waits for the acknowledgment of its heartbeat report, sends the report again over the new
   * connection.
   */
  beat(): void {
    if (this.heartbeat) this.heartbeat.id = this.ports.tell(this.kind);
  }

  acknowledged(id: number): void {
    if (!this.heartbeat || this.heartbeat.id !== id) return;
    const { attempt } = this.heartbeat;
    this.heartbeat = null;
    this.feed({ type: 'heartbeat', attempt });
  }

  failed(attempt: number, error: unknown): void {
    const code = error instanceof AiotError ? error.code : 'AIOT_UPDATE_DOWNLOAD';
    const message = error instanceof Error ? error.message : String(error);
    this.ports.later(() => this.feed({ type: 'failed', attempt, code, message }));
  }

  /** Runs both models over the windows once; null if there is nothing to compare. */
  async measured(): Promise<ShadowFigures | null> {
    const { slots, trial } = this.state.record;
    const [one, other] = [this.active, trial && slots[trial.slot]];
    return one && other ? this.ports.shared.source.shadow(one.digest, other.digest) : null;
  }

  get active(): SlotContent | null {
    const { active, slots } = this.state.record;
    return active === null ? null : slots[active];
  }

  private get isEntered(): boolean {
    const { trial } = this.state.record;
    return trial !== null && trial.rollout === this.entered;
  }

  private perform(effect: UpdateEffect): void {
    const { kind, ports } = this;
    if (this.isOver) return;
    if (effect.type === 'report') ports.tell(kind);
    else if (effect.type === 'shadow') ports.runShadow(effect.slot !== null);
    else if (effect.type === 'activate') ports.activated(kind);
    else if (effect.type === 'abandon' && kind === 'firmware') ports.restart(null);
    else if ('attempt' in effect) this.job(effect);
  }

  private job(effect: Extract<UpdateEffect, { attempt: number }>): void {
    const { attempt } = effect;
    this.answer(effect).then(
      (event) => event && this.ports.later(() => this.feed(event)),
      (error: unknown) => this.failed(attempt, error),
    );
  }

  private async answer(effect: Extract<UpdateEffect, { attempt: number }>): Promise<UpdateEvent | null> {
    const { attempt } = effect;
    const { shared, fault } = this.ports;
    const { source, now } = shared;
    switch (effect.type) {
      case 'fetchManifest':
        return { type: 'manifest', attempt, manifest: await source.manifest(effect.path), now: now() };
      case 'fetchBundle': {
        if (fault === 'download') throw new AiotError('AIOT_UPDATE_DOWNLOAD', 'no data arrives');
        if (!effect.resume) this.feed({ type: 'erased', attempt });
        const { bytes, digest } = await source.blob(effect.digest);
        this.got = digest;
        this.feed({ type: 'progress', attempt, bytes });
        return { type: 'downloaded', attempt, bytes };
      }
      case 'hashSlot':
        return { type: 'hashed', attempt, digest: this.got };
      case 'beginTrial':
        return { type: 'trial', attempt, entered: this.isEntered };
      case 'runGolden':
        return this.trial(attempt, effect.slot);
      case 'sendHeartbeat':
        this.heartbeat = { attempt, id: this.ports.tell(this.kind) };
        return null;
    }
  }

  private async trial(attempt: number, slot: 0 | 1): Promise<UpdateEvent | null> {
    const { ports } = this;
    const { slots, trial } = this.state.record;
    const content = slots[slot];
    if (!content) return null;
    if (this.kind === 'firmware' && !this.isEntered) {
      const program = await ports.shared.source.program(content);
      if (!this.isOver) ports.restart(program);
      return null;
    }
    if (ports.fault === 'silent') return null;
    if (ports.fault === 'power' && trial?.tries === 1) {
      ports.restart(null, 'power-on');
      return null;
    }
    return { type: 'golden', attempt, ...(await this.verdict(content)) };
  }

  /** Result of the golden vectors. Firmware and configurations have none, so their numbers are placeholders. */
  private async verdict({ digest }: SlotContent): Promise<{ vectors: number; passed: number }> {
    const { ports } = this;
    const { source } = ports.shared;
    const wrong = ports.fault === 'golden' || ports.rigged;
    if (this.kind === 'model') {
      const { vectors, passed } = await source.golden(digest);
      return { vectors, passed: wrong ? Math.max(0, passed - 1) : passed };
    }
    if (wrong) throw this.refusal();
    if (this.kind === 'config') await source.configure(digest, ports.active('model')?.digest ?? null);
    return { vectors: 0, passed: 0 };
  }

  private refusal(): AiotError {
    if (this.kind === 'firmware') return new AiotError('AIOT_UPDATE_TRIAL', "the program's self-test failed");
    return new AiotError('AIOT_CONFIG_UNFIT', 'the device does not work with this version');
  }
}

export type Kind = Desired['kind'];

/** Size of one slot, bytes. A firmware slot is as large as the largest ESP32 flash. */
const slotBytes = { model: defaultSlotBytes, firmware: 16 * 1024 ** 2, config: configFlashBytes / 4 };

/**
 * The update machines of a factory-new device, one for each kind. All devices in a fleet share these objects until
 * their own state changes.
 */
export function blankMachines(type: string): Record<Kind, UpdateMachine> {
  const { interface: needed, modes, features, firmware } = ownFirmware;
  const blank = (kind: Kind) => {
    const runs = { interface: needed, modes, features, firmware };
    const traits: DeviceTraits = { type, kind, slotBytes: slotBytes[kind], ...runs };
    return bootUpdate(blankRecord, [], traits).state;
  };
  return { model: blank('model'), firmware: blank('firmware'), config: blank('config') };
}
