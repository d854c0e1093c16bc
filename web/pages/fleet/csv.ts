import type { DeviceInfo } from '../../../src/lib/api/index.js';

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
  const lines = [
    columns.map(([title]) => title),
    ...devices.map((device) => columns.map(([, textOf]) => quoted(textOf(device)))),
  ];
  return `${lines.map((line) => line.join(',')).join('\r\n')}\r\n`;
}

/** Saves the devices as a file in the browser's downloads. */
export function saveCsv(devices: readonly DeviceInfo[]): void {
  const url = URL.createObjectURL(new Blob([csvOf(devices)], { type: 'text/csv' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = 'devices.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A field. Spreadsheets would run a text that begins like a formula, and devices choose some of these texts, so an apostrophe precedes it. */
function quoted(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
