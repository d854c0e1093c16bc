import { useSignal } from '@preact/signals';
import type { Alarm, NewAlarm } from '../../../src/lib/api/index.js';
import { parseDuration } from '../../../src/lib/core/time.js';
import { ApiError, at, send } from '../../app/api.js';
import { goTo, linkTo } from '../../app/route.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';

/** The kinds of conditions, and the words of the form. */
const kinds = {
  telemetry: 'a condition on each sample',
  change: 'the change of a field',
  absence: 'no telemetry',
  offline: 'the share of offline devices',
  unwell: 'the health of a device',
} as const;
type Kind = keyof typeof kinds;

/** An example of the condition of each kind. */
const examples = {
  ...{ telemetry: 'temperature > 80', change: 'change > 5', absence: '', offline: 'share > 0.05' },
  unwell: '"battery-low" in causes',
} as const satisfies Record<Kind, string>;

/** The texts of the form; empty = no value. */
export interface AlarmFields {
  kind: Kind;
  name: string;
  where: string;
  /** Field whose change is evaluated. */
  rate: string;
  within: string;
  absent: string;
  for: string;
  clear: string;
  stream: string;
  selector: string;
  severity: Alarm['severity'];
  todo: string;
}

const blank: AlarmFields = {
  ...{ kind: 'telemetry', name: '', where: '', rate: '', within: '1m', absent: '10m', for: '', clear: '' },
  ...{ stream: '', selector: '', severity: 'warning', todo: '' },
};

/** Which fields a kind of condition has. */
function fieldsOf(kind: Kind) {
  return {
    where: kind !== 'absence',
    stream: kind !== 'offline' && kind !== 'unwell',
    change: kind === 'change',
  };
}

/** The alarm that the form describes. @throws ApiError (a duration is malformed) */
export function alarmOf(given: AlarmFields): NewAlarm {
  const { kind, name, where, rate, within, absent, clear, stream, selector, severity, todo } = given;
  const has = fieldsOf(kind);
  const text = (value: string) => (value.trim() === '' ? undefined : value.trim());
  return {
    ...{ name: name.trim(), severity, selector: text(selector), todo: text(todo) },
    ...(has.where
      ? { where: text(where), clear: text(clear), forMs: text(given.for) && ms('For at least', given.for) }
      : { absentMs: ms('No telemetry for', absent) }),
    ...(has.stream ? { stream: text(stream) } : {}),
    ...(has.change ? { rate: text(rate), withinMs: ms('Within', within) } : {}),
    ...(kind === 'offline' ? { offline: true } : {}),
    ...(kind === 'unwell' ? { unwell: true } : {}),
  } as NewAlarm;
}

function ms(label: string, text: string): number {
  try {
    return parseDuration(text.trim());
  } catch {
    throw new ApiError(
      'AIOT_REQUEST_INVALID',
      `${label}: expected a duration, such as 10s, 5m or 2h, got "${text.trim()}"`,
    );
  }
}

/** The command that creates the same alarm. */
export function commandOf(given: AlarmFields): string {
  const has = fieldsOf(given.kind);
  const flags: (readonly [flag: string, value: string])[] = [
    ['name', given.name],
    ...(given.kind === 'absence' ? [['absent', given.absent] as const] : []),
    ...(has.change
      ? ([
          ['rate', given.rate],
          ['within', given.within],
        ] as const)
      : []),
    ...(has.where
      ? ([
          ['where', given.where],
          ['for', given.for],
          ['clear', given.clear],
        ] as const)
      : []),
    ...(has.stream ? [['stream', given.stream] as const] : []),
    ['selector', given.selector],
    ['severity', given.severity === 'warning' ? '' : given.severity],
    ['todo', given.todo],
  ];
  const switches = { offline: ' --offline-devices', unwell: ' --unwell' };
  const mode = given.kind === 'offline' || given.kind === 'unwell' ? switches[given.kind] : '';
  const texts = flags.flatMap(([flag, value]) =>
    value.trim() === '' ? [] : [` --${flag} ${shellWord(value.trim())}`],
  );
  return `aiot alarm create${mode}${texts.join('')}`;
}

/** A form for a new alarm. The platform checks it, and the form shows why it rejects one. */
export function CreateAlarm({ onClose }: { onClose: () => void }) {
  const fields = useSignal(blank);
  const { kind } = fields.value;
  const has = fieldsOf(kind);
  const create = async () => {
    const alarm = alarmOf(fields.value);
    await send(at('POST /alarms', {}), alarm);
    goTo(linkTo(['alarms', alarm.name]));
  };
  const field = (
    key: keyof AlarmFields,
    label: string,
    more: { example?: string; required?: boolean } = {},
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
    <Confirm title="New alarm" action="Create" run={create} onClose={onClose}>
      {choice('kind', 'Kind', Object.entries(kinds))}
      {field('name', 'Name', { example: 'hot', required: true })}
      {has.change && field('rate', 'Field', { example: 'temperature', required: true })}
      {has.change && field('within', 'Within', { example: '1m', required: true })}
      {has.where && field('where', 'Condition', { example: examples[kind], required: true })}
      {has.where && field('for', 'For at least', { example: '10s' })}
      {has.where && field('clear', 'Ends when', { example: 'the condition no longer holds' })}
      {!has.where && field('absent', 'No telemetry for', { example: '10m', required: true })}
      {has.stream && field('stream', 'Stream', { example: 'every stream' })}
      {field('selector', 'Devices', { example: 'all' })}
      {choice('severity', 'Severity', [
        ['info', 'info'],
        ['warning', 'warning'],
        ['critical', 'critical'],
      ])}
      {field('todo', 'Next step for the operator', { example: 'Check the fan.' })}
      <Command line={commandOf(fields.value)} />
    </Confirm>
  );
}
