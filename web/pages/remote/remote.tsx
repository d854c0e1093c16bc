import { useSignal } from '@preact/signals';
import type { RemoteSession, SealedEntry } from '../../../src/lib/api/index.js';
import { elapsed } from '../../../src/lib/core/figures.js';
import { at, send } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useFirstDevice, useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { isLimited, mayChange } from '../../app/session.js';
import { shellWord, size } from '../../app/text.js';
import { Confirm } from '../../parts/dialog.js';
import { Empty, Failure, Loading, Page, Section } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** Number of newest ends that the page shows. */
const most = 200;

/** Open shells, forwarded ports and copies, and those that have ended. */
export function RemoteSessions(_: PageOf) {
  const events = ['device.remote', 'device.remote-ended', 'device.remote-refused'];
  const open = useResource(at('GET /remote-sessions', {}), { events });
  const sessions = open.value?.sessions;
  const missing = open.value?.missing ?? [];
  const asked = useSignal<RemoteSession | null>(null);
  const device = useFirstDevice();
  return (
    <Page
      title="Remote sessions"
      above={{ title: 'Devices', to: linkTo(['devices']) }}
      command="aiot device sessions list"
    >
      <Section title="Open">
        {open.error && <Failure error={open.error} />}
        {!open.value && !open.error && <Loading />}
        {missing.length > 0 && (
          <p class="broken" role="status">
            The sessions of these replicas are missing, because they do not respond: {missing.join(', ')}.
          </p>
        )}
        {sessions?.length === 0 && (
          <Empty
            title="No open sessions"
            command={`aiot device shell ${shellWord(device?.name ?? 'bench-1')}`}
          >
            <p>To open a shell on a device that runs the remote agent, use:</p>
          </Empty>
        )}
        {sessions && sessions.length > 0 && (
          <Table
            rows={sessions}
            columns={openColumns((session) => {
              asked.value = session;
            })}
            keyOf={({ id }) => id}
            label="Open remote sessions"
            name="open"
          />
        )}
      </Section>
      <History />
      {asked.value && (
        <End
          session={asked.value}
          onClose={() => {
            asked.value = null;
            open.reload();
          }}
        />
      )}
    </Page>
  );
}

function End({
  session: { id, kind, device, who },
  onClose,
}: {
  session: RemoteSession;
  onClose: () => void;
}) {
  return (
    <Confirm
      title={`End the ${names[kind]} on ${device}?`}
      action="End the session"
      danger
      run={() => send(at('DELETE /remote-sessions/:id', { id }))}
      onClose={onClose}
    >
      <p>{who} loses the connection at once. A command that runs in a shell is stopped.</p>
    </Confirm>
  );
}

const names = { shell: 'shell', forward: 'forwarded port', copy: 'copy' } as const;

function deviceLink(device: string) {
  return (
    <a href={linkTo(['devices', device])} title={device}>
      {device}
    </a>
  );
}

function openColumns(end: (session: RemoteSession) => void): Column<RemoteSession>[] {
  return [
    { title: 'device', cell: ({ device }) => deviceLink(device), sort: ({ device }) => device, width: '1fr' },
    {
      title: 'user',
      cell: ({ who }) => <span title={who}>{who}</span>,
      sort: ({ who }) => who,
      width: '1.2fr',
    },
    { title: 'session', cell: ({ kind }) => kind, sort: ({ kind }) => kind, width: '84px' },
    {
      title: 'target',
      cell: ({ target }) => (
        <span class="data" title={target}>
          {target}
        </span>
      ),
      sort: ({ target }) => target,
      width: '1.2fr',
      wide: true,
    },
    {
      title: 'since',
      cell: ({ opened }) => <When at={opened} as="short" />,
      sort: ({ opened }) => opened,
      width: '110px',
      wide: true,
    },
    {
      title: 'ends by',
      cell: ({ until }) => <When at={until} as="short" />,
      sort: ({ until }) => until,
      width: '110px',
      wide: true,
    },
    ...(mayChange()
      ? [
          {
            title: 'action',
            cell: (session: RemoteSession) => (
              <button type="button" class="link" onClick={() => end(session)}>
                End
                <span class="unseen">
                  {' '}
                  the {names[session.kind]} on {session.device}
                </span>
              </button>
            ),
            width: '70px',
          },
        ]
      : []),
  ];
}

/** The audit log concerns the whole platform, so users with limited rights do not see it. */
function History() {
  const place = isLimited()
    ? null
    : at('GET /audit/log', {}, { newest: 'true', limit: most, type: 'device.remote-ended' });
  const { value, error } = useResource(place, { events: ['device.remote-ended'] });
  if (place === null) return null;
  const rows = value && [...value.entries].reverse();
  return (
    <Section title="Ended" note={`the newest ${most} in the audit log`}>
      {error && <Failure error={error} />}
      {!rows && !error && <Loading />}
      {rows?.length === 0 && <p class="soft">No session has ended yet.</p>}
      {rows && rows.length > 0 && (
        <Table
          rows={rows}
          columns={endedColumns}
          keyOf={({ seq }) => String(seq)}
          label="Ended remote sessions"
          name="ended"
          filter
        />
      )}
    </Section>
  );
}

const textAt = ({ data }: SealedEntry, name: string) => String(data[name] ?? '');
const numberAt = ({ data }: SealedEntry, name: string) =>
  typeof data[name] === 'number' ? data[name] : null;

const endedColumns: Column<SealedEntry>[] = [
  {
    title: 'ended',
    cell: ({ at: time }) => <When at={time} as="short" />,
    sort: ({ at: time }) => time,
    width: '110px',
  },
  {
    title: 'device',
    cell: ({ subject }) => deviceLink(subject),
    sort: ({ subject }) => subject,
    width: '1fr',
  },
  {
    title: 'user',
    cell: ({ who }) => <span title={who}>{who}</span>,
    sort: ({ who }) => who,
    width: '1.2fr',
    wide: true,
  },
  {
    title: 'session',
    cell: (entry) => `${textAt(entry, 'kind')} ${textAt(entry, 'target')}`,
    sort: (entry) => textAt(entry, 'kind'),
    width: '1.2fr',
  },
  {
    title: 'duration',
    cell: (entry) => elapsed(numberAt(entry, 'ms') ?? 0),
    sort: (entry) => numberAt(entry, 'ms'),
    number: true,
    width: '100px',
    wide: true,
  },
  {
    title: 'received',
    cell: (entry) => {
      const bytes = numberAt(entry, 'bytesFrom');
      return bytes === null ? '' : size(bytes);
    },
    sort: (entry) => numberAt(entry, 'bytesFrom'),
    number: true,
    width: '100px',
    wide: true,
  },
  {
    title: 'reason',
    cell: (entry) => <span title={textAt(entry, 'reason')}>{textAt(entry, 'reason')}</span>,
    sort: (entry) => textAt(entry, 'reason'),
    width: '1.4fr',
    wide: true,
  },
];
