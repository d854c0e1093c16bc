import { useSignal } from '@preact/signals';
import type { LoginSession, Token } from '../../../src/lib/api/index.js';
import { at, send } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';
import { Failure, Loading, Page, Section } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Backup } from './backup.js';

/** Logins that have not ended, and tokens. Operators see everyone's, other users their own. */
export function Access({ parts: [part] }: PageOf) {
  if (part === 'backup') return <Backup />;
  return (
    <Page
      title="Access"
      command="aiot session list"
      actions={<a href={linkTo(['access', 'backup'])}>Backup</a>}
    >
      <Logins />
      <Tokens />
    </Page>
  );
}

function Logins() {
  const { value, error, reload } = useResource(at('GET /sessions', {}), {
    ...{ all: 'sessions', events: ['session.*', 'login.*', 'token.revoke', 'user.*'] },
  });
  const ending = useSignal<LoginSession | null>(null);
  const columns: Column<LoginSession>[] = [
    ...loginColumns,
    {
      title: 'action',
      cell: (session) => (
        <button
          type="button"
          aria-label={`End the login ${session.id}`}
          onClick={() => {
            ending.value = session;
          }}
        >
          End
        </button>
      ),
      sort: () => null,
      width: '90px',
    },
  ];
  const session = ending.value;
  return (
    <Section title="Logins" note={value && plural(value.length, 'login')}>
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.length > 0 && (
        <Table rows={value} columns={columns} keyOf={({ id }) => id} label="Logins" name="logins" filter />
      )}
      {session && (
        <Confirm
          title={`End the login of ${ownerOf(session)}`}
          action="End"
          danger
          run={async () => {
            await send(at('DELETE /sessions/:id', { id: session.id }));
            reload();
          }}
          onClose={() => {
            ending.value = null;
          }}
        >
          <p>
            {session.current
              ? 'This is your own login in this browser. You must log in again.'
              : 'The login is rejected at once, and its connections are closed within 2 seconds. The user can log in again.'}
          </p>
          <Command line={`aiot session revoke ${session.id}`} />
        </Confirm>
      )}
    </Section>
  );
}

const ownerOf = ({ owner, token }: LoginSession) => owner ?? `operator ${token.slice('tok_'.length)}`;

const kinds = { dashboard: 'dashboard', cli: 'command line' } as const;

const loginColumns: Column<LoginSession>[] = [
  {
    title: 'user',
    cell: (session) => (
      <>
        {ownerOf(session)} {session.current && <Badge tone="blue">this browser</Badge>}
      </>
    ),
    sort: ownerOf,
    width: '2.4fr',
  },
  { title: 'login', cell: ({ kind }) => kinds[kind], sort: ({ kind }) => kind, width: '120px' },
  { title: 'role', cell: ({ role }) => role, sort: ({ role }) => role, width: '90px', wide: true },
  {
    title: 'from',
    cell: ({ address, agent }) => <span title={agent ?? undefined}>{address ?? 'unknown'}</span>,
    sort: ({ address }) => address,
    width: '1fr',
    wide: true,
  },
  {
    title: 'since',
    cell: ({ created }) => <When at={created} as="short" />,
    sort: ({ created }) => created,
    width: '128px',
    wide: true,
  },
  {
    title: 'last used',
    cell: ({ lastUsed }) => (lastUsed === null ? 'never' : <When at={lastUsed} as="ago" />),
    sort: ({ lastUsed }) => lastUsed,
    width: '110px',
    wide: true,
  },
];

function Tokens() {
  const { value, error, reload } = useResource(at('GET /tokens', {}), {
    ...{ all: 'tokens', events: ['token.*', 'login.*', 'user.*'] },
  });
  const revoking = useSignal<Token | null>(null);
  const columns: Column<Token>[] = [
    ...tokenColumns,
    {
      title: 'action',
      cell: (token) =>
        token.state === 'valid' && (
          <button
            type="button"
            aria-label={`Revoke the token ${token.id}`}
            onClick={() => {
              revoking.value = token;
            }}
          >
            Revoke
          </button>
        ),
      sort: () => null,
      width: '110px',
    },
  ];
  const token = revoking.value;
  return (
    <Section title="Tokens" note={value && plural(value.length, 'token')}>
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.length > 0 && (
        <Table rows={value} columns={columns} keyOf={({ id }) => id} label="Tokens" name="tokens" filter />
      )}
      <p class="soft">A token is shown only once, when it is created:</p>
      <Command line="aiot token create NAME --role viewer --expires 30d" />
      {token && (
        <Confirm
          title={`Revoke the token ${token.name}`}
          action="Revoke"
          danger
          run={async () => {
            await send(at('DELETE /tokens/:id', { id: token.id }));
            reload();
          }}
          onClose={() => {
            revoking.value = null;
          }}
        >
          <p>
            The token is rejected from now on. Its connections and the logins that were opened with it end.
          </p>
          <Command line={`aiot token revoke ${token.id}`} />
        </Confirm>
      )}
    </Section>
  );
}

const tokenColumns: Column<Token>[] = [
  {
    title: 'token',
    cell: ({ name, id }) => <span title={id}>{name}</span>,
    sort: ({ name }) => name,
    width: '1.2fr',
  },
  { title: 'user', cell: ({ owner }) => owner ?? 'operator', sort: ({ owner }) => owner, width: '1fr' },
  { title: 'role', cell: ({ role }) => role, sort: ({ role }) => role, width: '90px', wide: true },
  {
    title: 'scopes',
    cell: ({ scopes }) => <span title={scopes?.join(' ')}>{scopes?.join(' ') ?? 'all'}</span>,
    sort: ({ scopes }) => scopes?.join(' ') ?? null,
    width: '1fr',
    wide: true,
  },
  {
    title: 'devices',
    cell: ({ selector }) => <span title={selector ?? undefined}>{selector ?? 'all'}</span>,
    sort: ({ selector }) => selector,
    width: '1fr',
    wide: true,
  },
  {
    title: 'until',
    cell: ({ state, expires }) =>
      state === 'valid' ? <When at={expires} as="short" /> : <Badge tone="soft">{state}</Badge>,
    sort: ({ expires }) => expires,
    width: '150px',
    wide: true,
  },
];
