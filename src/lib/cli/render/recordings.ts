import type { RecordingLine } from '../../data/index.js';
import { table } from './text.js';

/** One line a recording. `empty` stands for no recording at all. */
export function recordingsTable(recordings: RecordingLine[], empty?: string): string {
  const rows = recordings.map(({ id, label, device, samples, seconds }) => [
    id,
    label,
    device,
    samples,
    `${seconds.toFixed(1)} s`,
  ]);
  return table(['recording', 'label', 'device', 'samples', 'length'], rows, empty);
}
