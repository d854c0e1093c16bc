import { Args, Flags } from '@oclif/core';
import type { ChangeDevices, ChangeSettings, LogsWanted } from '../../api/change-devices.js';
import { type DeviceChange, groupName, tagName, tagValue } from '../../api/contract/devices.js';
import { type BucketName, longestRangeMs } from '../../api/contract/history.js';
import { remoteTimeMs } from '../../api/remote.js';
import { AiotError } from '../../core/errors.js';
import { formatDuration } from '../../core/time.js';
import { motorStates } from '../../data/motor.js';
import { simulatedBoards } from '../../device/board.js';
import { type Network, parseLatency, parseShare } from '../../device/fleet/network.js';
import { parseSpeed } from '../../device/telemetry/sensor.js';
import { duration, type PastTime, shared } from './shared.js';

/** The one flag that chooses devices: a name, names separated by commas, or a label selector. */
export const selectorTexts = {
  summary:
    "Devices: a name, a list such as motor-1,motor-2, an expression such as 'site=lab and fw<1.4', or all.",
  env: 'AIOT_SELECTOR',
  helpValue: 'SELECTOR',
};

export const selector = Flags.string(selectorTexts);

/** How long a remote session may last. */
export const remoteTime = duration({
  ...{ summary: 'End the session after this time.', env: 'AIOT_FOR', default: remoteTimeMs.usual },
  ...{ min: remoteTimeMs.min, max: remoteTimeMs.max },
});

/** Flags of commands that change one or more devices. */
export const fleetFlags = { selector, 'dry-run': shared['dry-run'], context: shared.context };

export const oneDevice = {
  name: Args.string({ required: false, description: 'Device name, instead of --selector.' }),
};

/** Determines the devices to change. @throws AIOT_USAGE if both a name and a selector are given, or neither */
export function targetOf(name: string | undefined, selector: string | undefined): ChangeDevices['target'] {
  if (name !== undefined && selector === undefined) return { name };
  if (name === undefined && selector !== undefined) return { selector };
  const got = name === undefined ? 'none' : `both (${name})`;
  throw new AiotError('AIOT_USAGE', `expected the name of a device, or --selector; got ${got}`);
}

/** The device or the devices to call, and the command. @throws AIOT_USAGE */
export function calleeOf(
  { name, command }: { name: string; command?: string | undefined },
  selector: string | undefined,
): { target: ChangeDevices['target']; command: string } {
  if (selector === undefined && command !== undefined) return { target: { name }, command };
  if (selector !== undefined && command === undefined) return { target: { selector }, command: name };
  const got = command === undefined ? name : `${name} ${command}`;
  throw new AiotError(
    'AIOT_USAGE',
    selector === undefined
      ? `expected the name of a device and a command, got ${got}`
      : `expected only a command with --selector, got ${got}`,
  );
}

interface Worded {
  name: string | undefined;
  change: DeviceChange;
}

/** Parses tag changes: `site=lab` sets a tag, `old-` removes one. @throws AIOT_USAGE */
export function taggingOf(words: string[], selector: string | undefined): Worded {
  const { name, rest } = split(words, selector, 'a tag such as site=lab, or old- to remove one');
  const set: Record<string, string> = {};
  const remove: string[] = [];
  for (const word of rest) {
    const [, tag = '', value] = /^([^=]*?)(?:=(.*)|-)$/s.exec(word) ?? [];
    const fits = tagName.safeParse(tag).success && (value === undefined || tagValue.safeParse(value).success);
    if (!fits) throw wrong('site=lab (a name, =, and 1 to 128 characters), or old- to remove a tag', word);
    if (value === undefined) remove.push(tag);
    else set[tag] = value;
  }
  return { name, change: { action: 'tag', set, remove } };
}

/** Parses group changes: `hall-2` adds a device to a group, `hall-2-` removes it. @throws AIOT_USAGE */
export function groupingOf(words: string[], selector: string | undefined): Worded {
  const { name, rest } = split(words, selector, 'a group such as hall-2, or hall-2- to remove it');
  const [add, remove]: [string[], string[]] = [[], []];
  for (const word of rest) {
    const group = word.replace(/-$/, '');
    if (!groupName.safeParse(group).success) {
      throw wrong('the name of a group (letters, digits, _ . -), with a trailing hyphen to remove it', word);
    }
    (word === group ? add : remove).push(group);
  }
  return { name, change: { action: 'group', add, remove } };
}

/**
 * Parses changes of settings: `rpm=900` sets one, `rpm-` removes its override. With a group, all words are changes.
 * @throws AIOT_USAGE
 */
export function settingWordsOf(
  words: string[],
  {
    group,
    type,
    priority,
  }: { group?: string | undefined; type?: string | undefined; priority?: number | undefined },
): Pick<ChangeSettings, 'target' | 'set' | 'unset'> {
  if (group === undefined && (type !== undefined || priority !== undefined))
    throw new AiotError('AIOT_USAGE', '--type and --priority require --group');
  // It is also valid to change only the priority.
  const { name = '', rest } =
    priority !== undefined && words.length === 0
      ? { rest: [] }
      : split(words, group, 'a setting such as rpm=900, or rpm- to remove its override');
  return { target: group === undefined ? { name } : { group, type, priority }, ...settingsIn(rest) };
}

interface LogFlags extends Omit<LogsWanted, 'name' | 'since' | 'until'> {
  since: PastTime;
  until?: PastTime | undefined;
  follow?: boolean;
}

/** The log lines that flags ask for. @throws AIOT_USAGE for flags of a search beside a name, and the other way around */
export function logQueryOf(
  name: string | undefined,
  { since, until, follow = false, ...flags }: LogFlags,
): LogsWanted {
  const { channel, selector, level, contains, after } = flags;
  if (follow && after !== undefined)
    throw new AiotError(
      'AIOT_USAGE',
      '--after continues a search, and --follow shows the latest lines: give one of the two',
    );
  if (follow && until !== undefined)
    throw new AiotError('AIOT_USAGE', '--until ends before now, and --follow waits for new lines: give one');
  const now = Date.now();
  const timeOf = (time: PastTime) => ('at' in time ? time.at : Math.max(0, now - time.ageMs));
  const [earliest, latest] = [timeOf(since), until && timeOf(until)];
  if (latest !== undefined && latest <= earliest)
    throw new AiotError('AIOT_USAGE', '--until must be after --since: lines between the two are shown', {
      next: 'Pass a smaller age or a later time as --until, such as `--since 3h --until 1h`.',
    });
  if (follow && channel !== 'log')
    throw new AiotError('AIOT_USAGE', `--follow shows log lines, not the channel ${channel}`, {
      next: 'To follow other messages, run `aiot stream tail`.',
    });
  const isSearch = (follow ? [selector] : [selector, level, contains, until, after]).some(
    (flag) => flag !== undefined,
  );
  if (name !== undefined && isSearch)
    throw new AiotError(
      'AIOT_USAGE',
      '--selector, --level, --contains, --until and --after search many devices: use --selector instead of the name',
    );
  if (name === undefined && channel !== 'log')
    throw new AiotError('AIOT_USAGE', '--channel needs the name of a device');
  return { ...flags, name, since: earliest, until: latest };
}

/** The settings that words such as `rpm=900` set, and those that `rpm-` resets. @throws AIOT_USAGE */
export function settingsIn(words: readonly string[]): Pick<ChangeSettings, 'set' | 'unset'> {
  const set: [string, string][] = [];
  const unset: string[] = [];
  for (const word of words) {
    const [, path, value] = /^([^=.]+(?:\.[^=.]+)*?)(?:=(.*)|-)$/s.exec(word) ?? [];
    if (path === undefined || path.split('.').includes('__proto__'))
      throw wrong('rpm=900 (a name, =, and a value), or rpm- to remove an override', word);
    if (value === undefined) unset.push(path);
    else set.push([path, value]);
  }
  return { set, unset };
}

/** Splits the positional words. With a selector all words describe the change; without one the first word is the device. */
function split(words: string[], selector: string | undefined, expected: string) {
  const [first, ...others] = words;
  const name = selector === undefined ? first : undefined;
  const rest = selector === undefined ? others : words;
  if (rest.length > 0) return { name, rest };
  const who =
    selector === undefined && name === undefined ? 'the name of a device (or --selector), and ' : '';
  throw new AiotError('AIOT_USAGE', `expected ${who}${expected}; got ${name ?? 'nothing'}`);
}

function wrong(expected: string, got: string): AiotError {
  return new AiotError('AIOT_USAGE', `expected ${expected}; got ${got}`);
}

// Used instead of `dependsOn`, which would show the other flag in the usage line as if it required this one.
const needs = (flag: string) => [{ type: 'all' as const, flags: [flag] }];

/** Flags of one virtual device: its sensor's signal, its behavior, and its type. */
export const virtualDeviceFlags = {
  recording: Flags.string({
    summary: 'Recording to replay: a CSV file, a WAV file or a picture.',
    env: 'AIOT_RECORDING',
    helpValue: 'FILE',
    exclusive: ['motor'],
  }),
  motor: Flags.option({ options: motorStates })({
    summary: "Simulate a motor's sensors in this state.",
    env: 'AIOT_MOTOR',
  }),
  rate: Flags.integer({
    summary:
      "Samples per second [default: the recording's or its project's rate, or 100; 200 with --motor]; with --board, readings per second [default: 1; IoT kit: one every 1.5 s].",
    min: 1,
    max: 100_000,
    env: 'AIOT_RATE',
    helpValue: 'HZ',
  }),
  stream: Flags.string({
    summary:
      "Telemetry stream name [default: the topic of the recording's project, else motion; with --motor, shaded-pole-motor-sensor_data].",
    env: 'AIOT_STREAM',
    helpValue: 'STREAM',
  }),
  speed: Flags.custom<number | 'max'>({ parse: async (text) => parseSpeed(text) })({
    summary: 'Replay speed: 1 = as recorded, max = as fast as the broker accepts messages.',
    default: 1,
    env: 'AIOT_SPEED',
    helpValue: 'FACTOR',
  }),
  predict: Flags.boolean({
    summary: "Send only the model's predictions, not the samples.",
    env: 'AIOT_PREDICT',
  }),
  loop: Flags.boolean({
    summary: 'Restart the recording when it ends.',
    env: 'AIOT_LOOP',
    relationships: needs('recording'),
  }),
  project: Flags.string({
    char: 'p',
    summary: 'Project folder, whose commands the device runs [default: none].',
    env: 'AIOT_PROJECT',
    helpValue: 'DIR',
    exclusive: ['native', 'board'],
  }),
  native: Flags.boolean({
    summary: "Run the firmware's core as a native process. Not available for the IoT kit.",
    env: 'AIOT_NATIVE',
  }),
  program: Flags.string({
    summary:
      'Native program to run, such as one built by aiot firmware build [default: built from the included sources].',
    env: 'AIOT_PROGRAM',
    helpValue: 'FILE',
    relationships: needs('native'),
  }),
  board: Flags.option({ options: simulatedBoards })({
    summary: 'Simulate this kind of board. A level 2 board runs inference on readings from other boards.',
    env: 'AIOT_BOARD',
    exclusive: ['recording'],
  }),
  to: Flags.string({
    summary: "Broker for the board [default: the platform's; IoT kit: mqtt://127.0.0.1:1883].",
    env: 'AIOT_TO',
    helpValue: 'URL',
    relationships: needs('board'),
  }),
  count: Flags.integer({
    char: 'n',
    summary: 'Stop the board after this many readings.',
    min: 1,
    env: 'AIOT_COUNT',
    helpValue: 'N',
    relationships: needs('board'),
  }),
  for: duration({ summary: 'Stop after this time, such as 30s.', env: 'AIOT_FOR' }),
  seed: Flags.integer({
    summary: 'Random seed for the simulated motor or board.',
    min: 0,
    default: 7,
    env: 'AIOT_SEED',
    helpValue: 'N',
  }),
  context: shared.context,
};

/** A share as a flag: `5%` or `0.05`. */
export const share = (name: string, summary: string, usual: string) =>
  Flags.string({
    summary,
    default: usual,
    env: `AIOT_${name.toUpperCase().replaceAll('-', '_')}`,
    helpValue: 'SHARE',
  });

/** Simulated network faults between devices and the platform, with their defaults. */
export const networkFlags = (usual: { loss: string; latency: string; offline: string }) => ({
  loss: share(
    'loss',
    'Share of messages lost; each is resent after 1 s, then after 2 s, 4 s and so on.',
    usual.loss,
  ),
  latency: Flags.string({
    summary: 'One-way latency of each message: a time, or a range such as 20..200ms for random values.',
    default: usual.latency,
    env: 'AIOT_LATENCY',
    helpValue: 'TIME',
  }),
  offline: share(
    'offline',
    'Share of devices offline at any time; a different set each minute.',
    usual.offline,
  ),
  'fail-rate': share('fail-rate', 'Share of devices that fail the trial of a new version.', '0%'),
});

interface NetworkInput {
  seed: number;
  loss: string;
  latency: string;
  offline: string;
  'fail-rate': string;
}

/** Converts these flags to a simulated network. @throws AIOT_USAGE */
export function networkOf(flags: NetworkInput): Network {
  return {
    seed: flags.seed,
    loss: parseShare('loss', flags.loss),
    latencyMs: parseLatency(flags.latency),
    offline: parseShare('offline', flags.offline),
    failRate: parseShare('fail-rate', flags['fail-rate']),
  };
}

interface HistoryFlags {
  show: 'presence' | 'predictions' | 'latency';
  selector?: string | undefined;
  since: PastTime;
  until?: PastTime | undefined;
  bucket?: BucketName | undefined;
  model?: string | undefined;
}

/** The query of `aiot fleet history`. @throws AIOT_USAGE */
export function historyQueryOf(
  { show, selector, since, until, bucket, model }: HistoryFlags,
  now = Date.now(),
) {
  if (show === 'presence' && model !== undefined)
    throw new AiotError(
      'AIOT_USAGE',
      '--model chooses predictions, and presence does not depend on a model',
      {
        next: 'Add --show predictions or --show latency.',
      },
    );
  const timeOf = (time: PastTime) => ('at' in time ? time.at : Math.max(0, now - time.ageMs));
  const [from, to] = [timeOf(since), until && timeOf(until)];
  if (from >= (to ?? now))
    throw new AiotError('AIOT_USAGE', '--until must be after --since, and --since before now', {
      next: 'Pass a smaller age or a later time as --until, such as `--since 3h --until 1h`.',
    });
  if ((to ?? now) - from > longestRangeMs)
    throw new AiotError('AIOT_USAGE', `expected a range of at most ${formatDuration(longestRangeMs)}`, {
      next: 'Pass a later --since, such as `--since 30d`.',
    });
  return { selector, from, to, bucket, model };
}
