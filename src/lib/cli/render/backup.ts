import { plural, size } from '../../core/index.js';
import type { Restored } from '../../platform/index.js';
import { facts } from './text.js';
import { moment } from './time.js';

/** What is in a backup. */
export function backupText({ aiot, created, devices, models, blobs, journal, damaged }: Restored): string {
  const { count, bytes, missing } = blobs;
  const gone =
    missing.length === 0
      ? ''
      : `; ${plural(missing.length, 'blob')} of versions missing when it was made: ${missing.join(', ')}`;
  return facts([
    ['made', `${moment(created)} by aiot ${aiot}`],
    ['devices', String(devices)],
    ['models', plural(models, 'version')],
    ['blobs', `${count}, ${size(bytes)}${gone}`],
    ['journal', `${plural(journal.segments, 'segment')}, ${size(journal.bytes)}`],
    ...damaged.map((what): [string, string] => ['damaged', what]),
  ]);
}
