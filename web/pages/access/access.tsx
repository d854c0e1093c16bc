import { useSignal } from '@preact/signals';
import type { LoginSession } from '../../../src/lib/api/index.js';
import { at, send } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { type Resource, useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { mayManage } from '../../app/session.js';
import { plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';
import { Failure, Loading, Page, Section } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Backup } from './backup.js';
import { type TokenDialog, Tokens } from './tokens.js';
import { Users } from './users.js';

/** Users, logins that have not ended, and tokens. Operators see everyone's, other users only their own logins and tokens. */
export function Access({ parts: [part] }: PageOf) {
  if (part === 'backup') return <Backup />;
  return <Whole />;
}

function Whole() {
  const users = useResource(mayManage('users', 'read') ? at('GET /users', {}) : null, {
    ...{ all: 'users', events: ['user.*', 'token.*', 'login.*'] },
  });
  const logins = useResource(at('GET /sessions', {}), {
    ...{ all: 'sessions', events: ['session.*', 'login.*', 'token.revoke', 'user.*'] },
  });
  const tokens = useResource(at('GET /tokens', {}), {
    ...{ all: 'tokens', events: ['token.*', 'login.*', 'user.*'] },
  });
  const dialog = useSignal<TokenDialog | null>(null);
  return (
    <Page
      title="Access"
      command={mayManage('users', 'read') ? 'aiot user list' : 'aiot session list'}
      actions={<a href={linkTo(['access', 'backup'])}>Backup</a>}
    >
      {mayManage('users', 'read') && (
        <Users
          users={users}
          logins={logins.value ?? []}
          tokens={tokens.value ?? []}
          onAdded={({ name, role }) => {
            dialog.value = { kind: 'create', owner: name, role };
          }}
        />
      )}
      <Logins logins={logins} />
      <Tokens tokens={tokens} users={users.value ?? []} dialog={dialog} />
    </Page>
  );
}

function Logins({ logins: { value, error, reload } }: { logins: Resource<LoginSession[]> }) {
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
