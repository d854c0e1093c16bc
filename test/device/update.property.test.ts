import { describe, expect, it } from 'vitest';
import type { Desired } from '../../src/lib/device/protocol/messages.js';
import { bootUpdate } from '../../src/lib/device/update/ending.js';
import { blankRecord, type DeviceRecord, type SlotIndex } from '../../src/lib/device/update/record.js';
import { updateStep } from '../../src/lib/device/update/step.js';
import type { UpdateEffect, UpdateEvent, UpdateMachine } from '../../src/lib/device/update/types.js';
import { ownFirmware } from '../../src/lib/device/virtual/firmware.js';
import type { Manifest } from '../../src/lib/formats/manifest/manifest.js';
import { fc, runs } from '../support/property.js';

const traits = { type: 'virtual', slotBytes: 1000, ...ownFirmware };
const digest = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}`;
const startMs = 1_700_000_000_000;

/** A device as plain values. Its flash keeps persisted records, and its slots keep downloads. */
class World {
  flash: DeviceRecord = blankRecord;
  /** Digest of the actual bytes in each slot; null if erased or incomplete. */
  truth: [string | null, string | null] = [null, null];
  /** Digests that were read back and passed all golden vectors. */
  readonly proven = new Set<string>();
  job: Extract<UpdateEffect, { attempt: number }> | null = null;
  state: UpdateMachine;

  constructor() {
    this.state = bootUpdate(blankRecord, [], traits).state;
  }

  boot() {
    const damaged = ([0, 1] as const).filter((slot) => {
      const content = this.flash.slots[slot];
      return content !== null && content.digest !== this.truth[slot];
    });
    this.job = null;
    const booted = bootUpdate(this.flash, damaged, traits);
    this.state = booted.state;
    this.perform(booted.effects, Number.POSITIVE_INFINITY);
  }

  /** Performs the first `limit` effects. Performing fewer than all of them simulates a power cut. */
  perform(effects: UpdateEffect[], limit: number) {
    for (const effect of effects.slice(0, limit)) {
      if (effect.type === 'persist') this.persist(effect.record);
      else if (effect.type === 'abort') this.job = null;
      else if ('attempt' in effect) this.job = effect;
    }
    if (effects.length > limit) this.boot();
  }

  send(event: UpdateEvent, limit = Number.POSITIVE_INFINITY) {
    const step = updateStep(this.state, event);
    this.state = step.state;
    this.perform(step.effects, limit);
  }

  persist(next: DeviceRecord) {
    const before = this.flash;
    expect(next.floor).toBeGreaterThanOrEqual(before.floor);
    expect(next.sequence).toBeGreaterThanOrEqual(before.sequence);
    expect(next.newestSigned).toBeGreaterThanOrEqual(before.newestSigned);
    // A release that was requested as a shadow never becomes the active one.
    const other = next.active !== before.active;
    if (other && next.last?.state === 'COMMITTED') expect(next.last.rollout).toMatch(/^rollout_/);
    this.flash = next;
    this.check();
  }

  check() {
    const { active, slots, trial } = this.flash;
    if (trial?.shadow) expect(trial.slot).not.toBe(active);
    if (active === null) {
      expect(this.flash.sequence).toBe(0);
      return;
    }
    const content = slots[active];
    expect(content).not.toBeNull();
    expect(this.truth[active]).toBe(content?.digest);
    expect(this.proven.has(content?.digest ?? '')).toBe(true);
  }

  /** Answers the current job as the outside world would. */
  answer(good: boolean, manifest: Manifest, limit: number) {
    const { job } = this;
    if (!job) return;
    const { attempt } = job;
    const erase = (slot: SlotIndex) => {
      expect(slot).not.toBe(this.flash.active);
      this.truth[slot] = null;
    };
    switch (job.type) {
      case 'fetchManifest':
        this.send({ type: 'manifest', attempt, manifest, now: null }, limit);
        return;
      case 'fetchBundle':
        erase(job.slot);
        this.send({ type: 'erased', attempt });
        if (this.job !== job) return;
        this.truth[job.slot] = good ? job.digest : digest(0xbad);
        this.send({ type: 'downloaded', attempt, bytes: job.bytes }, limit);
        return;
      case 'hashSlot':
        this.send({ type: 'hashed', attempt, digest: this.truth[job.slot] ?? digest(0) }, limit);
        return;
      case 'beginTrial':
        this.send({ type: 'trial', attempt }, limit);
        return;
      case 'runGolden':
        if (good) this.proven.add(this.truth[job.slot] ?? '');
        this.send({ type: 'golden', attempt, vectors: 4, passed: good ? 4 : 3 }, limit);
        return;
      case 'sendHeartbeat':
        this.send(
          good
            ? { type: 'heartbeat', attempt }
            : { type: 'failed', attempt, code: 'AIOT_UPDATE_HEARTBEAT', message: 'no answer' },
          limit,
        );
    }
  }
}

const desiredOf = (rollout: number, sequence: number, shadow: boolean): Desired => ({
  rollout: `${shadow ? 'shadow' : 'rollout'}_${rollout}`,
  ...(shadow ? { shadow: { everyMs: 1000 } } : {}),
  kind: 'model',
  name: 'motion',
  version: sequence,
  sequence,
  manifest: `/api/v1/manifests/${sequence}`,
});

const mostly = <A, B>(usual: A, other: fc.Arbitrary<B>) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });

const manifests = fc.record({
  own: mostly(true, fc.constant(false)),
  sequence: fc.integer({ min: 1, max: 6 }),
  floor: mostly(0, fc.integer({ min: 0, max: 7 })),
  issued: fc.integer({ min: 0, max: 5 }),
  expires: mostly(null, fc.integer({ min: 0, max: 8 })),
  type: mostly('virtual', fc.constant('esp32')),
  bytes: mostly(500, fc.constantFrom(0, 1, 1000, 1001)),
});

const actions = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('desire' as const),
      rollout: fc.nat(5),
      sequence: fc.integer({ min: 1, max: 6 }),
      shadow: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('withdraw' as const) }) },
  {
    weight: 40,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      good: fc.constant(true),
      manifest: manifests,
      limit: mostly(9, fc.nat(2)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      good: fc.constant(false),
      manifest: manifests,
      limit: fc.constant(9),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cut' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('stray' as const),
      kind: fc.nat(7),
      back: fc.integer({ min: 0, max: 2 }),
    }),
  },
);

/**
 * Events that nothing requested. A digest can only come from reading the slot, so a stray one belongs to an earlier
 * job.
 */
function stray(world: World, kind: number, back: number): UpdateEvent {
  const attempt = world.state.attempt - back;
  const events: UpdateEvent[] = [
    { type: 'erased', attempt: world.state.attempt - 1 },
    { type: 'progress', attempt, bytes: 5 },
    { type: 'downloaded', attempt, bytes: 5 },
    { type: 'hashed', attempt: world.state.attempt - 1 - back, digest: digest(1) },
    { type: 'golden', attempt: world.state.attempt - 1 - back, vectors: 4, passed: 4 },
    { type: 'heartbeat', attempt },
    { type: 'failed', attempt, code: 'AIOT_UPDATE_DOWNLOAD', message: 'broken' },
    { type: 'trial', attempt },
  ];
  return events[kind] as UpdateEvent;
}

function play(world: World, action: typeof actions extends fc.Arbitrary<infer A> ? A : never) {
  switch (action.do) {
    case 'desire':
      world.send({ type: 'desired', desired: desiredOf(action.rollout, action.sequence, action.shadow) });
      return;
    case 'withdraw':
      world.send({ type: 'withdrawn' });
      return;
    case 'cut':
      world.boot();
      return;
    case 'stray':
      world.send(stray(world, action.kind, action.back));
      return;
    case 'answer': {
      const { manifest: m } = action;
      const sequence = m.own ? (world.state.job?.desired?.sequence ?? m.sequence) : m.sequence;
      world.answer(
        action.good,
        {
          spec: 'aiot-manifest/1',
          interface: 1,
          role: 'release',
          kind: 'model',
          name: 'motion',
          version: sequence,
          sequence,
          floor: m.floor,
          issued: startMs + m.issued,
          expires: m.expires === null ? null : startMs + m.expires,
          deviceTypes: [m.type],
          artifacts: [{ name: 'bundle', digest: digest(sequence), bytes: m.bytes }],
        },
        action.limit,
      );
    }
  }
}

describe('the update state machine', () => {
  it('keeps a proven active version, and never lowers the floor, the sequence, or the signed time', () => {
    let [committed, shadows] = [0, 0];
    fc.assert(
      fc.property(fc.array(actions, { minLength: 1, maxLength: 80, size: 'max' }), (sequence) => {
        const world = new World();
        let hadActive = false;
        for (const action of sequence) {
          play(world, action);
          world.check();
          if (hadActive) expect(world.flash.active).not.toBeNull();
          hadActive ||= world.flash.active !== null;
          if (world.state.phase === 'SHADOW') shadows++;
        }
        if (hadActive) committed++;
      }),
      { numRuns: runs(1500, 1500), seed: 7 },
    );
    // The property would be meaningless if no update ever succeeded.
    expect(committed).toBeGreaterThan(200);
    expect(shadows).toBeGreaterThan(200);
  });

  it('always finishes when its requests are answered', () => {
    fc.assert(
      fc.property(fc.array(actions, { maxLength: 40, size: 'max' }), (sequence) => {
        const world = new World();
        for (const action of sequence) play(world, action);
        const last = {
          own: true,
          sequence: 6,
          floor: 0,
          issued: 5,
          expires: null,
          type: 'virtual',
          bytes: 10,
        };
        for (let i = 0; i < 40 && world.state.job; i++)
          play(world, { do: 'answer', good: true, manifest: last, limit: 9 });
        // A shadow runs until a different release is requested.
        if (world.state.phase === 'SHADOW') world.send({ type: 'withdrawn' });
        expect(world.state.job).toBeNull();
        expect(['IDLE', 'COMMITTED', 'ROLLED_BACK']).toContain(world.state.phase);
      }),
      { numRuns: runs(300), seed: 7 },
    );
  });
});
