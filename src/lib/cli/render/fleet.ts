import { plural } from '../../core/figures.js';
import type { Conformity } from '../../device/conform/conform.js';
import type { DevicesChanged } from '../../registry/change-devices.js';
import type { DeviceInfo } from '../../registry/fields.js';
import type { Changeable, ChangedDevice, DeviceHistoryEntry } from '../../registry/fleet-api.js';
import type { DeviceSecret } from '../../registry/secrets.js';
import type { DeviceMessage, DeviceReply } from '../../registry/talk-api.js';
import { bold, dim, green, red, yellow } from './style.js';
import { cut, table } from './text.js';
import { ago, minute } from './time.js';

/** @param now ms since 1970 */
export function devicesTable(devices: DeviceInfo[], now: number): string {
  const rows = devices.map(({ name, type, state, online, lastSeen, firmware, model, updateState }) => [
    cut(name, longest),
    cut(type, longest),
    state,
    online ? 'online' : lastSeen === null ? null : ago(lastSeen, now),
    firmware && cut(firmware, 16),
    model ? cut(`${model.name}@${model.version}`, longest) : null,
    updateState,
  ]);
  return table(['name', 'type', 'state', 'seen', 'firmware', 'model', 'update'], rows, 'No devices.');
}

/** One long name does not make the whole table wide: the whole of it is in the JSON, and in `device show`. */
const longest = 32;

/** How many rows of what was done are shown; of what would be done all are. */
const shown = 20;

const done: Record<string, string> = {
  ...{ suspend: 'suspended', resume: 'resumed', revoke: 'revoked', remove: 'removed' },
  ...{ tag: 'tagged', group: 'grouped' },
};

/** What was, or would be, done with each device. */
export function changedText(result: DevicesChanged): string {
  const { action, dryRun, selector, matched, changed, refused, devices } = result;
  const what = done[action] ?? action;
  const same = matched - changed - refused;
  const counts = [
    `${plural(changed, 'device')} ${dryRun ? 'would be ' : ''}${what}`,
    ...(same > 0 ? [`${same} as it should be already`] : []),
    ...(refused > 0 ? [yellow(`${refused} refused`)] : []),
  ].join(', ');
  if (selector === null && devices[0]) return sentence(devices[0], what, dryRun);
  const first = dryRun ? devices : [...devices].sort((a, b) => rank(a) - rank(b)).slice(0, shown);
  const rows = first.map((device) => [cut(device.name, longest), device.type, ...outcome(device)]);
  const left = devices.length - first.length;
  const more = left > 0 ? `\n${dim(`and ${left} more; --json tells of all`)}` : '';
  return `${table(['name', 'type', 'before', 'after'], rows)}${more}\n\n${bold(counts)}.`;
}

/** What went wrong comes first. */
function rank({ outcome }: ChangedDevice): number {
  return outcome === 'refused' ? 0 : 1;
}

function sentence(device: ChangedDevice, what: string, dryRun: boolean): string {
  const [before, after] = outcome(device);
  if (device.outcome === 'same') return `${bold(device.name)} is so already: ${before}.`;
  return `${bold(device.name)} ${dryRun ? 'would be' : 'is'} ${what}: ${before} → ${after}.`;
}

function outcome({ outcome, before, after, error }: ChangedDevice): [string, string] {
  if (before === null) return ['–', yellow(error?.message ?? '')];
  if (outcome === 'refused') return [before.state, yellow(error?.message ?? '')];
  if (after === null) return [before.state, 'gone'];
  const [old, now] = [differing(before, after), differing(after, before)];
  return outcome === 'same' ? [old, 'the same'] : [old, now];
}

/** What of a device is not as in the other one. */
function differing(device: Changeable, other: Changeable): string {
  if (device.state !== other.state) return device.state;
  const [tags, groups] = [otherTags(device.tags, other.tags), otherGroups(device.groups, other.groups)];
  return tags ?? groups ?? device.state;
}

/** As they are typed: `floor=2 site=lab`. */
export function tagsText(tags: Record<string, string>): string {
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
    cut(dataText(data), 60),
  ]);
  return table(['when (UTC)', 'what', 'who', 'with'], rows);
}

/** What a device answered, and how soon. */
export function deviceReplyText({ device, command, result, ms }: DeviceReply): string {
  const told = dataText((result ?? {}) as Record<string, unknown>);
  return `${bold(device)} answered ${command} within ${Math.round(ms)} ms${told === '' ? '' : `\n${told}`}`;
}

/** Messages of one channel, oldest first. */
export function deviceMessagesText(channel: string, messages: readonly DeviceMessage[]): string {
  const rows = messages.map(({ at, stream, payload }) => {
    const { seq: _seq, t: _t, level, message, ...rest } = payload;
    const said = typeof message === 'string' ? message : dataText(rest);
    return [minute(at), stream ?? (typeof level === 'string' ? level : ''), cut(said, 100)];
  });
  const head = ['when (UTC)', channel === 'telemetry' ? 'stream' : '', 'what'];
  return table(head, rows, `Nothing on the channel ${channel} in this time.`);
}

function dataText(data: Record<string, unknown>): string {
  return Object.entries(data)
    .filter(([, value]) => value !== null && JSON.stringify(value) !== '{}' && JSON.stringify(value) !== '[]')
    .map(([key, value]) => `${key} ${valueText(value)}`)
    .join(', ');
}

function valueText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return cut(String(value), 40);
  if (Array.isArray(value)) return value.map(valueText).join(' ');
  const { name, version } = value as { name?: unknown; version?: unknown };
  if (typeof name === 'string' && version !== undefined) return `${name}@${version}`;
  return Object.entries(value)
    .map(([key, each]) => `${key}=${valueText(each)}`)
    .join(' ');
}

export function deviceSecretText({ device, secret, removed }: DeviceSecret): string {
  if (secret !== null) {
    return `Secret of ${device}, shown this once; over TLS, with ${device} as the user name:\n${secret}`;
  }
  return removed ? `${device} has no secret any more.` : `${device} had no secret.`;
}

/** A device beside docs/protocol.md, a row a check: what it holds, or why it does not. */
export function conformityText({ device, conforms, checks, ...counted }: Conformity): string {
  const rows = checks.map(({ id, section, rule, state, reason }) => [
    { passed: green('✓'), failed: red('✗'), skipped: yellow('–') }[state],
    id,
    dim(`#${section}`),
    state === 'passed' ? rule : state === 'failed' ? red(reason ?? '') : dim(reason ?? ''),
  ]);
  const { passed, failed, skipped, seconds } = counted;
  const said = conforms
    ? `${green('speaks')} protocol v1`
    : `${red('does not speak')} protocol v1 as it is written`;
  const line = `${bold(device)} ${said}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds.toFixed(1)} s.`;
  return `${table(['', 'check', 'docs/protocol.md', ''], rows)}\n\n${line}`;
}
