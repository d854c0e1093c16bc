import type { Signal } from './chip.js';

/** Lies still, z up. */
export const still: Signal = (_seconds, world) => {
  world.ax = 0;
  world.ay = 0;
  world.az = 1;
};

/** Hangs on a thread and sways by 20° twice in three seconds, turning slowly; at night it is colder. */
export const swaying: Signal = (seconds, world) => {
  const phase = (2 * Math.PI * seconds) / 1.5;
  const angle = 0.35 * Math.sin(phase);
  const turn = seconds / 10;
  world.ax = Math.sin(angle);
  world.ay = 0.05 * Math.cos(0.7 * phase);
  world.az = Math.cos(angle);
  world.gx = 0;
  world.gy = ((0.35 * 180) / 1.5) * 2 * Math.cos(phase);
  world.gz = 180 / Math.PI / 10;
  world.mx = 0.2 * Math.cos(turn);
  world.my = -0.2 * Math.sin(turn);
  world.temperature = 21 + 4 * Math.sin((2 * Math.PI * seconds) / 86_400);
};
