/**
 * Global switches that must be known before, or although, the command line could not be parsed: an error in it is
 * shown as JSON too when JSON was asked for. Imports nothing: main.ts uses it on the way to --help.
 */

const on = new Set(['1', 'true', 'yes', 'y', 'on']);

/** True when `--name` (or its short form) stands before any `--`, or its environment twin AIOT_NAME is on. */
export function switchedOn(name: 'json' | 'quiet' | 'debug', argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  const own = end === -1 ? argv : argv.slice(0, end);
  if (own.includes(`--${name}`) || (name === 'quiet' && own.includes('-q'))) return true;
  return on.has((process.env[`AIOT_${name.toUpperCase()}`] ?? '').toLowerCase());
}
