import { gaussian, type Random, seededRandom } from '../../core/index.js';

/** Deviation of a standard normal cut off at ±2. */
const truncatedDeviation = 0.87962566103423978;

/**
 * Initial weights of layers, each from a stream of its own, so that a change in one layer leaves the others' weights.
 * He-normal: normal cut off at two deviations, variance 2 / fan-in (He et al., 2015, arXiv:1502.01852, section 2.2).
 */
export class InitialWeights {
  private layer = 0;
  constructor(private readonly seed: number) {}

  /** @param fanIn numbers that one output is a sum of */
  next(count: number, fanIn: number): Float32Array {
    const random = seededRandom(this.seed * 1000 + this.layer++);
    const deviation = Math.sqrt(2 / fanIn) / truncatedDeviation;
    return Float32Array.from({ length: count }, () => deviation * truncated(random));
  }
}

function truncated(random: Random): number {
  for (;;) {
    const value = gaussian(random);
    if (Math.abs(value) <= 2) return value;
  }
}
