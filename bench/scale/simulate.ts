// The traffic of a rollout over any number of devices. It runs the real rollout engine and the devices' update state machine in virtual
// time, and counts all messages and stored data.

import { type RolloutPolicyInput, rolloutPlanSchema } from '../../src/lib/api/rollouts/schema.js';
import type { RehearsedNetwork } from '../../src/lib/device/fleet/rehearsed.js';
import { encodeMessage, topicOf } from '../../src/lib/device/protocol/codec.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { type Rehearsal, type RehearsalObserver, rehearse } from '../../src/lib/fleet/rehearse.js';
import type { RolloutHead, RolloutState, RolloutStep, Wish } from '../../src/lib/fleet/rollout/types.js';
import { desiredOf } from '../../src/lib/platform/devices/desired.js';
import { type DeviceRecord, ofReports, ofSightings } from '../../src/lib/platform/devices/devices.js';
import { movedEvents } from '../../src/lib/platform/releases/rollout-store.js';
import { ackBytes, connectBytes, publishBytes } from './sizes.js';

export interface ScaleOptions {
  devices: number;
  policy: RolloutPolicyInput;
  network: RehearsedNetwork;
  /** Sizes of the artifact, its signed manifest, and a device's signature, in bytes. */
  bytes: { blob: number; manifest: number; proof: number };
}

/** Names of the counters that are kept for each second. */
export const counted = [
  'offers',
  'messagesDown',
  'messagesUp',
  'acks',
  'bytesDown',
  'bytesUp',
  'rows',
  'connects',
  'manifests',
  'blobs',
] as const;
export type Counted = (typeof counted)[number];
export type Counts = Record<Counted, number>;

export interface ScaleWave {
  devices: number;
  /** Seconds from the beginning of the rollout. */
  from: number;
  until: number;
  mean: Counts;
  peak: Counts;
}

export interface ScaleFigures {
  rehearsal: Rehearsal;
  seconds: number;
  waves: ScaleWave[];
  total: Counts;
  mean: Counts;
  peak: Counts;
  /** Maximum number of offers within 60 s. */
  offersInMinute: number;
  /** Desired states that were sent twice, and devices that got an offer outside an open wave: must be 0. */
  wrong: number;
}

const nothing = (): Counts => Object.fromEntries(counted.map((key) => [key, 0])) as Counts;

export function simulate({ devices, policy, network, bytes }: ScaleOptions): ScaleFigures {
  const names = Array.from(
    { length: devices },
    (_, i) => `plant-${i % 97}-sensor-${String(i).padStart(7, '0')}`,
  );
  const plan = rolloutPlanSchema.parse({
    ...{ spec: 'aiot-rollout-plan/1', waves: [], offline: [], warnings: [], made: Date.UTC(2026, 0, 5) },
    request: {
      releases: [{ kind: 'model', name: 'tiny', version: 2, sequence: 7 }],
      ...{ rollback: null, selector: 'all', policy },
    },
  });
  const tally = new Tally(plan.made, bytes);
  const rehearsal = rehearse(
    { ...plan, waves: [names] },
    { network, bytes: bytes.blob, outageMs: 0, outageAt: 0, observer: tally },
  );
  return tally.figures(rehearsal);
}

class Tally implements RehearsalObserver {
  /** Counters for each second of the rollout. */
  private readonly seconds: Counts[] = [];
  private readonly told = new Map<string, { wish: string; payload: number }>();
  /** The latest record of each device, as stored by the platform. A report that changes nothing in it is not an event. */
  private readonly records = new Map<string, DeviceRecord>();
  private head: RolloutHead | undefined;
  private wrong = 0;

  constructor(
    private readonly begun: number,
    private readonly bytes: ScaleOptions['bytes'],
  ) {}

  stepped(at: number, before: RolloutState, step: RolloutStep): void {
    const now = this.at(at);
    const events = movedEvents(before, step, 'platform').length;
    this.head = step.head;
    if (step.changed.length === 0 && events === 0) return;
    // One row each for the rollout, its job, each changed device and each rollout event. Each desired state takes two: the state and its
    // event.
    now.rows += 2 + step.changed.length + events + 2 * step.wishes.length;
    const waves = new Map(step.changed.map(({ name, wave }) => [name, wave]));
    for (const wish of step.wishes)
      this.tell(now, wish, (waves.get(wish.device) ?? Infinity) <= step.head.wave);
  }

  private tell(now: Counts, wish: Wish, isOpen: boolean): void {
    const { device } = wish;
    const desired = desiredOf(wish);
    const payload = desired ? encodeMessage(desired).length : 0;
    if (desired) {
      if (!isOpen || this.told.get(device)?.wish === wish.wish) this.wrong += 1;
      now.offers += 1;
    }
    this.told.set(device, { wish: wish.wish, payload });
    this.publish(now, 'Down', topicOf(device, 'desired'), payload);
  }

  reported(at: number, device: string, _kind: string, said: Reported): void {
    const now = this.at(at);
    // A model update; the device reports the firmware that it runs.
    const reported: Reported = { ...said, type: 'esp32', firmware: { name: 'aiot-core', version: '1.0.0' } };
    const proof = reported.state === 'COMMITTED' ? this.bytes.proof : 0;
    this.publish(now, 'Up', topicOf(device, 'reported'), encodeMessage(reported).length + proof);
    const record = this.record(device);
    const { changes, told } = ofReports([{ name: device, reported }], { find: () => record }, at);
    record.reported = reported;
    now.rows += changes.length + told.length;
  }

  connected(at: number, device: string): void {
    const now = this.at(at);
    const { up, down } = connectBytes(device);
    now.connects += 1;
    now.messagesUp += 1;
    now.bytesUp += up;
    now.bytesDown += down;
    const wish = this.told.get(device);
    // The device disconnected a while ago, as its will message reports.
    for (const presence of ['device.disconnect', 'device.connect'] as const) {
      const record = this.record(device);
      const { changes, told } = ofSightings([{ name: device, presence }], { find: () => record }, at);
      now.rows += changes.length + told.length;
    }
    if (wish && wish.payload > 0) this.publish(now, 'Down', topicOf(device, 'desired'), wish.payload);
  }

  fetched(at: number, _device: string, what: 'manifest' | 'blob'): void {
    this.at(at)[what === 'manifest' ? 'manifests' : 'blobs'] += 1;
  }

  private publish(now: Counts, way: 'Up' | 'Down', topic: string, payload: number): void {
    const other = way === 'Up' ? 'Down' : 'Up';
    now[`messages${way}`] += 1;
    now[`bytes${way}`] += publishBytes(topic, payload);
    now[`bytes${other}`] += ackBytes;
    now.acks += 1;
  }

  private record(name: string): DeviceRecord {
    const known = this.records.get(name);
    if (known) return known;
    const made = { name, state: 'active', reported: null } as unknown as DeviceRecord;
    this.records.set(name, made);
    return made;
  }

  private at(at: number): Counts {
    const second = Math.floor((at - this.begun) / 1000);
    while (this.seconds.length <= second) this.seconds.push(nothing());
    return this.seconds[second]!;
  }

  figures(rehearsal: Rehearsal): ScaleFigures {
    const { seconds, head } = this;
    const end = seconds.length;
    const waves = head?.waves.filter(({ opened }) => opened !== null) ?? [];
    const from = waves.map(({ opened }) => Math.floor((opened! - this.begun) / 1000));
    return {
      ...{ rehearsal, wrong: this.wrong, seconds: end },
      waves: waves.map(({ devices }, i) => {
        const [first, until] = [from[i]!, from[i + 1] ?? end];
        return {
          devices,
          from: first,
          until,
          ...meanAndPeak(seconds.slice(first, Math.max(until, first + 1))),
        };
      }),
      total: summed(seconds),
      ...meanAndPeak(seconds),
      offersInMinute: mostWithin(
        seconds.map(({ offers }) => offers),
        60,
      ),
    };
  }
}

function summed(seconds: readonly Counts[]): Counts {
  const sum = nothing();
  for (const second of seconds) for (const key of counted) sum[key] += second[key];
  return sum;
}

function meanAndPeak(seconds: readonly Counts[]): { mean: Counts; peak: Counts } {
  const [mean, peak] = [summed(seconds), nothing()];
  for (const key of counted) {
    mean[key] /= seconds.length;
    for (const second of seconds) peak[key] = Math.max(peak[key], second[key]);
  }
  return { mean, peak };
}

/** The largest sum of `width` consecutive values. */
function mostWithin(values: readonly number[], width: number): number {
  let [sum, most] = [0, 0];
  values.forEach((value, i) => {
    sum += value - (i < width ? 0 : values[i - width]!);
    most = Math.max(most, sum);
  });
  return most;
}
