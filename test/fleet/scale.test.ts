import { describe, expect, it } from 'vitest';
import { type ScaleOptions, simulate } from '../../bench/scale/simulate.js';
import { connectBytes, publishBytes } from '../../bench/scale/sizes.js';

const devices = 1200;
const options: ScaleOptions = {
  devices,
  policy: { waves: [12, '25%'], perMinute: 1200, attempts: 2, maxFailures: '20%', offlineMs: 3_600_000 },
  network: {
    ...{ seed: 7, loss: 0.02, latencyMs: [20, 200], offline: 0.05, failRate: 0.01 },
    ...{ powerCuts: 0.01, bytesPerSecond: 50_000 },
  },
  bytes: { blob: 100_000, manifest: 2500, proof: 1265 },
};
const first = simulate(options);

describe('the simulated traffic of a rollout', () => {
  it('offers a release to each device once, and again only after a failure or a power cut', () => {
    expect(first.rehearsal).toMatchObject({ state: 'partly', devices });
    expect(first.rehearsal.committed + first.rehearsal.failed).toBe(devices);
    expect(first.wrong).toBe(0);
    expect(first.waves.map((wave) => wave.devices)).toEqual([12, 288, 900]);
    // Failed devices get a second offer, but no device gets a third.
    expect(first.total.offers).toBeGreaterThanOrEqual(devices);
    expect(first.total.offers).toBeLessThanOrEqual(devices + 0.03 * devices);
    for (const { devices, from, until, mean } of first.waves.slice(0, 2)) {
      const offers = mean.offers * (until - from);
      expect(offers).toBeLessThan(1.2 * devices + 24);
    }
  });

  it('respects the rate limit, and makes up for at most one second of a pause', () => {
    expect(first.peak.offers).toBeLessThanOrEqual(41);
    expect(first.offersInMinute).toBeLessThanOrEqual(1200 + 21);
    expect(first.peak.messagesUp).toBeLessThan(first.peak.offers * 20);
    const slower = simulate({ ...options, policy: { ...options.policy, perMinute: 300 } });
    expect(slower.peak.offers).toBeLessThanOrEqual(11);
    expect(slower.seconds).toBeGreaterThan(devices / 5);
    expect(slower.peak.messagesUp).toBeLessThan(first.peak.messagesUp / 2);
  });

  it('counts sent messages, acknowledgments, and written rows', () => {
    const { total } = first;
    expect(total.acks).toBe(total.messagesUp + total.messagesDown - total.connects);
    expect(total.manifests).toBeGreaterThanOrEqual(devices);
    expect(total.blobs).toBeGreaterThanOrEqual(devices);
    // Each report is stored with the device; most reports also write an event and the rollout's record of the device.
    expect(total.rows).toBeGreaterThan(2 * total.messagesUp);
    expect(total.bytesUp).toBeGreaterThan(200 * total.messagesUp + 1265 * 0.9 * devices);
  });

  it('gives the same result with the same seed, and another result with a different seed', () => {
    expect(simulate(options)).toEqual(first);
    const other = simulate({ ...options, network: { ...options.network, seed: 8 } });
    expect(other.total).not.toEqual(first.total);
  });
});

it('the traffic simulation’s packet lengths match MQTT’s', () => {
  // 0x32, a two-byte length, a 21-character topic with its length, a packet id, and the payload.
  expect(publishBytes('aiot/v1/pump/reported', 200)).toBe(1 + 2 + 2 + 21 + 2 + 200);
  expect(publishBytes('a/b', 3)).toBe(1 + 1 + 2 + 3 + 2 + 3);
  // Upstream: CONNECT, SUBSCRIBE and a presence message; downstream: CONNACK, SUBACK and PUBACK.
  expect(connectBytes('pump')).toEqual({ up: 77 + 50 + 60, down: 4 + 6 + 4 });
});
