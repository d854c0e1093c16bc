import type { DeviceTimes, RolloutDeviceInfo } from '../schema.js';

/** A phase of a device's update, and the durations of that phase on all devices, ms. */
export interface Stretch {
  name: string;
  devices: number;
  p50: number;
  p90: number;
  max: number;
}

const stretches: readonly [name: string, from: keyof DeviceTimes, to: keyof DeviceTimes][] = [
  ['download', 'offered', 'downloaded'],
  ['verify', 'downloaded', 'verified'],
  ['restart', 'verified', 'booted'],
  ['test vectors', 'booted', 'golden'],
  ['commit', 'golden', 'committed'],
  ['offer to commit', 'offered', 'committed'],
];

/** Phases that at least one device has completed. */
export function stretchesOf(devices: readonly RolloutDeviceInfo[]): Stretch[] {
  return stretches.flatMap(([name, from, to]) => {
    const took = tookOf(devices, from, to);
    if (took.length === 0) return [];
    const at = (share: number) => took[Math.min(took.length - 1, Math.floor(share * took.length))]!;
    return [{ name, devices: took.length, p50: at(0.5), p90: at(0.9), max: took.at(-1)! }];
  });
}

/** Durations of a phase, ascending, ms. */
export function tookOf(
  devices: readonly RolloutDeviceInfo[],
  from: keyof DeviceTimes,
  to: keyof DeviceTimes,
): number[] {
  return devices
    .flatMap(({ times }) => {
      const [begun, ended] = [times[from], times[to]];
      return begun === undefined || ended === undefined ? [] : [Math.max(0, ended - begun)];
    })
    .sort((a, b) => a - b);
}
