import type { SampleBatch } from '../../../sensor/index.js';
import { createBandLimited } from '../../../signal/index.js';
import type { Tell } from '../events.js';
import type { Timing } from '../types.js';
import type { Segment } from './segments.js';

export interface GridOptions {
  fields: number;
  timing: Timing;
  /** As the sensor, its messages or the address say. */
  nominalHz: number | null;
  contractHz: number | null;
  resample: 'auto' | 'on' | 'off';
  measuredHz: () => number | null;
  tell: Tell;
}

/** Brings segments to the contract's rate. */
export interface Grid {
  add(segment: Segment): SampleBatch[];
  /** What was held back, at the end. */
  end(): SampleBatch[];
}

/** A measured rate this near to the contract's is the contract's. */
const near = 0.005;
/** How long samples are held until their rate is measured: so many, over so long. */
const settled = { samples: 16, ms: 1000 };

/**
 * Samples whose rate is the contract's pass bit for bit, as in training; others are resampled to a steady grid.
 *
 * - `exact`: by the rate that is named.
 * - `own`: the first second is held until it is known how fast the sensor really is: 104 Hz by name may be 100.1. Within 0.5 % of the
 *   contract's they pass, else the grid follows their times.
 * - `arrival`: resampled only where somebody names another rate; bursts tell none.
 */
export function createGrid(options: GridOptions): Grid {
  const { fields, timing, nominalHz, contractHz, resample, measuredHz, tell } = options;
  let held: Segment[] = [];
  let mode: 'hold' | 'pass' | ReturnType<typeof createBandLimited> = begin();

  function begin(): typeof mode {
    if (contractHz === null || resample === 'off') return 'pass';
    if (timing === 'own') return 'hold';
    if (nominalHz === null || (nominalHz === contractHz && resample === 'auto')) return 'pass';
    return resampler(nominalHz);
  }

  function resampler(inputHz: number) {
    const outputHz = contractHz ?? inputHz;
    tell('resampling', `samples at ${inputHz.toFixed(2)} Hz are resampled to ${outputHz} Hz`);
    return createBandLimited({ fields, inputHz, outputHz });
  }

  const decide = () => {
    const measured = measuredHz() ?? nominalHz ?? contractHz ?? 1;
    const same = Math.abs(measured / (contractHz ?? measured) - 1) <= near;
    mode = resample === 'auto' && same ? 'pass' : resampler(measured);
  };

  const give = (segment: Segment): SampleBatch[] => {
    if (mode === 'pass' || mode === 'hold') return [segment];
    if (segment.lost > 0) mode.reset();
    const made = mode.push(
      segment.values,
      timing === 'exact' ? segment.times : segment.smooth,
      segment.count,
    );
    broken += segment.lost;
    if (made.count === 0) return [];
    const out = { ...made, lost: broken };
    broken = 0;
    return [out];
  };
  /** Losses that no output has told of yet: after a gap the filter fills first. */
  let broken = 0;

  const enough = () => {
    const count = held.reduce((sum, each) => sum + each.count, 0);
    const ms = held.at(-1)!.times.at(-1)! - held[0]!.times[0]!;
    return count >= settled.samples && ms >= settled.ms;
  };
  const release = () => {
    decide();
    for (const segment of held) straighten(segment);
    const out = held.flatMap(give);
    held = [];
    return out;
  };

  return {
    add(segment) {
      if (mode !== 'hold') return give(segment);
      held.push(segment);
      return enough() ? release() : [];
    },
    end: () => (mode === 'hold' && held.length > 0 ? release() : []),
  };
}

/** The first times on the line through all of a segment's: the follower's own line has only begun there. Least squares. */
function straighten({ times, smooth, count }: Segment): void {
  const middle = (count - 1) / 2;
  const mean = times.reduce((sum, t) => sum + (t - times[0]!), 0) / count;
  let along = 0;
  let across = 0;
  for (let i = 0; i < count; i++) {
    along += (i - middle) * (times[i]! - times[0]! - mean);
    across += (i - middle) ** 2;
  }
  const slope = across > 0 ? along / across : 0;
  for (let i = 0; i < count; i++) smooth[i] = times[0]! + mean + (i - middle) * slope;
}
