import { useSignal } from '@preact/signals';
import type { LoginSession, Token, User } from '../../../src/lib/api/index.js';
import { at, send } from '../../app/api.js';
import { useAsked } from '../../app/asked.js';
import type { Resource } from '../../app/resource.js';
import { isOwnUser, mayManage } from '../../app/session.js';
import { plural, shellWord } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';
import { Field } from '../../parts/field.js';
import { Failure, Loading, Section } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** Roles, in ascending order of rights, with their meaning (src/lib/api/contract/access.ts). */
const roles = {
  viewer: 'only reads',
  ci: 'also uploads, pushes, and starts rollouts',
  operator: 'may do everything',
} as const;
type Role = keyof typeof roles;

type Change = 'disable' | 'enable' | 'remove';

/** The users of the platform, for operators of all devices. */
export function Users({
  users: { value, error, reload },
  logins,
  tokens,
  onAdded,
}: {
  users: Resource<User[]>;
  logins: readonly LoginSession[];
  tokens: readonly Token[];
  /** Called with a new user, who cannot log in without a token. */
  onAdded: (user: User) => void;
}) {
  const changing = useSignal<{ user: User; change: Change } | null>(null);
  const isAdding = useSignal(false);
  const editing = useSignal<User | null>(null);
  useAsked((asked) => {
    if (asked !== 'add-user' || !mayManage('users', 'write')) return false;
    isAdding.value = true;
    return true;
  });
  const ask = (user: User, change: Change) => () => {
    changing.value = { user, change };
  };
  const columns: Column<User>[] = [
    ...columnsFor(tokens),
    ...(mayManage('users', 'write')
      ? [
          {
            title: 'action',
            cell: (user: User) => {
              const change = user.disabled === null ? 'disable' : 'enable';
              return (
                <>
                  <button
                    type="button"
                    class="quiet"
                    aria-label={`Change the user ${user.name}`}
                    onClick={() => {
                      editing.value = user;
                    }}
                  >
                    Change
                  </button>
                  <button
                    type="button"
                    class="quiet"
                    aria-label={`${words[change]} the user ${user.name}`}
                    onClick={ask(user, change)}
                  >
                    {words[change]}
                  </button>
                  <button
                    type="button"
                    class="quiet"
                    aria-label={`Remove the user ${user.name}`}
                    onClick={ask(user, 'remove')}
                  >
                    Remove
                  </button>
                </>
              );
            },
            width: '256px',
          },
        ]
      : []),
  ];
  return (
    <Section title="Users" note={value && plural(value.length, 'user')}>
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value?.length === 0 && (
        <p class="soft">No users yet. Changes are recorded under the operator token that made them.</p>
      )}
      {value && value.length > 0 && (
        <Table rows={value} columns={columns} keyOf={({ name }) => name} label="Users" name="users" filter />
      )}
      {mayManage('users', 'write') && (
        <div class="choices start">
          <button
            type="button"
            onClick={() => {
              isAdding.value = true;
            }}
          >
            Add a user
          </button>
        </div>
      )}
      {isAdding.value && (
        <AddUser
          onClose={(added) => {
            isAdding.value = false;
            if (!added) return;
            reload();
            onAdded(added);
          }}
        />
      )}
      {editing.value && (
        <EditUser
          user={editing.value}
          onClose={() => {
            editing.value = null;
            reload();
          }}
        />
      )}
      {changing.value && (
        <ChangeUser
          {...changing.value}
          logins={logins.filter(({ owner }) => owner === changing.value?.user.name).length}
          onClose={() => {
            changing.value = null;
            reload();
          }}
        />
      )}
    </Section>
  );
}

const words = { disable: 'Disable', enable: 'Enable', remove: 'Remove' } as const satisfies Record<
  Change,
  string
>;

/** When one of the user's tokens was last used, also by a login. Tokens of an earlier user with the same name do not count. */
export function lastActive({ name, created }: User, tokens: readonly Token[]): number | null {
  const times = tokens.flatMap((token) =>
    token.owner === name && token.created >= created && token.lastUsed !== null ? [token.lastUsed] : [],
  );
  return times.length === 0 ? null : times.reduce((a, b) => Math.max(a, b));
}

const columnsFor = (tokens: readonly Token[]): Column<User>[] => [
  {
    title: 'user',
    cell: ({ name, disabled }) => (
      <>
        {name} {isOwnUser(name) && <Badge tone="blue">you</Badge>}
        {disabled !== null && <Badge tone="soft">disabled</Badge>}
      </>
    ),
    sort: ({ name }) => name,
    width: '1.6fr',
  },
  { title: 'role', cell: ({ role }) => role, sort: ({ role }) => role, width: '84px', wide: true },
  {
    title: 'devices',
    cell: ({ selector }) => <span title={selector ?? undefined}>{selector ?? 'all'}</span>,
    sort: ({ selector }) => selector,
    width: '1.2fr',
    wide: true,
  },
  {
    title: 'valid tokens',
    cell: (user) => user.tokens.toLocaleString('en'),
    sort: (user) => user.tokens,
    width: '110px',
    number: true,
    wide: true,
  },
  {
    title: 'last active',
    cell: (user) => {
      const time = lastActive(user, tokens);
      return time === null ? 'never' : <When at={time} as="ago" />;
    },
    sort: (user) => lastActive(user, tokens),
    width: '130px',
    wide: true,
  },
];

function AddUser({ onClose }: { onClose: (added: User | null) => void }) {
  const typed = useSignal<{ name: string; role: Role; selector: string }>({
    ...{ name: '', role: 'viewer', selector: '' },
  });
  const added = useSignal<User | null>(null);
  const { name, role, selector } = typed.value;
  const devices = selector.trim();
  const add = async () => {
    added.value = await send(at('POST /users', {}), {
      ...{ name: name.trim(), role },
      ...(devices === '' ? {} : { selector: devices }),
    });
  };
  const line = `aiot user add ${shellWord(name.trim() || 'NAME')} --role ${role}`;
  return (
    <Confirm title="Add a user" action="Add" run={add} onClose={() => onClose(added.value)}>
      <p>A user logs in with tokens. The next dialog creates the first one.</p>
      <Field
        id="user-name"
        name="Name"
        property={{ type: 'string', maxLength: 64 }}
        required
        value={name}
        onChange={(text) => {
          typed.value = { ...typed.value, name: text };
        }}
      />
      <RoleField
        id="user-role"
        value={role}
        onChange={(next) => {
          typed.value = { ...typed.value, role: next };
        }}
      />
      <Field
        id="user-selector"
        name="Devices"
        property={{
          type: 'string',
          description: 'A selector, such as site=hall-3, that limits the rights. Empty: all devices.',
        }}
        required={false}
        value={selector}
        onChange={(text) => {
          typed.value = { ...typed.value, selector: text };
        }}
      />
      <Command line={devices === '' ? line : `${line} --selector ${shellWord(devices)}`} />
    </Confirm>
  );
}

/** Changes a user's role and devices. */
function EditUser({ user, onClose }: { user: User; onClose: () => void }) {
  const typed = useSignal<{ role: Role; selector: string }>({
    role: user.role,
    selector: user.selector ?? '',
  });
  const { role, selector } = typed.value;
  const devices = selector.trim();
  const run = () =>
    send(at('PATCH /users/:name', { name: user.name }), { role, selector: devices === '' ? null : devices });
  const words = [
    ...(role === user.role ? [] : ['--role', role]),
    ...(devices === (user.selector ?? '') ? [] : ['--selector', shellWord(devices || 'all')]),
  ];
  return (
    <Confirm title={`Change ${user.name}`} action="Change" run={run} onClose={onClose}>
      <p>The rights of the user's tokens and logins follow at once, and their connections are closed.</p>
      {isOwnUser(user.name) && (
        <p>
          <strong>This is your own user.</strong> Only another operator can return rights that you give up.
        </p>
      )}
      <RoleField
        id="edit-role"
        value={role}
        onChange={(next) => {
          typed.value = { ...typed.value, role: next };
        }}
      />
      <Field
        id="edit-selector"
        name="Devices"
        property={{
          type: 'string',
          description: 'A selector, such as site=hall-3, that limits the rights. Empty: all devices.',
        }}
        required={false}
        value={selector}
        onChange={(text) => {
          typed.value = { ...typed.value, selector: text };
        }}
      />
      <Command line={['aiot user update', shellWord(user.name), ...words].join(' ')} />
    </Confirm>
  );
}

/** A choice of a role. @param most the highest role offered */
export function RoleField({
  id,
  value,
  most = 'operator',
  onChange,
}: {
  id: string;
  value: Role;
  most?: Role;
  onChange: (role: Role) => void;
}) {
  const all = Object.keys(roles) as Role[];
  return (
    <div class="field">
      <label for={id}>Role</label>
      <select id={id} value={value} onChange={({ currentTarget }) => onChange(currentTarget.value as Role)}>
        {all.slice(0, all.indexOf(most) + 1).map((role) => (
          <option key={role} value={role}>
            {role}: {roles[role]}
          </option>
        ))}
      </select>
    </div>
  );
}

function ChangeUser({
  user: { name, tokens },
  change,
  logins,
  onClose,
}: {
  user: User;
  change: Change;
  /** Number of the user's logins. */
  logins: number;
  onClose: () => void;
}) {
  const run = (): Promise<unknown> =>
    change === 'remove'
      ? send(at('DELETE /users/:name', { name }))
      : send(at('POST /users/:name/state', { name }), { action: change });
  const ends = `${plural(tokens, 'valid token')} and ${plural(logins, 'login')}`;
  return (
    <Confirm
      title={`${words[change]} ${name}`}
      action={words[change]}
      danger={change !== 'enable'}
      run={run}
      onClose={onClose}
    >
      {change === 'disable' && (
        <p>
          The user has {ends}. They are rejected at once, and their connections are closed. The tokens work
          again when you enable the user.
        </p>
      )}
      {change === 'enable' && (
        <p>The user's tokens work again, except those that have expired or were revoked.</p>
      )}
      {change === 'remove' && (
        <p>
          The user has {ends}. They end permanently, and their connections are closed. A later user with the
          same name does not get them. Events and the audit log keep the name.
        </p>
      )}
      {change !== 'enable' && isOwnUser(name) && (
        <p>
          <strong>This is your own user.</strong> This browser is logged out.
        </p>
      )}
      <Command line={`aiot user ${change} ${shellWord(name)}`} />
    </Confirm>
  );
}
