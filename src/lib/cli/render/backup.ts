import { plural, size } from '../../core/index.js';
import type { Restored } from '../../platform/index.js';
import { facts } from './text.js';
import { moment } from './time.js';

/** What is in a backup. */
export function backupText({ aiot, created, devices, models, blobs, journal }: Restored): string {
  const { count, bytes, missing, damaged } = blobs;
  const gone =
    missing.length === 0
      ? ''
      : `; ${plural(missing.length, 'blob')} of versions missing when it was made: ${missing.join(', ')}`;
  const bad =
    damaged.length === 0
      ? ''
      : `; ${plural(damaged.length, 'blob')} damaged when it was made: ${damaged.join(', ')}`;
  return facts([
    ['made', `${moment(created)} by aiot ${aiot}`],
    ['devices', String(devices)],
    ['models', plural(models, 'version')],
    ['blobs', `${count}, ${size(bytes)}${gone}${bad}`],
    ['journal', `${plural(journal.segments, 'segment')}, ${size(journal.bytes)}`],
  ]);
}
