import type { RolloutReport } from '../report.js';

/** Maximum number of points drawn; more would be indistinguishable. */
const most = 300;
const lost = new Set(['failed', 'rolledBack', 'missed']);

/** Number of devices at each stage, at certain points in time (ms since the rollout's creation). */
export interface Course {
  at: number[];
  offered: number[];
  committed: number[];
  /** Devices that failed, rolled back automatically, or were missed. */
  lost: number[];
}

export function courseOf({ rollout, devices }: RolloutReport): Course {
  const since = (time: number | undefined) =>
    time === undefined ? [] : [Math.max(0, time - rollout.created)];
  const sorted = (times: number[]) => times.sort((a, b) => a - b);
  const moments = {
    offered: sorted(devices.flatMap(({ times }) => since(times.offered))),
    committed: sorted(devices.flatMap(({ times }) => since(times.committed))),
    // If a device has ended, `updated` is the time of its end.
    lost: sorted(devices.flatMap(({ state, updated }) => (lost.has(state) ? since(updated) : []))),
  };
  const all = [...new Set([0, ...Object.values(moments).flat()])].sort((a, b) => a - b);
  const every = Math.ceil(all.length / most);
  const at = all.filter((_, i) => i % every === 0 || i === all.length - 1);
  const counts = (times: number[]) => {
    let passed = 0;
    return at.map((moment) => {
      while (passed < times.length && times[passed]! <= moment) passed++;
      return passed;
    });
  };
  return {
    at,
    offered: counts(moments.offered),
    committed: counts(moments.committed),
    lost: counts(moments.lost),
  };
}
