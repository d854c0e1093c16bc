import type { Recording } from '../types.js';
import { motorStates } from './physics.js';
import { simulateMotor } from './simulate.js';

/** Takes of each state, and seconds of each take: enough that each side of a split has motors that the others have not. */
const takes = 10;
const seconds = 16;
/** Digits after the point that are kept of a value: more than its sensor has. */
export const motorDecimals = 4;

/** Recordings to learn the motor's states from: ten motors in each, 16 s each. The same ones each time. */
export function motorRecordings(rateHz: number): Recording[] {
  return motorStates.flatMap((state) =>
    Array.from({ length: takes }, (_, i) => {
      const recording = simulateMotor({ state, seconds, rateHz, seed: i + 1 });
      // As they come back from a CSV file (which has no -0): a model is the same, whether its data was written or not.
      for (const column of recording.columns)
        column.forEach((value, row) => {
          column[row] = Number(value.toFixed(motorDecimals)) + 0;
        });
      return recording;
    }),
  );
}
