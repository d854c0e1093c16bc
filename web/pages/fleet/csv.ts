import type { DeviceInfo } from '../../../src/lib/api/index.js';
import { csvText } from '../../app/csv.js';
import { saveFile } from '../../app/save.js';

const columns: readonly (readonly [string, (device: DeviceInfo) => string])[] = [
  ['name', ({ name }) => name],
  ['type', ({ type }) => type],
  ['state', ({ state }) => state],
  ['online', ({ online }) => String(online)],
  ['last_seen', ({ lastSeen }) => (lastSeen === null ? '' : new Date(lastSeen).toISOString())],
  ['model', ({ model }) => (model ? `${model.name}@${model.version}` : '')],
  ['firmware', ({ firmware }) => firmware ?? ''],
  ['groups', ({ groups }) => groups.join(' ')],
  [
    'tags',
    ({ tags }) =>
      Object.entries(tags)
        .map(([tag, value]) => `${tag}=${value}`)
        .join('; '),
  ],
];

/** The devices as CSV (RFC 4180), one a line. */
export function csvOf(devices: readonly DeviceInfo[]): string {
  return csvText([
    columns.map(([title]) => title),
    ...devices.map((device) => columns.map(([, textOf]) => textOf(device))),
  ]);
}

/** Saves the devices as a file in the browser's downloads. */
export function saveCsv(devices: readonly DeviceInfo[]): void {
  saveFile('devices.csv', new Blob([csvOf(devices)], { type: 'text/csv' }));
}
