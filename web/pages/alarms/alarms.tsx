import { useSignal } from '@preact/signals';
import type { Alarm, Incident } from '../../../src/lib/api/index.js';
import { windowWithZone } from '../../../src/lib/fleet/window.js';
import { type ApiError, at, send } from '../../app/api.js';
import { useAsked } from '../../app/asked.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { goTo, linkTo } from '../../app/route.js';
import { mayChange, mayManage } from '../../app/session.js';
import { plural, shellWord } from '../../app/text.js';
import { Badge, type Tone } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm, Duration, durations, NoteField, ownNote } from '../../parts/dialog.js';
import { Empty, Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { AlarmForm } from './new.js';
import { Targets } from './targets.js';
import { TestAlarm } from './test.js';

/** The alarms, or one of them with its incidents. */
export function Alarms({ parts }: PageOf) {
  const [name] = parts;
  return name === undefined ? <List /> : <One name={name} />;
}

/** Opens the form for a new alarm. */
function NewAlarmButton() {
  const isOpen = useSignal(false);
  useAsked((asked) => {
    if (asked !== 'new') return false;
    isOpen.value = true;
    return true;
  });
  return (
    <>
      <button type="button" class="primary" onClick={() => (isOpen.value = true)}>
        New alarm
      </button>
      {isOpen.value && <AlarmForm onClose={() => (isOpen.value = false)} />}
    </>
  );
}

const tones: Record<Alarm['severity'], Tone> = { info: 'blue', warning: 'warn', critical: 'bad' };

function List() {
  const { value, error } = useResource(at('GET /alarms', {}, { limit: 200 }), { events: ['alarm.*'] });
  const alarms = value?.alarms;
  return (
    <Page
      title="Alarms"
      command="aiot alarm list"
      actions={mayManage('devices', 'write') && <NewAlarmButton />}
    >
      {error && <Failure error={error} />}
      {!alarms && !error && <Loading />}
      {alarms?.length === 0 && (
        <Empty
          title="No alarms yet"
          command="aiot alarm create --name hot --where 'temperature > 80' --for 10s"
        >
          <p>
            An alarm watches the devices' telemetry. It raises an incident for each device on which its
            condition holds.
          </p>
        </Empty>
      )}
      {alarms && alarms.length > 0 && (
        <>
          <p class="count">{plural(alarms.length, 'alarm')}</p>
          <Table rows={alarms} columns={columns} keyOf={({ name }) => name} label="Alarms" filter />
        </>
      )}
      {mayManage('webhooks', 'read') && <Targets />}
    </Page>
  );
}

const columns: Column<Alarm>[] = [
  {
    title: 'alarm',
    cell: ({ name }) => <a href={linkTo(['alarms', name])}>{name}</a>,
    sort: ({ name }) => name,
    width: '1fr',
  },
  { title: 'state', cell: (alarm) => <State alarm={alarm} />, sort: ({ open }) => open, width: '150px' },
  {
    title: 'severity',
    cell: ({ severity }) => severity,
    sort: ({ severity }) => severity,
    width: '90px',
    wide: true,
  },
  {
    title: 'condition',
    cell: (alarm) => <span title={conditionOf(alarm)}>{conditionOf(alarm)}</span>,
    sort: conditionOf,
    width: '2fr',
    wide: true,
  },
  {
    title: 'devices',
    cell: ({ selector }) => selector,
    sort: ({ selector }) => selector,
    width: '1fr',
    wide: true,
  },
];

function State({ alarm }: { alarm: Alarm }) {
  const { open, unacknowledged, severity, silencedUntil, failing } = alarm;
  return (
    <>
      {open === 0 ? (
        <Badge tone="good">quiet</Badge>
      ) : (
        <Badge tone={unacknowledged === 0 ? 'soft' : tones[severity]}>
          {open.toLocaleString('en')} {unacknowledged === 0 ? 'acknowledged' : 'open'}
        </Badge>
      )}
      {silencedUntil !== null && <Badge tone="soft">silenced</Badge>}
      {failing !== null && <Badge tone="bad">cannot be evaluated</Badge>}
    </>
  );
}

/** The condition in words, such as `temperature > 80 for 10 s`. */
function conditionOf(alarm: Alarm): string {
  const { where, absentMs, forMs, rate, class: label, offline, unwell, withinMs } = alarm;
  if (where === undefined) return `no telemetry for ${spanOf(absentMs ?? 0)}`;
  const within = withinMs === undefined ? '' : ` within ${spanOf(withinMs)}`;
  const subject =
    rate !== undefined
      ? `${rate}${within}: `
      : label !== undefined
        ? `predictions of ${label}${within}: `
        : offline
          ? 'offline devices: '
          : unwell
            ? 'unwell devices: '
            : '';
  return `${subject}${where}${forMs > 0 ? ` for ${spanOf(forMs)}` : ''}`;
}

function spanOf(ms: number): string {
  const [size, unit] =
    ms % 86_400_000 === 0
      ? [86_400_000, 'd']
      : ms % 3600_000 === 0
        ? [3600_000, 'h']
        : ms % 60_000 === 0
          ? [60_000, 'min']
          : [1000, 's'];
  return `${(ms / Number(size)).toLocaleString('en')} ${unit}`;
}

function One({ name }: { name: string }) {
  const { value, error, reload } = useResource(at('GET /alarms/:name', { name }), {
    events: ['alarm.*'],
    subject: name,
  });
  const dialog = useSignal<'acknowledge' | 'silence' | 'edit' | 'test' | 'remove' | null>(null);
  const note = useSignal('');
  const hours = useSignal(durations[0] ?? 1);
  const failed = useSignal<ApiError | undefined>(undefined);
  const close = () => {
    dialog.value = null;
    note.value = '';
  };
  const act = (run: Promise<unknown>) =>
    run.then(() => {
      failed.value = undefined;
      reload();
    });
  const silence = (forMs: number) =>
    act(send(at('POST /alarms/:name/silence', { name }), { forMs, ...ownNote(note) }));
  const alarm = value?.alarm;
  return (
    <Page
      title={name}
      above={{ title: 'Alarms', to: linkTo(['alarms']) }}
      command={`aiot alarm show ${name}`}
      actions={
        alarm &&
        mayChange() && (
          <>
            {alarm.unacknowledged > 0 && (
              <button type="button" class="primary" onClick={() => (dialog.value = 'acknowledge')}>
                Acknowledge
              </button>
            )}
            {mayManage('devices', 'write') && (
              <>
                {alarm.silencedUntil === null ? (
                  <button type="button" onClick={() => (dialog.value = 'silence')}>
                    Silence
                  </button>
                ) : (
                  <button
                    type="button"
                    onClick={() =>
                      void silence(0).catch((reason: ApiError) => {
                        failed.value = reason;
                      })
                    }
                  >
                    End the silence
                  </button>
                )}
                {/* Recordings do not show the state of devices. */}
                {!alarm.offline && !alarm.unwell && (
                  <button type="button" onClick={() => (dialog.value = 'test')}>
                    Test
                  </button>
                )}
                <button type="button" onClick={() => (dialog.value = 'edit')}>
                  Edit
                </button>
                <button type="button" class="danger" onClick={() => (dialog.value = 'remove')}>
                  Remove
                </button>
              </>
            )}
          </>
        )
      }
    >
      {error && <Failure error={error} />}
      {failed.value && <Failure error={failed.value} />}
      {!value && !error && <Loading />}
      {alarm && <Facts facts={factsOf(alarm)} />}
      {value && <History incidents={value.incidents} />}
      {dialog.value === 'acknowledge' && (
        <Confirm
          title={`Acknowledge ${name}`}
          action="Acknowledge"
          run={() => act(send(at('POST /alarms/:name/acknowledge', { name }), ownNote(note)))}
          onClose={close}
        >
          <p>The incidents stay open until their condition ends.</p>
          <NoteField value={note} />
        </Confirm>
      )}
      {dialog.value === 'silence' && (
        <Confirm
          title={`Silence ${name}`}
          action="Silence"
          run={() => silence(hours.value * 3600_000)}
          onClose={close}
        >
          <p>Incidents are recorded, but no notifications are sent until the silence ends.</p>
          <Duration hours={hours} />
          <NoteField value={note} />
        </Confirm>
      )}
      {dialog.value === 'test' && <TestAlarm name={name} onClose={close} />}
      {dialog.value === 'edit' && alarm && (
        <AlarmForm
          alarm={alarm}
          onClose={() => {
            close();
            reload();
          }}
        />
      )}
      {dialog.value === 'remove' && alarm && (
        <Confirm
          title={`Remove ${name}`}
          action="Remove"
          danger
          run={async () => {
            await send(at('DELETE /alarms/:name', { name }));
            goTo(linkTo(['alarms']));
          }}
          onClose={close}
        >
          <p>
            The alarm no longer watches telemetry. Its incidents are deleted
            {alarm.open === 0
              ? '.'
              : `; ${alarm.open.toLocaleString('en')} of them ${alarm.open === 1 ? 'is' : 'are'} open.`}
          </p>
          {alarm.project !== undefined && (
            <p>
              <strong>The project {alarm.project} defines this alarm.</strong> The next{' '}
              <code>aiot alarm apply</code> creates it again.
            </p>
          )}
          <Command line={`aiot alarm remove ${shellWord(name)}`} />
        </Confirm>
      )}
    </Page>
  );
}

function factsOf(alarm: Alarm) {
  const { severity, clear, stream, selector, todo, silencedUntil, failing, project, maintenance } = alarm;
  return [
    ['state', <State key="state" alarm={alarm} />],
    ['severity', severity],
    ['condition', conditionOf(alarm)],
    ...(clear === undefined ? [] : [['ends when', clear] as const]),
    ['stream', stream ?? 'every stream'],
    ['devices', selector],
    ...(maintenance === undefined
      ? []
      : [['maintenance', maintenance.map((window) => windowWithZone(window, 'UTC')).join('; ')] as const]),
    ...(todo === undefined ? [] : [['to do', todo] as const]),
    ...(project === undefined ? [] : [['project', project] as const]),
    ...(silencedUntil === null ? [] : [['silenced until', <When key="until" at={silencedUntil} />] as const]),
    ...(failing === null
      ? []
      : [
          [
            'fails',
            `on ${plural(failing.count, 'sample')}, most recently of ${failing.device}: ${failing.error}`,
          ] as const,
        ]),
  ] as const;
}

function History({ incidents }: { incidents: readonly Incident[] }) {
  return (
    <Section title="Incidents" note={incidents.length === 0 ? 'it has never fired' : 'newest first'}>
      <ul class="plain attention" aria-label="Incidents">
        {incidents.map((incident) => (
          <OneIncident key={incident.id} incident={incident} />
        ))}
      </ul>
    </Section>
  );
}

function OneIncident({ incident }: { incident: Incident }) {
  const { id, device, raised, cleared, message, acknowledged, samples } = incident;
  return (
    <li>
      <Badge tone={cleared !== null ? 'soft' : acknowledged ? 'warn' : 'bad'}>
        {cleared !== null ? 'ended' : acknowledged ? 'acknowledged' : 'open'}
      </Badge>{' '}
      {device === '*' ? 'the fleet' : <a href={linkTo(['devices', device])}>{device}</a>}{' '}
      <span class="soft">
        since <When at={raised} />
        {cleared !== null && (
          <>
            , ended <When at={cleared} />
          </>
        )}
      </span>
      <div>{message}</div>
      {acknowledged && (
        <div class="soft">
          acknowledged by {acknowledged.who}, <When at={acknowledged.at} as="ago" />
          {acknowledged.note !== null && `: ${acknowledged.note}`}
        </div>
      )}
      {samples.length > 0 && (
        <details>
          <summary>{plural(samples.length, 'sample')} before it was raised</summary>
          <Samples samples={samples} incident={String(id)} />
        </details>
      )}
    </li>
  );
}

function Samples({ samples, incident }: { samples: Incident['samples']; incident: string }) {
  const fields = [...new Set(samples.flatMap(({ values }) => Object.keys(values)))];
  return (
    <Scroll label="Samples">
      <ShortTable
        rows={samples}
        columns={[timeColumn, ...fields.map(fieldColumn)]}
        keyOf={({ t }) => String(t)}
        label="Samples"
        name={`samples-${incident}`}
      />
    </Scroll>
  );
}

type Sample = Incident['samples'][number];

const timeColumn: Column<Sample> = { title: 'time', cell: ({ t }) => <When at={t} />, sort: ({ t }) => t };

const fieldColumn = (field: string): Column<Sample> => ({
  title: field,
  cell: ({ values }) => textOf(values[field]),
  sort: ({ values }) => {
    const value = values[field];
    return typeof value === 'number' ? value : textOf(value) || null;
  },
});

function textOf(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
