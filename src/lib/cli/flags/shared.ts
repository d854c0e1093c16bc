import { Args, Flags } from '@oclif/core';
import { checkChipId, checkMac } from '../../api/fields.js';
import { AiotError } from '../../core/errors.js';
import { formatDuration, parseDuration } from '../../core/time.js';

/** The shortest and the longest duration that a flag accepts, ms. */
type Bounds = {
  min?: number;
  max?: number;
};

/**
 * A duration as a flag, such as `500ms`, `30s`, `5m`, `2h`; the command receives milliseconds. A bare number is rejected, because its
 * unit would be ambiguous. With `min` and `max` set to the platform's limits, an error names the flag.
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
 * Flags with a common meaning: a flag of the same name means the same in every command. Each flag can also be set by the environment
 * variable AIOT_<FLAG>. A command selects its flags: `static flags = { project: shared.project }`.
 */
export const shared = {
  project: Flags.string({
    char: 'p',
    summary: 'Project folder (with its aiot.yaml).',
    default: '.',
    env: 'AIOT_PROJECT',
    helpValue: 'DIR',
  }),
  data: Flags.string({
    summary: "Folder of recordings to use instead of the project's own data.",
    env: 'AIOT_DATA',
    helpValue: 'DIR',
  }),
  context: Flags.string({
    char: 'c',
    summary: 'Context of the platform to use [default: the current one].',
    env: 'AIOT_CONTEXT',
    helpValue: 'NAME',
  }),
  port: Flags.string({
    summary:
      'Serial port, such as /dev/ttyUSB0, COM3, socket://HOST:PORT, rfc2217://HOST:PORT or simulated:CHIP [default: the only board].',
    env: 'AIOT_PORT',
    helpValue: 'PORT',
  }),
  mac: Flags.string({
    summary: "The board's MAC address, such as 24:0a:c4:12:34:56.",
    env: 'AIOT_MAC',
    helpValue: 'MAC',
    parse: async (text) => checkMac(text),
  }),
  'chip-id': Flags.string({
    summary:
      'Decimal chip ID, by which the architects-guide firmware identifies the board [default: derived from the MAC].',
    env: 'AIOT_CHIP_ID',
    helpValue: 'ID',
    parse: async (text) => checkChipId(text),
  }),
  report: Flags.string({
    summary: 'Write an HTML report to this file.',
    env: 'AIOT_REPORT',
    helpValue: 'FILE',
  }),
  junit: Flags.string({
    summary: 'Write the results to this file as JUnit XML for CI.',
    env: 'AIOT_JUNIT',
    helpValue: 'FILE',
  }),
  yes: Flags.boolean({
    summary: 'Skip the confirmation prompt; required without a terminal.',
    default: false,
    env: 'AIOT_YES',
  }),
  'dry-run': Flags.boolean({
    summary: 'Show what would change, without changing anything.',
    env: 'AIOT_DRY_RUN',
  }),
  timeout: duration({ summary: 'Exit with 124 after this time, such as 30s or 5m.', env: 'AIOT_TIMEOUT' }),
  ca: Flags.string({
    summary: "PEM file of the CA that signed the server's certificate.",
    env: 'AIOT_CA',
    helpValue: 'FILE',
  }),
  trust: Flags.string({
    summary: "Trust root file (a device's trust.json), instead of the platform's trust root.",
    env: 'AIOT_TRUST',
    helpValue: 'FILE',
  }),
  cert: Flags.string({ summary: 'PEM file of the client certificate.', env: 'AIOT_CERT', helpValue: 'FILE' }),
  key: Flags.string({
    summary: "PEM file of the client certificate's private key.",
    env: 'AIOT_KEY',
    helpValue: 'FILE',
  }),
};

/** The flag `--out` of commands that write several files. */
export const folderToFill = Flags.string({
  char: 'o',
  summary: 'Output folder; created if missing.',
  required: true,
  env: 'AIOT_OUT',
  helpValue: 'DIR',
});

/** Flags that every command has. */
export const common = {
  json: Flags.boolean({
    summary: 'Print only the result, as one line of JSON.',
    env: 'AIOT_JSON',
    helpGroup: 'GLOBAL',
  }),
  quiet: Flags.boolean({
    char: 'q',
    summary: 'Print only the result, without progress.',
    env: 'AIOT_QUIET',
    helpGroup: 'GLOBAL',
  }),
  debug: Flags.boolean({
    summary: 'Print the whole error and its stack trace.',
    env: 'AIOT_DEBUG',
    helpGroup: 'GLOBAL',
  }),
  'no-color': Flags.boolean({
    summary: 'Print without colors (or set NO_COLOR).',
    env: 'AIOT_NO_COLOR',
    helpGroup: 'GLOBAL',
  }),
};

/** A number of at least 0 as a flag, such as `0.5`. Words, and other strings that JavaScript accepts as numbers, are rejected. */
export const decimal = Flags.custom<number>({
  parse: async (text, _context, { name }) => {
    if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
    throw new AiotError('AIOT_USAGE', `--${name}: expected a number such as 0.5, got "${text}"`);
  },
  helpValue: 'NUMBER',
});

/** Name of a telemetry stream on the platform. */
export const streamArg = Args.string({ required: true, description: 'Stream name.' });

/** Flags of lists that may be long. */
export const pageFlags = {
  limit: Flags.integer({
    summary: 'Maximum number of entries to list.',
    env: 'AIOT_LIMIT',
    helpValue: 'N',
    default: 100,
    min: 1,
    max: 1000,
  }),
  after: Flags.string({
    summary: 'Continue after this entry: the `next` value of the previous page.',
    env: 'AIOT_AFTER',
    helpValue: 'KEY',
  }),
};

/**
 * A point in time as a flag, such as 2026-11-20, 2026-11-20T10:36:38Z, or milliseconds since 1970. The command receives milliseconds
 * since 1970.
 */
export const instant = Flags.custom<number>({
  helpValue: 'TIME',
  parse: async (text, _context, { name }) => {
    if (/^-?\d{1,16}$/.test(text)) return Number(text);
    const ms = isoTime(text);
    if (!Number.isNaN(ms)) return ms;
    throw new AiotError(
      'AIOT_USAGE',
      `--${name}: expected a time such as 2026-11-20T10:36:38Z, 2026-11-20, or ms since 1970, got "${text}"`,
    );
  },
});

/** A date (UTC), or a time with its zone, as ms since 1970; otherwise NaN. */
function isoTime(text: string): number {
  const isIso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  return isIso ? Date.parse(text) : Number.NaN;
}

/** A time before now: an age, ms, or a time, ms since 1970. */
export type PastTime = { ageMs: number } | { at: number };

/** A time before now as a flag: an age such as `30m`, or a time such as 2026-11-20T10:36:38Z. */
export const pastTime = Flags.custom<PastTime>({
  helpValue: 'TIME',
  parse: async (text, _context, { name }) => {
    if (!/^\d{4}-/.test(text)) return { ageMs: parseDuration(text) };
    const at = isoTime(text);
    if (at >= 0) return { at };
    throw new AiotError(
      'AIOT_USAGE',
      `--${name}: expected an age such as 30m, or a time such as 2026-11-20T10:36:38Z, got "${text}"`,
    );
  },
  defaultHelp: async ({ options }) => {
    const usual = options.default;
    return typeof usual === 'object' && 'ageMs' in usual ? formatDuration(usual.ageMs) : undefined;
  },
});

const units: Record<string, number> = {
  ...{ B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 },
  ...{ KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 },
};

/** A size as a flag: 500MB, 20GiB. */
export const sizeInBytes = Flags.custom<number>({
  helpValue: 'SIZE',
  parse: async (text, _context, { name }) => {
    const [, digits = '', unit = 'B'] = /^(\d+(?:\.\d+)?) ?(B|kB|[MGT]B|[KMGT]iB)?$/.exec(text) ?? [];
    const bytes = Math.round(Number(digits || 'x') * (units[unit] ?? 1));
    if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
    throw new AiotError('AIOT_USAGE', `--${name}: expected a size such as 500MB or 20GiB, got "${text}"`);
  },
});

/** Values for `${NAME}` in route files. */
export const setFlag = Flags.string({
  summary: 'Value for a variable in the routes; overrides the environment. Repeatable.',
  env: 'AIOT_SET',
  helpValue: 'NAME=VALUE',
  multiple: true,
});

/**
 * Converts `NAME=VALUE` strings to a record; if a name occurs twice, the last value applies.
 * @throws AIOT_USAGE, which never quotes a value, because it may be a secret
 */
export function variablesOf(texts: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text) ?? [];
      if (name !== undefined && value !== undefined) return [name, value];
      const got = text.includes('=') ? `"${text.slice(0, text.indexOf('='))}=…"` : `"${text}"`;
      throw new AiotError('AIOT_USAGE', `--set: expected NAME=VALUE, got ${got}`);
    }),
  );
}

/** Flags that complete a platform's address in a context. */
export const contextFlags = {
  mqtt: Flags.string({
    summary: "mqtts URL of the platform's broker.",
    env: 'AIOT_MQTT',
    helpValue: 'URL',
  }),
  ca: { ...shared.ca, summary: "PEM file of the CA that signed the platform's certificate." },
};
