import { useSignal } from '@preact/signals';
import type { Alarm, AlarmTarget } from '../../../src/lib/api/index.js';
import { formatDuration } from '../../../src/lib/core/time.js';
import { ApiError, at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { mayManage } from '../../app/session.js';
import { plural, shellWord } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';
import { Field } from '../../parts/field.js';
import { Failure, Loading, Section } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { ms } from './new.js';

type Asked = { kind: 'add' } | { kind: 'test' | 'remove'; target: AlarmTarget };

/** The addresses to which incidents are sent, for operators of the whole platform. */
export function Targets() {
  const { value, error, reload } = useResource(at('GET /alarm-targets', {}), {
    events: ['alarm.target.*', 'alarm.raise', 'alarm.clear'],
  });
  const asked = useSignal<Asked | null>(null);
  const said = useSignal('');
  const mayWrite = mayManage('webhooks', 'write');
  const columns: Column<AlarmTarget>[] = mayWrite
    ? [
        ...targetColumns,
        {
          title: 'action',
          cell: (target) =>
            (['test', 'remove'] as const).map((kind) => (
              <button
                key={kind}
                type="button"
                class="quiet"
                aria-label={`${words[kind]} the target ${target.name}`}
                onClick={() => {
                  said.value = '';
                  asked.value = { kind, target };
                }}
              >
                {words[kind]}
              </button>
            )),
          width: '150px',
        },
      ]
    : targetColumns;
  const close = () => {
    asked.value = null;
    reload();
  };
  const open = asked.value;
  return (
    <Section title="Targets" note={value && plural(value.targets.length, 'target')}>
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value?.targets.length === 0 && (
        <p class="soft">Incidents are only recorded. Add a target to notify people of them.</p>
      )}
      {value && value.targets.length > 0 && (
        <Table
          rows={value.targets}
          columns={columns}
          keyOf={({ name }) => name}
          label="Targets"
          name="targets"
        />
      )}
      <p role="status">{said.value}</p>
      {mayWrite && (
        <div class="choices start">
          <button
            type="button"
            onClick={() => {
              asked.value = { kind: 'add' };
            }}
          >
            Add a target
          </button>
        </div>
      )}
      {open?.kind === 'add' && <AddTarget onClose={close} />}
      {open?.kind === 'test' && (
        <Confirm
          title={`Test ${open.target.name}`}
          action="Send"
          run={async () => {
            said.value = await tested(open.target.name);
          }}
          onClose={close}
        >
          <p>Sends a test message to {open.target.url} now.</p>
          <Command line={`aiot alarm target test ${shellWord(open.target.name)}`} />
        </Confirm>
      )}
      {open?.kind === 'remove' && (
        <Confirm
          title={`Remove ${open.target.name}`}
          action="Remove"
          danger
          run={() => send(at('DELETE /alarm-targets/:name', { name: open.target.name }))}
          onClose={close}
        >
          <p>
            {open.target.url} receives no more incidents
            {open.target.pending === 0
              ? '.'
              : `. ${plural(open.target.pending, 'unsent incident')} will not be sent to it.`}
          </p>
          {open.target.project !== undefined && (
            <p>
              <strong>The project {open.target.project} defines this target.</strong> The next{' '}
              <code>aiot alarm apply</code> creates it again.
            </p>
          )}
          <Command line={`aiot alarm target remove ${shellWord(open.target.name)}`} />
        </Confirm>
      )}
    </Section>
  );
}

const words = { test: 'Test', remove: 'Remove' } as const;

/** Sends a test message, and returns the result in words. @throws ApiError (it was not delivered) */
async function tested(name: string): Promise<string> {
  const { delivered, ms, error } = await send(at('POST /alarm-targets/:name/test', { name }));
  if (!delivered)
    throw new ApiError(
      'AIOT_ALARM_TARGET',
      `${name} did not accept the message: ${error ?? 'no reason was given'}`,
      'Check the address. To change it, remove the target and add it again.',
    );
  return `The test message was delivered to ${name} in ${Math.round(ms).toLocaleString('en')} ms.`;
}

/** Which incidents a target gets, such as `hot, mute, critical, unacknowledged after 15m`. */
function routeOf({ severity, alarms, afterMs, groupMs }: AlarmTarget): string {
  const least = severity === 'info' ? [] : [severity === 'critical' ? 'critical' : `${severity} or worse`];
  return [
    alarms.length === 0 ? 'all alarms' : alarms.join(', '),
    ...least,
    ...(afterMs === 0 ? [] : [`unacknowledged after ${formatDuration(afterMs)}`]),
    ...(groupMs === 60_000 ? [] : [`grouped over ${formatDuration(groupMs)}`]),
  ].join(', ');
}

function Delivery({ target: { pending, failures, error, delivered } }: { target: AlarmTarget }) {
  if (error !== null)
    return (
      <span title={error}>
        <Badge tone="bad">failing</Badge> {plural(failures, 'attempt')}: {error}
      </span>
    );
  if (delivered === null) return <Badge tone="soft">nothing sent yet</Badge>;
  return (
    <>
      <Badge tone="good">sent</Badge> <When at={delivered} as="ago" />
      {pending > 0 && `, ${pending.toLocaleString('en')} unsent`}
    </>
  );
}

const targetColumns: Column<AlarmTarget>[] = [
  { title: 'target', cell: ({ name }) => name, sort: ({ name }) => name, width: '1fr' },
  {
    title: 'address',
    cell: ({ url }) => <span title={url}>{url}</span>,
    sort: ({ url }) => url,
    width: '2fr',
    wide: true,
  },
  {
    title: 'incidents',
    cell: (target) => <span title={routeOf(target)}>{routeOf(target)}</span>,
    sort: routeOf,
    width: '1.4fr',
    wide: true,
  },
  {
    title: 'delivery',
    cell: (target) => <Delivery target={target} />,
    sort: ({ error, delivered }) => error ?? delivered,
    width: '1.2fr',
  },
];

const usual = {
  ...{ name: '', url: '', severity: 'info' as Alarm['severity'], alarms: '', after: '', group: '' },
  allowPrivate: false,
};
type Typed = typeof usual;

function AddTarget({ onClose }: { onClose: () => void }) {
  const typed = useSignal(usual);
  const edit = (change: Partial<Typed>) => {
    typed.value = { ...typed.value, ...change };
  };
  const add = () => {
    const { name, url, severity, after, group, allowPrivate } = typed.value;
    const alarms = namesIn(typed.value.alarms);
    return send(at('POST /alarm-targets', {}), {
      ...{ name: name.trim(), url: url.trim(), severity, allowPrivate },
      ...(alarms.length === 0 ? {} : { alarms }),
      ...(after.trim() === '' ? {} : { afterMs: ms('Only if unacknowledged after', after) }),
      ...(group.trim() === '' ? {} : { groupMs: ms('One message per alarm within', group) }),
    });
  };
  const text = (
    key: 'name' | 'url' | 'alarms' | 'after' | 'group',
    label: string,
    description: string,
    required = false,
  ) => (
    <Field
      id={`target-${key}`}
      name={label}
      property={{ type: 'string', ...(description === '' ? {} : { description }) }}
      required={required}
      value={typed.value[key]}
      onChange={(value) => edit({ [key]: value })}
    />
  );
  return (
    <Confirm title="Add a target" action="Add" run={async () => add()} onClose={onClose}>
      {text('name', 'Name', '', true)}
      {text(
        'url',
        'Address',
        'Such as ntfys://ntfy.sh/my-topic or smtp://…. $AIOT_NOTIFY_… stands for a variable of the platform, such as a password.',
        true,
      )}
      <div class="field">
        <label for="target-severity">Least severity</label>
        <select
          id="target-severity"
          value={typed.value.severity}
          onChange={({ currentTarget }) => edit({ severity: currentTarget.value as Alarm['severity'] })}
        >
          {['info', 'warning', 'critical'].map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      </div>
      {text('alarms', 'Alarms', 'Separated by commas. Empty: all.')}
      {text('after', 'Only if unacknowledged after', 'Such as 15m, at most 7d. Empty: at once.')}
      {text('group', 'One message per alarm within', 'Such as 5m, at most 7d. Empty: 1m.')}
      <label>
        <input
          type="checkbox"
          checked={typed.value.allowPrivate}
          onChange={({ currentTarget }) => edit({ allowPrivate: currentTarget.checked })}
        />{' '}
        The address may be on this machine or on a private network, and without TLS
      </label>
      <Command line={commandOf(typed.value)} />
    </Confirm>
  );
}

const namesIn = (text: string) =>
  text
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);

/** The command that adds the same target. */
export function commandOf({ name, url, severity, alarms, after, group, allowPrivate }: Typed): string {
  const flags = [
    ...(severity === 'info' ? [] : ['--severity', severity]),
    ...(namesIn(alarms).length === 0 ? [] : ['--alarm', shellWord(namesIn(alarms).join(','))]),
    ...(after.trim() === '' ? [] : ['--after', shellWord(after.trim())]),
    ...(group.trim() === '' ? [] : ['--group', shellWord(group.trim())]),
    ...(allowPrivate ? ['--allow-private'] : []),
  ];
  const [who, where] = [shellWord(name.trim() || 'NAME'), shellWord(url.trim() || 'URL')];
  return ['aiot alarm target add', who, where, ...flags].join(' ');
}
