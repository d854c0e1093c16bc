import type { AlarmTarget, AlarmTargetTest, ProjectAlarmsApplied } from '../../api/contract/alarm-targets.js';
import type {
  Alarm,
  AlarmAcknowledged,
  AlarmFailure,
  AlarmShown,
  AlarmTest,
} from '../../api/contract/alarms.js';
import { elapsed, plural } from '../../core/figures.js';
import { formatDuration } from '../../core/time.js';
import { aboutOf } from '../../fleet/alarm-window.js';
import { windowWithZone } from '../../fleet/window.js';
import {
  ago,
  appliedText,
  bold,
  dim,
  facts,
  green,
  minute,
  moment,
  oneLine,
  red,
  table,
  wrappedLines,
  yellow,
} from './text.js';

/** The condition of an alarm in one line. */
function condition(alarm: Alarm): string {
  const { where, absentMs, forMs } = alarm;
  if (where === undefined) return `no telemetry for ${formatDuration(absentMs ?? 0)}`;
  return `${aboutOf(alarm)}${where}${forMs > 0 ? ` for ${formatDuration(forMs)}` : ''}`;
}

function stateOf({ open, unacknowledged, silencedUntil, failing }: Alarm): string {
  const fails = failing === null ? '' : `, ${red('cannot be evaluated')}`;
  const silent = `${silencedUntil === null ? '' : `, silenced until ${minute(silencedUntil)} UTC`}${fails}`;
  if (open === 0) return `${green('quiet')}${silent}`;
  const noted = unacknowledged === 0 ? yellow('acknowledged') : red('open');
  return `${noted}: ${plural(open, 'incident')}${silent}`;
}

export function alarmsTable(alarms: readonly Alarm[]): string {
  const rows = alarms.map((alarm) => [
    alarm.name,
    alarm.severity,
    stateOf(alarm),
    condition(alarm),
    sourceOf(alarm),
    alarm.selector,
  ]);
  return table(['name', 'severity', 'state', 'condition', 'stream', 'devices'], rows, 'No alarms yet.');
}

function sourceOf({ stream, class: label, offline, unwell }: Alarm): string {
  if (label !== undefined) return 'predictions';
  if (unwell) return 'health';
  return offline ? 'connections' : (stream ?? 'every stream');
}

function failureText({ count, since, device, error }: AlarmFailure): string {
  return `on ${plural(count, 'sample')} since ${minute(since)} UTC, most recently of ${device}: ${oneLine(error)}`;
}

/** The alarm with its incidents, and the result of the acknowledgment. */
export function alarmAcknowledgedText({ acknowledged, ...shown }: AlarmAcknowledged): string {
  const head =
    acknowledged === 0
      ? yellow('The open incidents were already acknowledged.')
      : green(`Acknowledged ${plural(acknowledged, 'incident')}.`);
  return `${head}\n\n${alarmShownText(shown)}`;
}

export function alarmText(alarm: Alarm): string {
  const { name, severity, selector, clear, clearForMs, todo, by, created, project, failing, maintenance } =
    alarm;
  const held = clearForMs > 0 ? ` for ${formatDuration(clearForMs)}` : '';
  const lines: [string, string][] = [
    ['state', stateOf(alarm)],
    ['severity', severity],
    ['condition', condition(alarm)],
    ...(failing === null ? [] : ([['fails', failureText(failing)]] as [string, string][])),
    ...(clear === undefined ? [] : ([['ends when', `${clear}${held}`]] as [string, string][])),
    ['stream', sourceOf(alarm)],
    ['devices', selector],
    ...(maintenance === undefined
      ? []
      : ([['maintenance', maintenance.map((window) => windowWithZone(window, 'UTC')).join('; ')]] as [
          string,
          string,
        ][])),
    ...(todo === undefined ? [] : ([['to do', todo]] as [string, string][])),
    ...(project === undefined ? [] : ([['project', project]] as [string, string][])),
    ['created', `${minute(created)} UTC by ${by}`],
  ];
  return `${bold(name)}\n${facts(lines)}`;
}

/** The changes to a project's alarms and targets, one line for each kind of change. */
export function alarmsAppliedText({ project, dryRun, targets, ...alarms }: ProjectAlarmsApplied): string {
  const parts = [
    appliedText(`Alarms of ${project}`, alarms, dryRun),
    appliedText(`Targets of ${project}`, targets, dryRun),
  ].filter((part) => part !== '');
  if (parts.length > 0) return parts.join('\n\n');
  return `The project ${project} has no alarms. To add one, write it under alarms: in aiot.yaml.`;
}

/** The question before a project's alarms and targets are removed. */
export function alarmsRemovedText({ removed, targets }: ProjectAlarmsApplied): string {
  const alarms = removed.length === 0 ? [] : [`${removed.join(', ')} with all incidents`];
  const sent = targets.removed;
  const rest =
    sent.length === 0 ? [] : [`the ${sent.length === 1 ? 'target' : 'targets'} ${sent.join(', ')}`];
  return `Permanently remove ${[...alarms, ...rest].join(', and ')}?`;
}

/** An alarm with its incidents: open ones first in red, each with its cause, its time and the person who deals with it. */
export function alarmShownText({ alarm, incidents }: AlarmShown, now = Date.now()): string {
  const list = incidents.map(({ device, raised, cleared, message, acknowledged, samples }) => {
    const end = cleared === null ? red('open') : dim(`ended after ${elapsed(Math.max(0, cleared - raised))}`);
    const noted = acknowledged
      ? `\n  ${dim(`acknowledged by ${acknowledged.who}, ${ago(acknowledged.at, now)}${acknowledged.note === null ? '' : `: ${oneLine(acknowledged.note)}`}`)}`
      : '';
    const seen = samples.length === 0 ? '' : dim(` (${plural(samples.length, 'sample')} in --json)`);
    return `\n\n${bold(device === '*' ? 'the fleet' : device)}  ${end}  ${dim(`${minute(raised)} UTC, ${ago(raised, now)}`)}\n${wrappedLines(`  ${oneLine(message)}${seen}`)}${noted}`;
  });
  return `${alarmText(alarm)}${list.length === 0 ? `\n\n${dim('It has never fired.')}` : list.join('')}`;
}

export function alarmTestText({
  alarm,
  from,
  messages,
  samples,
  total,
  truncated,
  fired,
}: AlarmTest): string {
  const limit = truncated ? '; there are more, so choose a shorter --since' : '';
  const read = `${plural(samples, 'sample')} in ${plural(messages, 'message')} since ${minute(from)} UTC${limit}`;
  const head =
    fired.length === 0
      ? `${bold(alarm)} would not have fired.`
      : `${bold(alarm)} would have fired ${plural(total, 'time')}.${total > fired.length ? ` Showing the newest ${fired.length}.` : ''}`;
  if (fired.length === 0) return `${head} ${dim(read)}`;
  const rows = fired.map(({ device, raised, cleared, message }) => [
    moment(raised),
    device,
    cleared === null ? 'until the end' : elapsed(Math.max(0, cleared - raised)),
    message,
  ]);
  return `${head} ${dim(read)}\n${table(['raised', 'device', 'lasted', 'condition'], rows)}`;
}

function deliveryOf({ pending, failures, error, retryAt, delivered }: AlarmTarget, now: number): string {
  const waiting = pending === 0 ? '' : `, ${plural(pending, 'incident')} unsent`;
  if (error !== null) {
    const again = retryAt === null ? '' : `, next attempt ${minute(retryAt)} UTC`;
    return `${red('failing')}: ${oneLine(error)} (${plural(failures, 'attempt')}${again})${waiting}`;
  }
  return `${delivered === null ? dim('nothing sent yet') : `${green('sent')} ${ago(delivered, now)}`}${waiting}`;
}

function routeOf({ severity, alarms, afterMs, groupMs }: AlarmTarget): string {
  const which = alarms.length === 0 ? 'all alarms' : alarms.join(', ');
  const least = severity === 'info' ? '' : severity === 'critical' ? ', critical' : `, ${severity} or worse`;
  const late = afterMs === 0 ? '' : `, unacknowledged after ${formatDuration(afterMs)}`;
  return `${which}${least}${late}${groupMs === 60_000 ? '' : `, grouped over ${formatDuration(groupMs)}`}`;
}

export function alarmTargetsTable(targets: readonly AlarmTarget[], now = Date.now()): string {
  const rows = targets.map((target) => [target.name, target.url, routeOf(target), deliveryOf(target, now)]);
  return table(['name', 'target', 'incidents', 'delivery'], rows, 'No alarm targets yet.');
}

export function alarmTargetText(target: AlarmTarget, now = Date.now()): string {
  return `${bold(target.name)}\n${facts([
    ['target', target.url],
    ['incidents', routeOf(target)],
    ...(target.project === undefined ? [] : ([['project', target.project]] as [string, string][])),
    ['delivery', deliveryOf(target, now)],
  ])}`;
}

export function alarmTargetTestText({ name, delivered, ms, error }: AlarmTargetTest): string {
  return delivered
    ? green(`${name} accepted the test message in ${ms} ms.`)
    : red(`${name} did not accept the test message: ${oneLine(error ?? 'unknown error')}`);
}
