// An area of the benchmark consists of cases that yield figures. Each area runs in a separate process (one.ts).
import type { Figure } from './figure.js';
import type { Part } from './parts.js';

export interface Bench {
  /** A smaller run, as a guard against regressions: about ten minutes for all areas together. */
  quick: boolean;
  /** Creates a new folder for this run. */
  folder(): string;
}

export interface Case {
  /** Peer's name, shown by `--list`. */
  peer?: string;
  needs?: readonly Part[];
  run(bench: Bench): Figure[] | Promise<Figure[]>;
}

export interface Area {
  about: string;
  cases: Record<string, Case>;
}

/**
 * The areas, each with its time limits for quick and full runs, in minutes. An area that exceeds its limit is
 * ended.
 */
export const areas = {
  start: { minutes: [1, 5], load: () => import('../start/area.js') },
  models: { minutes: [6, 35], load: () => import('../models/area.js') },
  firmware: { minutes: [2, 15], load: () => import('../firmware/area.js') },
  flash: { minutes: [3, 20], load: () => import('../flash/area.js') },
  platform: { minutes: [3, 40], load: () => import('../platform/area.js') },
  streams: { minutes: [6, 40], load: () => import('../streams/area.js') },
  fleet: { minutes: [2, 30], load: () => import('../fleet/area.js') },
  pipeline: { minutes: [3, 20], load: () => import('../pipeline/area.js') },
  loop: { minutes: [2, 40], load: () => import('../loop/area.js') },
  dashboard: { minutes: [2, 10], load: () => import('../dashboard/area.js') },
  drift: { minutes: [2, 20], load: () => import('../drift/area.js') },
  scale: { minutes: [6, 60], load: () => import('../scale/area.js') },
  install: { minutes: [1, 15], load: () => import('../install/area.js') },
} satisfies Record<string, { minutes: [number, number]; load(): Promise<{ area: Area }> }>;

export type AreaName = keyof typeof areas;
