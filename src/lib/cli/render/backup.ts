import { plural, size } from '../../core/index.js';
import type { Restored } from '../../platform/index.js';
import { facts } from './text.js';
import { moment } from './time.js';

/** What is in a backup. */
export function backupText({ aiot, created, devices, models, blobs, journal }: Restored): string {
  return facts([
    ['made', `${moment(created)} by aiot ${aiot}`],
    ['devices', String(devices)],
    ['models', plural(models, 'version')],
    ['blobs', `${blobs.count}, ${size(blobs.bytes)}`],
    ['journal', `${plural(journal.segments, 'segment')}, ${size(journal.bytes)}`],
  ]);
}
