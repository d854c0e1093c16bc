import { type Signal, useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import type { MadeToken, Token, User } from '../../../src/lib/api/index.js';
import { at, send } from '../../app/api.js';
import { useAsked } from '../../app/asked.js';
import type { Resource } from '../../app/resource.js';
import { isOwnToken, user as me } from '../../app/session.js';
import { plural, shellWord } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm, Dialog } from '../../parts/dialog.js';
import { Field } from '../../parts/field.js';
import { Facts, Failure, Loading, Section } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { RoleField } from './users.js';

/** The open dialog of the section. */
export type TokenDialog =
  | { kind: 'create'; owner?: string; role?: Token['role'] }
  | { kind: 'rotate' | 'revoke'; token: Token }
  /** The secret of a new token; `before`: the token that it replaces, and when that ends. */
  | { kind: 'made'; made: MadeToken; before?: { id: string; ends: number | null } };

/** Tokens without their secrets. Operators see everyone's, other users their own. */
export function Tokens({
  tokens: { value, error, reload },
  users,
  dialog,
}: {
  tokens: Resource<Token[]>;
  /** Users that the reader may create tokens for. */
  users: readonly User[];
  dialog: Signal<TokenDialog | null>;
}) {
  useAsked((asked) => {
    if (asked !== 'new-token') return false;
    dialog.value = { kind: 'create' };
    return true;
  });
  const columns: Column<Token>[] = [
    ...tokenColumns,
    {
      title: 'action',
      cell: (token) =>
        token.state === 'valid' &&
        (['rotate', 'revoke'] as const).map((kind) => (
          <button
            key={kind}
            type="button"
            class="quiet"
            aria-label={`${words[kind]} the token ${token.id}`}
            onClick={() => {
              dialog.value = { kind, token };
            }}
          >
            {words[kind]}
          </button>
        )),
      width: '164px',
    },
  ];
  const open = dialog.value;
  const close = (next: TokenDialog | null = null) => {
    dialog.value = next;
    reload();
  };
  return (
    <Section title="Tokens" note={value && plural(value.length, 'token')}>
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.length > 0 && (
        <Table rows={value} columns={columns} keyOf={({ id }) => id} label="Tokens" name="tokens" filter />
      )}
      <div class="choices start">
        <button
          type="button"
          onClick={() => {
            dialog.value = { kind: 'create' };
          }}
        >
          New token
        </button>
      </div>
      {open?.kind === 'create' && <CreateToken {...open} users={users} onClose={close} />}
      {open?.kind === 'rotate' && <RotateToken token={open.token} onClose={close} />}
      {open?.kind === 'revoke' && <RevokeToken token={open.token} onClose={() => close()} />}
      {open?.kind === 'made' && <Secret {...open} onClose={() => close()} />}
    </Section>
  );
}

const words = { rotate: 'Rotate', revoke: 'Revoke' } as const;

/** Validity periods that the form offers, in days. */
const periods = [1, 7, 30, 90, 365];

interface Typed {
  name: string;
  owner: string;
  role: Token['role'];
  scopes: string;
  selector: string;
  days: number;
}

/** The command that creates the same token. */
export function commandOf({ name, owner, role, scopes, selector, days }: Typed): string {
  const words = [
    ...['aiot token create', shellWord(name.trim() || 'NAME')],
    ...(owner === '' ? [] : ['--user', shellWord(owner)]),
    ...['--role', role],
    ...scopesIn(scopes).flatMap((scope) => ['--scope', shellWord(scope)]),
    ...(selector.trim() === '' ? [] : ['--selector', shellWord(selector.trim())]),
    ...['--expires', `${days}d`],
  ];
  return words.join(' ');
}

const scopesIn = (text: string) => text.split(/\s+/).filter(Boolean);

function CreateToken({
  owner = '',
  role,
  users,
  onClose,
}: {
  owner?: string;
  role?: Token['role'];
  users: readonly User[];
  onClose: (next?: TokenDialog) => void;
}) {
  const most = me.value?.role ?? 'viewer';
  const typed = useSignal<Typed>({
    ...{ name: '', owner, role: role ?? 'viewer', scopes: '', selector: '', days: 90 },
  });
  const made = useRef<MadeToken | null>(null);
  const edit = (change: Partial<Typed>) => {
    typed.value = { ...typed.value, ...change };
  };
  const create = async () => {
    const { name, owner, role, scopes, selector, days } = typed.value;
    made.current = await send(at('POST /tokens', {}), {
      ...{ name: name.trim(), role, validMs: days * 86_400_000 },
      ...(owner === '' ? {} : { owner }),
      ...(scopesIn(scopes).length === 0 ? {} : { scopes: scopesIn(scopes) }),
      ...(selector.trim() === '' ? {} : { selector: selector.trim() }),
    });
  };
  const { name, scopes, selector, days } = typed.value;
  // A user who has just been added is not in the list yet.
  const names = [...new Set([...(owner === '' ? [] : [owner]), ...users.map((user) => user.name)])];
  return (
    <Confirm
      title={owner === '' ? 'New token' : `Token for ${owner}`}
      action="Create"
      run={create}
      onClose={() => (made.current ? onClose({ kind: 'made', made: made.current }) : onClose())}
    >
      <Field
        id="token-name"
        name="Name"
        property={{ type: 'string', maxLength: 100, description: 'Its use, such as laptop.' }}
        required
        value={name}
        onChange={(text) => edit({ name: text })}
      />
      {names.length > 0 && (
        <div class="field">
          <label for="token-owner">User</label>
          <select
            id="token-owner"
            value={typed.value.owner}
            onChange={({ currentTarget }) => edit({ owner: currentTarget.value })}
          >
            <option value="">you</option>
            {names.map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </div>
      )}
      <RoleField
        id="token-role"
        value={typed.value.role}
        most={most}
        onChange={(next) => edit({ role: next })}
      />
      <Field
        id="token-scopes"
        name="Scopes"
        property={{
          type: 'string',
          description:
            'RESOURCE:ACTION, such as models:push or stream:lab/#, separated by spaces. Empty: all that the role permits.',
        }}
        required={false}
        value={scopes}
        onChange={(text) => edit({ scopes: text })}
      />
      <Field
        id="token-selector"
        name="Devices"
        property={{
          type: 'string',
          description: "A selector, such as site=hall-3. Empty: all of the user's devices.",
        }}
        required={false}
        value={selector}
        onChange={(text) => edit({ selector: text })}
      />
      <div class="field">
        <label for="token-days">Valid for</label>
        <select
          id="token-days"
          value={days}
          onChange={({ currentTarget }) => edit({ days: Number(currentTarget.value) })}
        >
          {periods.map((each) => (
            <option key={each} value={each}>
              {plural(each, 'day')}
            </option>
          ))}
        </select>
      </div>
      <Command line={commandOf(typed.value)} />
    </Confirm>
  );
}

/** How long the old secret of a rotated token stays valid: as in commands, and in ms. */
const graces = { '0s': 0, '1h': 3_600_000, '24h': 86_400_000, '7d': 7 * 86_400_000 } as const;
type Grace = keyof typeof graces;
const graceWords: Record<Grace, string> = {
  '0s': 'not at all',
  '1h': '1 hour',
  '24h': '24 hours',
  '7d': '7 days',
};

function RotateToken({ token, onClose }: { token: Token; onClose: (next?: TokenDialog) => void }) {
  const { id, name } = token;
  const isOwn = isOwnToken(id);
  // This login ends with the old secret, and with it the page that shows the new one.
  const offered = (Object.keys(graces) as Grace[]).filter((each) => !isOwn || graces[each] > 0);
  const grace = useSignal<Grace>(offered[0] ?? '1h');
  const next = useRef<TokenDialog | undefined>(undefined);
  const rotate = async () => {
    const graceMs = graces[grace.value];
    const made = await send(at('POST /tokens/:id/rotate', { id }), { graceMs });
    const ends = graceMs === 0 ? null : Math.min(token.expires, made.created + graceMs);
    next.current = { kind: 'made', made, before: { id, ends } };
  };
  return (
    <Confirm
      title={`Rotate the token ${name}`}
      action="Rotate"
      run={rotate}
      onClose={() => onClose(next.current)}
    >
      <p>
        You get a new secret with the same rights and the same validity period, starting now. What uses the
        old secret must get the new one.
      </p>
      {isOwn && (
        <p>
          <strong>This browser's login uses this token.</strong> It ends with the old secret.
        </p>
      )}
      <div class="field">
        <label for="token-grace">The old secret stays valid for</label>
        <select
          id="token-grace"
          value={grace.value}
          onChange={({ currentTarget }) => {
            grace.value = currentTarget.value as Grace;
          }}
        >
          {offered.map((each) => (
            <option key={each} value={each}>
              {graceWords[each]}
            </option>
          ))}
        </select>
      </div>
      <Command
        line={`aiot token rotate ${id}${graces[grace.value] === 0 ? '' : ` --grace ${grace.value}`}`}
      />
    </Confirm>
  );
}

function RevokeToken({ token: { id, name }, onClose }: { token: Token; onClose: () => void }) {
  return (
    <Confirm
      title={`Revoke the token ${name}`}
      action="Revoke"
      danger
      run={() => send(at('DELETE /tokens/:id', { id }))}
      onClose={onClose}
    >
      <p>The token is rejected from now on. Its connections and the logins that were opened with it end.</p>
      {isOwnToken(id) && (
        <p>
          <strong>This browser's login uses this token.</strong> You must log in again.
        </p>
      )}
      <Command line={`aiot token revoke ${id}`} />
    </Confirm>
  );
}

/** A new token's secret, which is only in this dialog's memory. Escape does not close it. */
function Secret({
  made,
  before,
  onClose,
}: {
  made: MadeToken;
  before?: { id: string; ends: number | null };
  onClose: () => void;
}) {
  const { token, name, owner, role, scopes, selector, expires } = made;
  const said = useSignal('');
  const field = useRef<HTMLInputElement>(null);
  const copy = () =>
    Promise.resolve(navigator.clipboard?.writeText(token) ?? Promise.reject()).then(
      () => {
        said.value = 'Copied.';
      },
      () => {
        field.current?.select();
        said.value = 'The browser does not permit copying. The token is selected: press Ctrl-C.';
      },
    );
  return (
    <Dialog title={`The token ${name}`} mayClose={() => false} onClose={onClose}>
      <p>It is shown only now. Copy it before you close this dialog.</p>
      <div class="field">
        <label for="token-secret">Secret</label>
        <input
          ref={field}
          id="token-secret"
          type="text"
          readOnly
          value={token}
          onFocus={({ currentTarget }) => currentTarget.select()}
        />
      </div>
      <p role="status">{said.value}</p>
      <Facts
        facts={[
          ['user', owner ?? 'operator'],
          ['role', role],
          ['scopes', scopes?.join(' ') ?? 'all'],
          ['devices', selector ?? 'all'],
          ['valid until', <When key="expires" at={expires} />],
          ...(before === undefined
            ? []
            : [
                [
                  'old secret',
                  before.ends === null ? (
                    'revoked'
                  ) : (
                    <>
                      valid until <When at={before.ends} />
                    </>
                  ),
                ] as const,
              ]),
        ]}
      />
      <p class="soft">Store it on the user's computer:</p>
      <Command
        line={`aiot context add NAME --url ${location.origin} --ca ca.crt --token-file -`}
        label="Next step"
      />
      <div class="choices">
        <button type="button" onClick={onClose}>
          Close
        </button>
        <button type="button" class="primary" onClick={() => void copy()}>
          Copy
        </button>
      </div>
    </Dialog>
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
  { title: 'role', cell: ({ role }) => role, sort: ({ role }) => role, width: '84px', wide: true },
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
      state === 'valid' ? <When at={expires} /> : <Badge tone="soft">{state}</Badge>,
    sort: ({ expires }) => expires,
    width: '200px',
    wide: true,
  },
];
