import { useSignal } from '@preact/signals';
import type { Alarm, NewAlarm } from '../../../src/lib/api/index.js';
import { formatDuration, parseDuration } from '../../../src/lib/core/time.js';
import { windowWithZone } from '../../../src/lib/fleet/window.js';
import { ApiError, at, send } from '../../app/api.js';
import { goTo, linkTo } from '../../app/route.js';
import { plural, shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';

/** The kinds of conditions, and the words of the form. */
const kinds = {
  telemetry: 'a condition on each sample',
  change: 'the change of a field',
  class: 'the predictions of a class',
  absence: 'no telemetry',
  offline: 'the share of offline devices',
  unwell: 'the health of a device',
} as const;
type Kind = keyof typeof kinds;

/** An example of the condition of each kind. */
const examples = {
  ...{ telemetry: 'temperature > 80', change: 'change > 5', absence: '', offline: 'share > 0.05' },
  ...{ class: 'share > 0.2 and total >= 50', unwell: '"battery-low" in causes' },
} as const satisfies Record<Kind, string>;

/** The browser's time zone. */
const hereZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The texts of the form; empty = no value. */
export interface AlarmFields {
  kind: Kind;
  name: string;
  where: string;
  /** Field whose change is evaluated. */
  rate: string;
  /** Class whose predictions are counted. */
  class: string;
  within: string;
  absent: string;
  for: string;
  clear: string;
  clearFor: string;
  stream: string;
  selector: string;
  severity: Alarm['severity'];
  /** Weekly times without notifications, separated by semicolons. */
  maintenance: string;
  todo: string;
}

const blank: AlarmFields = {
  ...{ kind: 'telemetry', name: '', where: '', rate: '', class: '', within: '1m', absent: '10m', for: '' },
  ...{ clear: '', clearFor: '', stream: '', selector: '', severity: 'warning', maintenance: '', todo: '' },
};

/** The fields of the form for an existing alarm. */
export function fieldsFor(alarm: Alarm): AlarmFields {
  const { rate, class: label, absentMs, withinMs, forMs, clearForMs, selector, maintenance = [] } = alarm;
  const span = (ms: number | undefined, other: string) => (ms ? formatDuration(ms) : other);
  const kind =
    absentMs !== undefined
      ? 'absence'
      : rate !== undefined
        ? 'change'
        : label !== undefined
          ? 'class'
          : alarm.offline
            ? 'offline'
            : alarm.unwell
              ? 'unwell'
              : 'telemetry';
  return {
    ...{
      kind,
      name: alarm.name,
      severity: alarm.severity,
      maintenance: maintenance.map((window) => windowWithZone(window, 'UTC')).join('; '),
    },
    ...{ where: alarm.where ?? '', clear: alarm.clear ?? '', rate: rate ?? '', class: label ?? '' },
    ...{ within: span(withinMs, blank.within), absent: span(absentMs, blank.absent) },
    ...{ for: span(forMs, ''), clearFor: span(clearForMs, ''), stream: alarm.stream ?? '' },
    ...{ selector: selector === 'all' ? '' : selector, todo: alarm.todo ?? '' },
  };
}

/** Which fields a kind of condition has. */
function fieldsOf(kind: Kind) {
  return {
    where: kind !== 'absence',
    stream: kind !== 'offline' && kind !== 'unwell' && kind !== 'class',
    within: kind === 'change' || kind === 'class',
  };
}

/** The alarm that the form describes. @throws ApiError (a duration is malformed) */
export function alarmOf(given: AlarmFields): NewAlarm {
  const { kind, name, where, within, absent, clear, clearFor, stream, selector, severity, todo } = given;
  const has = fieldsOf(kind);
  const text = (value: string) => (value.trim() === '' ? undefined : value.trim());
  const span = (label: string, value: string) => text(value) && ms(label, value);
  const maintenance = windowsIn(given.maintenance);
  return {
    ...{ name: name.trim(), severity, selector: text(selector), todo: text(todo) },
    ...(maintenance.length === 0 ? {} : { maintenance }),
    ...(has.where
      ? { where: text(where), clear: text(clear), forMs: span('For at least', given.for) }
      : { absentMs: ms('No telemetry for', absent) }),
    ...(has.where ? { clearForMs: span('Ended for', clearFor) } : {}),
    ...(has.stream ? { stream: text(stream) } : {}),
    ...(has.within ? { withinMs: ms('Within', within) } : {}),
    ...(kind === 'change' ? { rate: text(given.rate) } : {}),
    ...(kind === 'class' ? { class: text(given.class) } : {}),
    ...(kind === 'offline' ? { offline: true } : {}),
    ...(kind === 'unwell' ? { unwell: true } : {}),
  } as NewAlarm;
}

/** The windows in a text, in the browser's time zone unless they name another one. */
function windowsIn(text: string): string[] {
  return text
    .split(';')
    .map((window) => window.trim())
    .filter(Boolean)
    .map((window) => windowWithZone(window, hereZone));
}

/** A typed duration, ms. @throws ApiError */
export function ms(label: string, text: string): number {
  try {
    return parseDuration(text.trim());
  } catch {
    throw new ApiError(
      'AIOT_REQUEST_INVALID',
      `${label}: expected a duration, such as 10s, 5m or 2h, got "${text.trim()}"`,
      'Enter a number with its unit: s, m, h or d.',
    );
  }
}

/** The command that creates the same alarm, or changes it. */
export function commandOf(given: AlarmFields, replaces = false): string {
  const has = fieldsOf(given.kind);
  const flags: (readonly [flag: string, value: string])[] = [
    ['name', given.name],
    ...(given.kind === 'absence' ? [['absent', given.absent] as const] : []),
    ...(given.kind === 'change' ? [['rate', given.rate] as const] : []),
    ...(given.kind === 'class' ? [['class', given.class] as const] : []),
    ...(has.within ? [['within', given.within] as const] : []),
    ...(has.where
      ? ([
          ['where', given.where],
          ['for', given.for],
          ['clear', given.clear],
          ['clear-for', given.clearFor],
        ] as const)
      : []),
    ...(has.stream ? [['stream', given.stream] as const] : []),
    ['selector', given.selector],
    ['severity', given.severity === 'warning' ? '' : given.severity],
    ...windowsIn(given.maintenance).map((window) => ['maintenance', window] as const),
    ['todo', given.todo],
  ];
  const switches = { offline: ' --offline-devices', unwell: ' --unwell' };
  const mode = given.kind === 'offline' || given.kind === 'unwell' ? switches[given.kind] : '';
  const texts = flags.flatMap(([flag, value]) =>
    value.trim() === '' ? [] : [` --${flag} ${shellWord(value.trim())}`],
  );
  return `aiot alarm create${mode}${texts.join('')}${replaces ? ' --replace' : ''}`;
}

/** A form for a new alarm, or to change an alarm. The platform checks it, and the form shows why it rejects one. */
export function AlarmForm({ alarm, onClose }: { alarm?: Alarm; onClose: () => void }) {
  const fields = useSignal(alarm ? fieldsFor(alarm) : blank);
  const { kind } = fields.value;
  const has = fieldsOf(kind);
  const store = async () => {
    const wanted = alarmOf(fields.value);
    if (alarm) {
      await send(at('PUT /alarms/:name', { name: alarm.name }), wanted);
      return;
    }
    await send(at('POST /alarms', {}), wanted);
    goTo(linkTo(['alarms', wanted.name]));
  };
  const field = (
    key: keyof AlarmFields,
    label: string,
    more: { example?: string; required?: boolean; fixed?: boolean } = {},
  ) => (
    <div class="field">
      <label for={`alarm-${key}`}>{label}</label>
      <input
        id={`alarm-${key}`}
        type="text"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={key === 'todo'}
        required={more.required ?? false}
        readOnly={more.fixed ?? false}
        placeholder={more.example}
        value={fields.value[key]}
        onInput={({ currentTarget }) => {
          fields.value = { ...fields.value, [key]: currentTarget.value };
        }}
      />
    </div>
  );
  const choice = (
    key: 'kind' | 'severity',
    label: string,
    options: readonly (readonly [string, string])[],
  ) => (
    <div class="field">
      <label for={`alarm-${key}`}>{label}</label>
      <select
        id={`alarm-${key}`}
        value={fields.value[key]}
        onChange={({ currentTarget }) => {
          fields.value = { ...fields.value, [key]: currentTarget.value };
        }}
      >
        {options.map(([value, title]) => (
          <option key={value} value={value}>
            {title}
          </option>
        ))}
      </select>
    </div>
  );
  return (
    <Confirm
      title={alarm ? `Edit ${alarm.name}` : 'New alarm'}
      action={alarm ? 'Save' : 'Create'}
      run={store}
      onClose={onClose}
    >
      {alarm && (
        <p>
          The alarm starts over with the next message
          {alarm.open === 0 ? '.' : `. ${plural(alarm.open, 'open incident')} will end.`}
        </p>
      )}
      {alarm?.project !== undefined && (
        <p>
          <strong>The project {alarm.project} defines this alarm.</strong> The next{' '}
          <code>aiot alarm apply</code> restores its definition.
        </p>
      )}
      {choice('kind', 'Kind', Object.entries(kinds))}
      {field('name', 'Name', { example: 'hot', required: true, fixed: alarm !== undefined })}
      {kind === 'change' && field('rate', 'Field', { example: 'temperature', required: true })}
      {kind === 'class' && field('class', 'Class', { example: 'shaking', required: true })}
      {has.within && field('within', 'Within', { example: '1m', required: true })}
      {has.where && field('where', 'Condition', { example: examples[kind], required: true })}
      {has.where && field('for', 'For at least', { example: '10s' })}
      {has.where && field('clear', 'Ends when', { example: 'the condition no longer holds' })}
      {has.where && field('clearFor', 'Ended for', { example: '0s' })}
      {!has.where && field('absent', 'No telemetry for', { example: '10m', required: true })}
      {has.stream && field('stream', 'Stream', { example: 'every stream' })}
      {field('selector', 'Devices', { example: 'all' })}
      {choice('severity', 'Severity', [
        ['info', 'info'],
        ['warning', 'warning'],
        ['critical', 'critical'],
      ])}
      {field('maintenance', `Maintenance windows (${hereZone} by default)`, {
        example: 'sat,sun 02:00-04:00; daily 22:00-22:30',
      })}
      {field('todo', 'Next step for the operator', { example: 'Check the fan.' })}
      <Command line={commandOf(fields.value, alarm !== undefined)} />
    </Confirm>
  );
}
