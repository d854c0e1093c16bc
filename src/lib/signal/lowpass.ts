import { turn } from './turn.js';

/** One second-order section, transposed direct form II, a0 = 1. */
interface Section {
  b0: number;
  b1: number;
  b2: number;
  a1: number;
  a2: number;
}

/** Quality factors of a 4th-order Butterworth filter's two pole pairs: 1 / (2 cos(π/8)) and 1 / (2 cos(3π/8)). */
const qualities = [1 / (2 * turn(1, 16).cos), 1 / (2 * turn(3, 16).cos)];

/**
 * Two sections of a 4th-order Butterworth low-pass filter, by the bilinear transform with a prewarped corner (−3 dB). Source: the analog
 * prototype 1 / (s² + s/Q + 1) with s = (1 − z⁻¹) / (K (1 + z⁻¹)), K = tan(π·corner/rate).
 */
export function butterworthSections(cornerHz: number, rateHz: number): Section[] {
  const half = turn(cornerHz, 2 * rateHz);
  const k = half.sin / half.cos;
  return qualities.map((q) => {
    const norm = 1 / (1 + k / q + k * k);
    const b0 = k * k * norm;
    return { b0, b1: 2 * b0, b2: b0, a1: 2 * (k * k - 1) * norm, a2: (1 - k / q + k * k) * norm };
  });
}

export interface Lowpass {
  /** Takes one sample and returns one. The first sample after a reset sets the filter to its steady state, so that no ramp appears. */
  step(x: number): number;
  reset(): void;
}

/** Causal low-pass filter for one field. If `cornerHz` is null, samples pass unchanged. */
export function createLowpass(cornerHz: number | null, rateHz: number): Lowpass {
  if (cornerHz === null) return { step: (x) => x, reset: () => {} };
  const sections = butterworthSections(cornerHz, rateHz);
  const state = new Float64Array(2 * sections.length);
  let started = false;
  return {
    step(x) {
      if (!started) {
        started = true;
        // Starts as if the input had always been x. Each section's output is then also x (gain 1 at 0 Hz).
        for (let s = 0; s < sections.length; s++) {
          const { b1, b2, a1, a2 } = sections[s]!;
          state[2 * s + 1] = (b2 - a2) * x;
          state[2 * s] = (b1 - a1) * x + state[2 * s + 1]!;
        }
      }
      let y = x;
      for (let s = 0; s < sections.length; s++) {
        const { b0, b1, b2, a1, a2 } = sections[s]!;
        const input = y;
        y = b0 * input + state[2 * s]!;
        state[2 * s] = b1 * input - a1 * y + state[2 * s + 1]!;
        state[2 * s + 1] = b2 * input - a2 * y;
      }
      return y;
    },
    reset() {
      started = false;
      state.fill(0);
    },
  };
}
