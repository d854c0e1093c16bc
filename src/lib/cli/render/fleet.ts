import type { DeviceCalled } from '../../api/call-devices.js';
import type { DevicesChanged } from '../../api/change-devices.js';
import type { DeviceDrift, DeviceHealthShown } from '../../api/contract/attention.js';
import type { CommandInfo, CommandsApplied } from '../../api/contract/commands.js';
import type {
  Changeable,
  ChangedDevice,
  DeviceHistoryEntry,
  DeviceMessage,
  DeviceSecret,
  LogLine,
  LogPage,
  RemoteSession,
  SavedRecording,
} from '../../api/contract/devices.js';
import type { DeviceSettings, SettingsApplied, SettingsInfo } from '../../api/contract/settings.js';
import type { DeviceInfo } from '../../api/fields.js';
import { shownData } from '../../api/rollouts/words.js';
import { lasting, plural, readable, size } from '../../core/figures.js';
import { formatDuration } from '../../core/time.js';
import type { Conformity } from '../../device/conform/conform.js';
import type { Copied, ForwardEvent, RemoteShell } from '../../device/remote/operate.js';
import { deviceHealthText } from './platform.js';
import {
  ago,
  appliedText,
  bold,
  cutShort,
  day,
  dim,
  facts,
  green,
  minute,
  oneLine,
  red,
  table,
  timeOfDay,
  yellow,
} from './text.js';

/** One device: its state, certificate and model. */
export function deviceText(device: DeviceInfo): string {
  const { groups, tags, online, lastSeen, firmware, model, config, expires, mac, chipId } = device;
  const rows: [string, string | null][] = [
    ['id', device.id],
    ['type', device.type],
    ['groups', groups.length > 0 ? groups.join(', ') : null],
    ['tags', Object.keys(tags).length > 0 ? tagsText(tags) : null],
    ['state', `${device.state}, ${online ? 'online' : 'offline'}`],
    ['last seen', online ? 'now' : lastSeen === null ? 'never' : `${minute(lastSeen)} UTC`],
    ['firmware', firmware],
    ['model', model ? `${model.name}@${model.version} (${model.digest})` : 'none'],
    ['configuration', config ? `${config.name}@${config.version} (${config.digest})` : null],
    ['settings', settingsNote(device)],
    ['sensor', sensorText(device)],
    ['log level', logLevelText(device)],
    ['update', device.updateState ?? 'no reports'],
    ...vitalsRows(device),
    ['certificate', device.fingerprint ?? 'none yet'],
    ['valid until', expires === null ? null : day(expires)],
    ['next certificate', device.next ? `${device.next.fingerprint} (created, not used yet)` : null],
    ['board', mac],
    ['chip id', chipId],
  ];
  const known = rows.filter((row): row is [string, string] => row[1] !== null);
  return `${bold(device.name)}\n${facts(known)}`;
}

/** One device with its problems, and how its signal compares with the training data of its model. */
export function deviceWithHealthText({
  health,
  ...device
}: DeviceInfo & { health: DeviceHealthShown }): string {
  const { causes, drift } = health;
  const problems = causes.length === 0 ? '' : `\n\n${deviceHealthText(health)}`;
  return `${deviceText(device)}${drift ? `\n${driftedSignalText(drift)}` : ''}${problems}`;
}

/** PSI of each field in the last window, and the course of the largest one. */
function driftedSignalText({ model, fields, windows, samples, windowSamples }: DeviceDrift): string {
  const last = windows.at(-1);
  const title = `signal, compared with the training data of ${oneLine(model.name)}@${model.version}`;
  if (!last) return dim(`  ${title}: ${samples} of ${windowSamples} samples for the first window`);
  const shown = fields.map((field, f) => {
    const text = `${oneLine(field)} ${last.psi[f]}`;
    return last.drifted.includes(field) ? yellow(text) : text;
  });
  const drifted = windows.filter((window) => window.drifted.length > 0).length;
  return `  ${title} (PSI): ${shown.join(', ')}\n  ${drifted} of ${plural(windows.length, 'window')} drifted`;
}

const settingsWords = {
  same: 'applied',
  pending: 'not applied yet',
  rejected: 'rejected by the device',
  unsupported: 'not supported by the device',
  drifted: 'drifted',
} as const;

/** Whether the device runs its settings, and which differ; null = it has none. */
function settingsNote({ settings }: DeviceInfo): string | null {
  if (!settings) return null;
  const { state, differing } = settings;
  const text = `${settingsWords[state]}${differing.length > 0 ? `: ${cutShort(differing.join(', '), 60)}` : ''}`;
  return state === 'drifted' || state === 'rejected' ? yellow(text) : text;
}

/** A device's settings with their sources, or the settings of one or all types with the overrides for groups. */
export function settingsText(shown: DeviceSettings | SettingsInfo | { settings: SettingsInfo[] }): string {
  if ('device' in shown) return deviceSettingsText(shown);
  if ('schema' in shown) return typeSettingsTable([shown]);
  return typeSettingsTable(shown.settings);
}

function deviceSettingsText({
  device,
  state,
  values,
  origins,
  differences,
  error,
  problem,
}: DeviceSettings): string {
  const reported = new Map(differences.map((each) => [each.path, each]));
  const paths = [...new Set([...Object.keys(origins), ...reported.keys()])].sort();
  const rows = paths.map((path) => {
    const different = reported.get(path);
    return [
      path,
      settingText(valueAt(values, path)),
      origins[path] ?? dim('none'),
      different ? yellow(settingText(different.reported)) : '',
    ];
  });
  const lines = [`${bold(device)}: settings ${settingsWords[state]}`];
  if (error) lines.push(yellow(`${error.code}: ${error.message}`));
  if (problem !== null) lines.push(yellow(`The overrides cannot be combined: ${problem}`));
  return `${lines.join('\n')}\n${table(['setting', 'value', 'source', 'device reports'], rows, 'No settings.')}`;
}

function typeSettingsTable(types: readonly SettingsInfo[]): string {
  const rows = types.flatMap(({ type, project, schema, groups }) => [
    [type, project, dim('all'), '', Object.keys((schema.properties ?? {}) as object).join(', ')],
    ...groups.map(({ group, priority, values }) => [
      type,
      project,
      group,
      String(priority),
      JSON.stringify(values),
    ]),
  ]);
  const head = ['type', 'project', 'group', 'priority', 'settings'];
  return table(head, rows, 'No project defines settings yet.');
}

function valueAt(values: Record<string, unknown>, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | null | undefined)?.[name], values);
}

function settingText(value: unknown): string {
  return value === undefined ? '–' : cutShort(typeof value === 'string' ? value : JSON.stringify(value), 60);
}

/** The changes to a project's settings, one line for each kind of change. */
export function settingsAppliedText(applied: SettingsApplied): string {
  const { project, dryRun } = applied;
  const text = appliedText(`Settings of ${project}`, applied, dryRun);
  return text === ''
    ? `The project ${project} has no settings. To add some, write them under settings: in aiot.yaml.`
    : text;
}

/** The device's sensor, and the reason why its model makes no predictions; null before the first report. */
function sensorText({ sensor, updateState }: DeviceInfo): string | null {
  if (!sensor) return updateState === null ? null : 'none reported';
  const { stream, fields, rate, unfit } = sensor;
  const samples = `${stream}: ${fields.join(', ')} at ${readable(rate)} Hz`;
  return unfit === null ? samples : `${samples}\n${yellow(`no predictions: ${unfit}`)}`;
}

/** The level of the device's log; null if it does not report one. */
function logLevelText({ log }: DeviceInfo): string | null {
  if (!log) return null;
  return log.forMs === undefined
    ? log.level
    : `${log.level} (for another ${lasting(log.forMs)} when reported)`;
}

/** The device's health readings; a reading is null if the device does not report it. */
function vitalsRows({ vitals, heap }: DeviceInfo): [string, string | null][] {
  const { uptimeMs, boot, battery, rssiDbm, disk, queue } = vitals ?? {};
  return [
    ['running for', uptimeMs === undefined ? null : lasting(uptimeMs)],
    ['last restart', boot ? boot.reason : null],
    ['battery', battery ? `${readable(battery.percent)} %` : null],
    ['Wi-Fi signal', rssiDbm === undefined ? null : `${rssiDbm} dBm`],
    ['free memory', heap ? `${size(heap.free)}, lowest ${size(heap.least)} since its start` : null],
    ['free disk', disk ? `${size(disk.freeBytes)} of ${size(disk.totalBytes)}` : null],
    ['queue', queue ? `${queue.waiting} waiting, ${plural(queue.dropped, 'message')} dropped` : null],
  ];
}

/** @param now ms since 1970 */
export function devicesTable(devices: DeviceInfo[], now: number): string {
  const rows = devices.map(({ name, type, state, online, lastSeen, firmware, model, updateState }) => [
    cutShort(name, longest),
    cutShort(type, longest),
    state,
    online ? 'online' : lastSeen === null ? null : ago(lastSeen, now),
    firmware && cutShort(firmware, 16),
    model ? cutShort(`${model.name}@${model.version}`, longest) : null,
    updateState,
  ]);
  const notes = devices.map((device) => {
    const { sensor, settings } = device;
    if (sensor?.unfit) return `no predictions: ${sensor.unfit}`;
    return settings?.state === 'drifted' || settings?.state === 'rejected'
      ? `settings ${settingsNote(device)}`
      : null;
  });
  return table(
    ['name', 'type', 'state', 'last seen', 'firmware', 'model', 'update'],
    rows,
    'No devices.',
    notes,
  );
}

/** Maximum length of a name in a table, so that long names do not widen it. `device show` and JSON contain the full name. */
const longest = 32;

/** Maximum number of rows for completed changes. A dry run shows all rows. */
const shown = 20;

const done: Record<string, string> = {
  ...{ suspend: 'suspended', resume: 'resumed', revoke: 'revoked', remove: 'removed' },
  ...{ tag: 'tagged', group: 'grouped' },
};

/** The actual or planned change of each device. */
export function changedText(result: DevicesChanged): string {
  const { action, dryRun, selector, matched, changed, refused, devices } = result;
  const what = done[action] ?? action;
  const same = matched - changed - refused;
  const counts = [
    `${plural(changed, 'device')} ${dryRun ? 'would be ' : ''}${what}`,
    ...(same > 0 ? [`${same} unchanged`] : []),
    ...(refused > 0 ? [yellow(`${refused} rejected`)] : []),
  ].join(', ');
  if (selector === null && devices[0]) return sentence(devices[0], what, dryRun);
  const first = dryRun ? devices : [...devices].sort((a, b) => rank(a) - rank(b)).slice(0, shown);
  const rows = first.map((device) => [cutShort(device.name, longest), device.type, ...outcome(device)]);
  const left = devices.length - first.length;
  const more = left > 0 ? `\n${dim(`and ${left} more; use --json for all`)}` : '';
  return `${table(['name', 'type', 'before', 'after'], rows)}${more}\n\n${bold(counts)}.`;
}

/** Sort order of the outcomes: failures come first. */
function rank({ outcome }: ChangedDevice): number {
  return outcome === 'refused' ? 0 : 1;
}

function sentence(device: ChangedDevice, what: string, dryRun: boolean): string {
  const [before, after] = outcome(device);
  if (device.outcome === 'same') return `${bold(device.name)} is unchanged: ${before}.`;
  return `${bold(device.name)} ${dryRun ? 'would be' : 'is'} ${what}: ${before} → ${after}.`;
}

function outcome({ outcome, before, after, error }: ChangedDevice): [string, string] {
  if (before === null) return ['–', yellow(error?.message ?? '')];
  if (outcome === 'refused') return [before.state, yellow(error?.message ?? '')];
  if (after === null) return [before.state, 'gone'];
  const [old, now] = [differing(before, after), differing(after, before)];
  return outcome === 'same' ? [old, 'unchanged'] : [old, now];
}

/** The properties in which two states of a device differ. */
function differing(device: Changeable, other: Changeable): string {
  if (device.state !== other.state) return device.state;
  const [tags, groups] = [otherTags(device.tags, other.tags), otherGroups(device.groups, other.groups)];
  return tags ?? groups ?? device.state;
}

/** Tags as a user would type them: `floor=2 site=lab`. */
function tagsText(tags: Record<string, string>): string {
  return Object.entries(tags)
    .map(([tag, value]) => `${tag}=${/\s/.test(value) ? JSON.stringify(value) : value}`)
    .join(' ');
}

function otherTags(tags: Changeable['tags'], other: Changeable['tags']): string | null {
  if (JSON.stringify(tags) === JSON.stringify(other)) return null;
  return (
    tagsText(Object.fromEntries(Object.entries(tags).filter(([tag, value]) => other[tag] !== value))) || '–'
  );
}

function otherGroups(groups: readonly string[], other: readonly string[]): string | null {
  if (groups.join() === other.join()) return null;
  return groups.filter((group) => !other.includes(group)).join(' ') || '–';
}

export function deviceHistoryText(entries: DeviceHistoryEntry[]): string {
  const rows = entries.map(({ at, type, who, data }) => [
    minute(at),
    type.replace(/^device\./, ''),
    who,
    cutShort(dataText(shownData(data)), 60),
  ]);
  return table(['time (UTC)', 'change', 'user', 'details'], rows);
}

/** A device's reply, and its latency. */
/** The reply of one device, or a table of the outcomes of several. */
export function deviceCalledText(called: DeviceCalled): string {
  if (!('devices' in called)) {
    const told = dataText((called.result ?? {}) as Record<string, unknown>);
    const head = `${bold(called.device)} replied to ${called.command} in ${Math.round(called.ms)} ms`;
    return `${head}${told === '' ? '' : `\n${told}`}`;
  }
  const { command, selector, matched, succeeded, failed, devices } = called;
  const rows = devices.map(({ device, error, result, ms }) =>
    error === null
      ? [
          device,
          green('done'),
          `${Math.round(ms ?? 0)} ms`,
          dataText((result ?? {}) as Record<string, unknown>),
        ]
      : [device, red('failed'), '', `${error.code}: ${cutShort(error.message, 100)}`],
  );
  const sum = `${succeeded} of ${plural(matched, 'device')} ran ${command}${failed > 0 ? `, ${failed} failed` : ''}`;
  return `${bold(sum)} ${dim(`(${selector})`)}\n${table(['device', 'outcome', 'time', 'reply'], rows)}`;
}

/** Commands with their parameters; a required one has an asterisk. */
export function commandsTable(commands: readonly CommandInfo[]): string {
  const rows = commands.map(({ type, name, params, role, timeoutMs, repeatable, summary, project }) => [
    name,
    project === null ? dim('all') : type,
    paramsText(params),
    role,
    formatDuration(timeoutMs),
    repeatable ? 'yes' : 'no',
    summary ?? '',
  ]);
  const head = ['command', 'type', 'parameters', 'role', 'timeout', 'repeatable', 'summary'];
  return table(head, rows, 'No project defines commands yet.');
}

function paramsText(params: CommandInfo['params']): string {
  const { properties = {}, required = [] } = (params ?? {}) as {
    properties?: Record<string, { type?: unknown }>;
    required?: string[];
  };
  return Object.entries(properties)
    .map(
      ([name, { type }]) =>
        `${name}${required.includes(name) ? '*' : ''}${typeof type === 'string' ? ` ${type}` : ''}`,
    )
    .join(', ');
}

/** The changes to a project's commands, one line for each kind of change. */
export function commandsAppliedText(applied: CommandsApplied): string {
  const { project, dryRun } = applied;
  const text = appliedText(`Commands of ${project}`, applied, dryRun);
  return text === ''
    ? `The project ${project} has no commands. To add one, write it under commands: in aiot.yaml.`
    : text;
}

/** Messages of one channel, oldest first. */
/** Messages of one device, or log lines of many. */
export function logsText(channel: string, found: readonly DeviceMessage[] | LogPage): string {
  if (!('lines' in found)) return deviceMessagesText(channel, found);
  const rows = found.lines.map(({ at, device, level, message, code }) => [
    ...[minute(at), device, level, cutShort(code === undefined ? message : `${message} (${code})`, 100)],
  ]);
  const none =
    found.next === null ? 'No matching log lines in this time.' : 'No matching lines on this page.';
  const text = table(['time (UTC)', 'device', 'level', 'message'], rows, none);
  return found.next === null ? text : `${text}\n${dim(`more with --after ${found.next}`)}`;
}

/** A line of an endless output. */
export function logLineText({ at, device, level, message, code }: LogLine): string {
  const paint = { debug: dim, info: (text: string) => text, warn: yellow, error: red }[level];
  const said = oneLine(code === undefined ? message : `${message} (${code})`);
  return `${dim(timeOfDay(at))}  ${bold(device)}  ${paint(level.padEnd(5))}  ${said}`;
}

function deviceMessagesText(channel: string, messages: readonly DeviceMessage[]): string {
  const rows = messages.map(({ at, stream, payload }) => {
    const { seq: _seq, t: _t, level, message, ...rest } = payload;
    const said = typeof message === 'string' ? message : dataText(rest);
    return [minute(at), stream ?? (typeof level === 'string' ? level : ''), cutShort(said, 100)];
  });
  const head = ['time (UTC)', channel === 'telemetry' ? 'stream' : '', 'details'];
  return table(head, rows, `No messages on the channel ${channel} in this time.`);
}

function dataText(data: Record<string, unknown>): string {
  return Object.entries(data)
    .filter(([, value]) => value !== null && JSON.stringify(value) !== '{}' && JSON.stringify(value) !== '[]')
    .map(([key, value]) => `${key} ${valueText(value)}`)
    .join(', ');
}

function valueText(value: unknown): string {
  if (typeof value === 'number') return readable(value);
  if (typeof value !== 'object' || value === null) return cutShort(String(value), 40);
  if (Array.isArray(value)) return value.map(valueText).join(' ');
  const { name, version } = value as { name?: unknown; version?: unknown };
  if (typeof name === 'string' && version !== undefined) return `${name}@${version}`;
  return Object.entries(value)
    .map(([key, each]) => `${key}=${valueText(each)}`)
    .join(' ');
}

export function deviceSecretText({ device, secret, removed }: DeviceSecret): string {
  if (secret !== null) {
    return `Secret of ${device}, shown only once (use it over TLS with the user name ${device}):\n${secret}`;
  }
  return removed ? `Removed the secret of ${device}.` : `${device} has no secret.`;
}

/** Protocol conformance (docs/reference/protocol.md) of a device, a row per check, with the reason for each failure. */
export function conformityText({ device, conforms, checks, ...counted }: Conformity): string {
  const rows = checks.map(({ id, section, rule, state, reason }) => [
    { passed: green('✓'), failed: red('✗'), skipped: yellow('–') }[state],
    id,
    dim(`#${section}`),
    state === 'passed' ? rule : state === 'failed' ? red(reason ?? '') : dim(reason ?? ''),
  ]);
  const { passed, failed, skipped, seconds } = counted;
  const said = conforms ? `${green('conforms')} to protocol v1` : `${red('does not conform')} to protocol v1`;
  const line = `${bold(device)} ${said}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds.toFixed(1)} s.`;
  return `${table(['', 'check', 'aiot docs protocol', ''], rows)}\n\n${line}`;
}

export function shellText({ device, exit, signal, ms }: RemoteShell): string {
  const how = signal === null ? `exit code ${exit}` : signal;
  return `The session on ${bold(device)} ended after ${formatDuration(Math.round(ms / 1000) * 1000)} (${how}).`;
}

/** Open remote sessions, one row each. */
export function remoteSessionsText(sessions: readonly RemoteSession[], now = Date.now()): string {
  const rows = sessions.map(({ id, device, who, kind, target, opened, until, bytesFrom, bytesTo }) => [
    id,
    device,
    who,
    `${kind} ${dim(target)}`,
    ago(opened, now),
    minute(until),
    `${size(bytesFrom)} / ${size(bytesTo)}`,
  ]);
  const head = ['id', 'device', 'user', 'session', 'opened', 'until (UTC)', 'from / to device'];
  return table(head, rows, 'No open sessions.');
}

export function closedSessionText({ device, who, kind }: RemoteSession): string {
  return `The ${kind} session of ${who} on ${bold(device)} is closed.`;
}

export function savedRecordingText({ device, who, opened, bytes, file }: SavedRecording): string {
  const what = `the shell that ${who} opened on ${bold(device)} at ${minute(opened)} UTC`;
  return `Saved the recording of ${what} to ${bold(file)} (${size(bytes)}).\nTo play it, run asciinema play ${file}.`;
}

export function forwardText({ event, device, from, to, until, reason }: ForwardEvent): string {
  if (event === 'listening')
    return `${bold(from)} is ${to} of ${device}${until === undefined ? '' : dim(` until ${minute(until)}`)}. Press Ctrl-C to stop.`;
  if (event === 'resumed') return `${green('resumed')} ${from}`;
  return `${yellow(event)} ${from}: ${reason ?? ''}`;
}

export function copiedText({ from, to, bytes }: Copied): string {
  return `Copied ${from} to ${bold(to)} (${size(bytes)}).`;
}
