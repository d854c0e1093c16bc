import { seededRandom } from '../../core/index.js';
import type { Recording } from '../types.js';
import { type MotorState, motorFields, motorStates } from './physics.js';
import { motorSamples } from './samples.js';

/** One take of one simulated motor, its id STATE and SEED (`bearing3`). The same seed gives the same motor and the same samples. */
export function simulateMotor(options: {
  state: MotorState;
  seconds: number;
  rateHz: number;
  seed: number;
}): Recording {
  const { state, rateHz, seed } = options;
  const samples = Math.round(options.seconds * rateHz);
  const columns = motorFields.map(() => new Float64Array(samples));
  // A state of its own stream of chance: healthy 1 and blocked 1 are not the same motor.
  const random = seededRandom(motorSeed(state, seed));
  const source = motorSamples({ state, rateHz, random });
  for (let i = 0; i < samples; i++) {
    const { value } = source.next();
    for (let f = 0; f < columns.length; f++) columns[f]![i] = value[f]!;
  }
  return {
    id: `${state}${seed}`,
    label: state,
    device: `motor-${state}${seed}`,
    rateHz,
    startedAt: null,
    fields: [...motorFields],
    columns,
  };
}

/** A seed that no other state has. Takes of the first four states keep theirs: models in the field were made from them. */
function motorSeed(state: MotorState, seed: number): number {
  return state === 'worn' ? 1_000_000 + seed : seed * 4 + motorStates.indexOf(state);
}
