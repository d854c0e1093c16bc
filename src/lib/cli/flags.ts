import { Flags } from '@oclif/core';
import { AiotError, formatDuration, parseDuration } from '../core/index.js';
import { checkChipId, checkMac } from '../registry/index.js';

/** The shortest and the longest time that a flag takes, ms. */
type Bounds = {
  min?: number;
  max?: number;
};

/**
 * A span of time as a flag, such as `500ms`, `30s`, `5m`, `2h`; the command gets milliseconds. A bare number is refused:
 * nobody can tell which unit was meant. The platform's bounds are given as `min` and `max`, so that an error names the flag.
 */
export const duration = Flags.custom<number, Bounds>({
  parse: async (text, _, bounds) => within(text, parseDuration(text), bounds),
  helpValue: 'TIME',
  defaultHelp: async ({ options }) =>
    typeof options.default === 'number' ? formatDuration(options.default) : undefined,
});

function within(text: string, ms: number, { min = 0, max = Number.POSITIVE_INFINITY }: Bounds): number {
  if (ms >= min && ms <= max) return ms;
  const limit = ms < min ? `at least ${formatDuration(min)}` : `at most ${formatDuration(max)}`;
  throw new AiotError('AIOT_USAGE', `expected ${limit}, got "${text}"`);
}

/**
 * The one vocabulary of flags: a flag of the same name means the same everywhere. Each has an environment twin,
 * AIOT_<FLAG>. Commands pick from here: `static flags = { project: shared.project }`.
 */
export const shared = {
  project: Flags.string({
    char: 'p',
    summary: 'Folder of the project (of its aiot.yaml).',
    default: '.',
    env: 'AIOT_PROJECT',
    helpValue: 'DIR',
  }),
  data: Flags.string({
    summary: 'Folder of recordings to use instead of the project’s own data.',
    env: 'AIOT_DATA',
    helpValue: 'DIR',
  }),
  context: Flags.string({
    char: 'c',
    summary: 'Platform to talk to, by its context.',
    env: 'AIOT_CONTEXT',
    helpValue: 'NAME',
  }),
  port: Flags.string({
    summary:
      'Serial port, such as /dev/ttyUSB0, COM3, socket://HOST:PORT or rfc2217://HOST:PORT [default: the only board].',
    env: 'AIOT_PORT',
    helpValue: 'PORT',
  }),
  mac: Flags.string({
    summary: 'MAC of the board, such as 24:0a:c4:12:34:56: one board is one device.',
    env: 'AIOT_MAC',
    helpValue: 'MAC',
    parse: async (text) => checkMac(text),
  }),
  'chip-id': Flags.string({
    summary: 'Decimal chip id of the guide’s firmware: an alias [default: from the MAC].',
    env: 'AIOT_CHIP_ID',
    helpValue: 'ID',
    parse: async (text) => checkChipId(text),
  }),
  report: Flags.string({
    summary: 'Write an HTML report here.',
    env: 'AIOT_REPORT',
    helpValue: 'FILE',
  }),
  junit: Flags.string({
    summary: 'Write what was checked here, as JUnit XML for CI.',
    env: 'AIOT_JUNIT',
    helpValue: 'FILE',
  }),
  yes: Flags.boolean({
    summary: 'Do it without asking; needed where there is no terminal.',
    default: false,
    env: 'AIOT_YES',
  }),
  'dry-run': Flags.boolean({ summary: 'Say what would be done, and do nothing.', env: 'AIOT_DRY_RUN' }),
  timeout: duration({ summary: 'Give up after this time, such as 30s or 5m.', env: 'AIOT_TIMEOUT' }),
  ca: Flags.string({
    summary: "PEM file of the CA that signed the far side's certificate.",
    env: 'AIOT_CA',
    helpValue: 'FILE',
  }),
  trust: Flags.string({
    summary: "File of a trust root (a device's trust.json), instead of asking the platform whom it trusts.",
    env: 'AIOT_TRUST',
    helpValue: 'FILE',
  }),
  cert: Flags.string({ summary: 'PEM file of the client certificate.', env: 'AIOT_CERT', helpValue: 'FILE' }),
  key: Flags.string({ summary: 'PEM file of its private key.', env: 'AIOT_KEY', helpValue: 'FILE' }),
};

/** `--out` of what writes several files. */
export const folderToFill = Flags.string({
  char: 'o',
  summary: 'Folder to fill; made when missing.',
  required: true,
  env: 'AIOT_OUT',
  helpValue: 'DIR',
});

/** Flags that every command has. */
export const common = {
  json: Flags.boolean({
    summary: 'Print the result as one line of JSON, and nothing else.',
    env: 'AIOT_JSON',
    helpGroup: 'GLOBAL',
  }),
  quiet: Flags.boolean({
    char: 'q',
    summary: 'Print the result alone: no progress.',
    env: 'AIOT_QUIET',
    helpGroup: 'GLOBAL',
  }),
  debug: Flags.boolean({ summary: 'Print the stack of an error.', env: 'AIOT_DEBUG', helpGroup: 'GLOBAL' }),
  'no-color': Flags.boolean({
    summary: 'Print without colours (NO_COLOR does it too).',
    env: 'AIOT_NO_COLOR',
    helpGroup: 'GLOBAL',
  }),
};
