import { AiotError, newId } from '../../core/index.js';
import type { Reported } from '../../device/index.js';
import {
  mayConnect,
  parseSelector,
  type RolloutEffect,
  type RolloutEvent,
  type RolloutState,
  type RolloutStep,
  type RolloutStore,
  rolloutStep,
  startRollout,
} from '../../fleet/index.js';
import { type Rollout, rolloutRequestSchema } from '../../registry/index.js';
import { serially } from '../serially.js';
import type { DesiredStates } from './desired.js';
import type { Devices } from './devices.js';
import type { Models } from './models.js';

export interface RolloutParts {
  store: RolloutStore;
  devices: Devices;
  models: Models;
  desired: DesiredStates;
  now: () => number;
}

type Listener = (rollout: Rollout) => void;

/**
 * Runs rollouts: events go through the fleet's state machine, the new state is saved, then its effects are carried out.
 * After a restart the running ones are taken up again; what was not offered yet is offered.
 */
export class Rollouts {
  private readonly running = new Map<string, RolloutState>();
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly inTurn = serially();

  constructor(private readonly parts: RolloutParts) {}

  async resume(): Promise<void> {
    for (const state of await this.parts.store.running()) {
      this.running.set(state.id, state);
      const pending = state.devices.filter((device) => device.state === 'pending');
      const effects = pending.map(({ name }): RolloutEffect => ({ type: 'offer', device: name }));
      await this.inTurn(() => this.offer(state, effects));
    }
    await this.tick();
  }

  /** @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_SELECTOR_INVALID, AIOT_ROLLOUT_EMPTY */
  start(value: unknown): Promise<Rollout> {
    // In turn with removals: what is rolled out is still there.
    return this.parts.models.inTurn(() => this.begin(value));
  }

  private async begin(value: unknown): Promise<Rollout> {
    const { model, sequence, selector, deadlineMs } = rolloutRequestSchema.parse(value);
    const matches = parseSelector(selector);
    const manifest = await this.parts.models.verified(sequence);
    const { name, version, deviceTypes } = manifest;
    if (manifest.model?.kind === 'network') {
      throw new AiotError(
        'AIOT_MODEL_UNFIT',
        `${name}@${version} is a network alone: nobody said what goes into it, so no device can run it`,
        { next: 'Push a project instead of a .tflite file: aiot model push' },
      );
    }
    if (name !== model.name || version !== model.version) {
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        `the manifest ${sequence} is for ${name}@${version}, not for ${model.name}@${model.version}`,
      );
    }
    const devices = this.parts.devices
      .records()
      .filter((device) => mayConnect(device.state) && deviceTypes.includes(device.type) && matches(device))
      .map((device) => device.name)
      .sort();
    if (devices.length === 0) {
      const types = deviceTypes.join(', ');
      throw new AiotError('AIOT_ROLLOUT_EMPTY', `no device of type ${types} matches "${selector}"`);
    }
    const created = this.parts.now();
    const plan = { id: newId('ro', created), model, sequence, selector, devices, created };
    return this.inTurn(async () => {
      await this.supersede(devices, created);
      return rolloutOf(await this.apply(startRollout({ ...plan, deadline: created + deadlineMs })));
    });
  }

  count(): Promise<number> {
    return this.parts.store.count();
  }

  async list(): Promise<Rollout[]> {
    return (await this.parts.store.list()).map(rolloutOf);
  }

  /** @throws AIOT_NOT_FOUND */
  async get(id: string): Promise<Rollout> {
    const state = this.running.get(id) ?? (await this.parts.store.get(id));
    if (state) return rolloutOf(state);
    throw new AiotError('AIOT_NOT_FOUND', `there is no rollout ${id}`);
  }

  /** Calls the listener with each new state until the returned function is called. */
  listen(id: string, listener: Listener): () => void {
    const listeners = this.listeners.get(id) ?? new Set();
    this.listeners.set(id, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.listeners.delete(id);
    };
  }

  /** Resolves when all that the report changes is saved. */
  async reported(device: string, report: Reported): Promise<void> {
    await this.tell([...this.running.keys()], { type: 'reported', device, at: this.parts.now(), report });
  }

  async revoked(device: string): Promise<void> {
    await this.tell([...this.running.keys()], { type: 'revoked', device, at: this.parts.now() });
  }

  /** Lets the deadlines pass. */
  async tick(): Promise<void> {
    const at = this.parts.now();
    const due = [...this.running.values()].filter(({ deadline }) => deadline <= at);
    await this.tell(
      due.map(({ id }) => id),
      { type: 'tick', at },
    );
  }

  private async tell(ids: string[], event: RolloutEvent): Promise<void> {
    for (const id of ids) await this.inTurn(() => this.step(id, event));
  }

  private async supersede(devices: string[], at: number): Promise<void> {
    for (const { id } of [...this.running.values()]) {
      for (const device of devices) await this.step(id, { type: 'superseded', device, at });
    }
  }

  private async step(id: string, event: RolloutEvent): Promise<void> {
    const before = this.running.get(id);
    if (before) await this.apply(rolloutStep(before, event), before);
  }

  /** Saves what has changed, then acts. What the offers lead to is saved in one go, however many they are. */
  private async apply({ state, effects }: RolloutStep, before?: RolloutState): Promise<RolloutState> {
    const changed = state.devices.filter((device, i) => device !== before?.devices[i]);
    if (changed.length === 0) return state;
    await this.parts.store.save(state, changed);
    if (state.state === 'running') this.running.set(state.id, state);
    else this.running.delete(state.id);
    for (const effect of effects) {
      if (effect.type === 'withdraw') await this.parts.desired.withdraw(effect.device, state.id);
    }
    const latest = await this.offer(state, effects);
    if (latest === state) {
      for (const listener of this.listeners.get(state.id) ?? []) listener(rolloutOf(state));
    }
    return latest;
  }

  private async offer(state: RolloutState, effects: RolloutEffect[]): Promise<RolloutState> {
    const devices = effects.flatMap((effect) => (effect.type === 'offer' ? [effect.device] : []));
    if (devices.length === 0) return state;
    const { id, model, sequence } = state;
    const manifest = `/api/v1/manifests/${sequence}`;
    await this.parts.desired.set(devices, { rollout: id, kind: 'model', ...model, sequence, manifest });
    const at = this.parts.now();
    const offered = devices.reduce(
      (before, device) => rolloutStep(before, { type: 'offered', device, at }).state,
      state,
    );
    return this.apply({ state: offered, effects: [] }, state);
  }
}

function rolloutOf({ deadline: _, ...rollout }: RolloutState): Rollout {
  return rollout;
}
