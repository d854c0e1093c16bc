/**
 * Global switches that must be known before the command line is parsed, so that with --json a parse error is also printed as JSON. Imports
 * nothing, because main.ts needs it before it shows --help.
 */

const on = new Set(['1', 'true', 'yes', 'y', 'on']);

/** Whether `--name` (or its short form) is given before any `--`, or the variable AIOT_NAME is set. */
export function switchedOn(name: 'json' | 'quiet' | 'debug', argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  const own = end === -1 ? argv : argv.slice(0, end);
  if (own.includes(`--${name}`) || (name === 'quiet' && own.includes('-q'))) return true;
  return on.has((process.env[`AIOT_${name.toUpperCase()}`] ?? '').toLowerCase());
}
