import type { Recording } from './types.js';

/** Samples of all these recordings together; one sample is a row of all fields. */
export function sampleCount(recordings: Pick<Recording, 'columns'>[]): number {
  return recordings.reduce((sum, { columns }) => sum + (columns[0]?.length ?? 0), 0);
}
