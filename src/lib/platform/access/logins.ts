import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Login, LoginSession } from '../../api/contract/access.js';
import { type PageQuery, pageOfRows } from '../../api/page.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { UserIdentity } from '../broker/identity.js';
import type { Events, NewEvent } from '../events/events.js';
import type { Store } from '../store/database.js';
import { clientColumns, commandLineLogin, type LoginClient, type ProviderLogins } from './provider-logins.js';
import { type Grantor, selectValidTokens, type TokenRow, type Tokens, tokenShown } from './tokens.js';
import type { Sessions } from './users.js';

/** Lifetimes of a login link and of a session, ms. Neither outlives its token. */
const linkMs = 15 * 60_000;

const sessionMs = 7 * 24 * 3600_000;
const secretPattern = /^[A-Za-z0-9_-]{43}$/;

/** The use of a session is recorded at most once in this interval, ms. */
const noteEvery = 60_000;

interface Parts {
  store: Store;
  events: Events;
  tokens: Tokens;
  sessions: Sessions;
  providerLogins: Pick<ProviderLogins, 'revoke'>;
  /** ms since 1970 */
  now: () => number;
}

/** A dashboard user, with exactly the rights of the token that opened the session. */
export interface WebIdentity {
  user: UserIdentity;
  expires: number;
}

/**
 * Logins to the dashboard, by a single-use link or by a token, and the list of all logins that have not ended. Secrets are 256 random bits,
 * stored as digests.
 */
export class Logins {
  constructor(private readonly parts: Parts) {}

  /** Creates a code that logs in one browser as the requester. */
  async link(by: UserIdentity): Promise<{ code: string; expires: number }> {
    const { secret, expires } = await this.make('link', by, linkMs);
    await this.tell({ type: 'session.link', subject: by.token, who: by.name });
    return { code: secret, expires };
  }

  /** Begins a session. @throws AIOT_TOKEN_INVALID */
  async begin(
    login: Exclude<Login, { response: string }>,
    client: LoginClient,
  ): Promise<WebIdentity & { secret: string }> {
    const user =
      'code' in login ? await this.redeem(login.code) : await this.parts.tokens.identify(login.token);
    if (user === null) {
      const [what, next] =
        'code' in login
          ? ['this link was used already, or is too old', 'aiot dashboard']
          : ['expected a valid token', 'aiot token create'];
      throw new AiotError('AIOT_TOKEN_INVALID', what, { next });
    }
    const method = 'code' in login ? 'link' : 'token';
    const { secret, expires } = await this.make('session', user, sessionMs, { method, client });
    const digest = sha256Hex(secret);
    const data = { session: idOf(digest), method };
    await this.tell({ type: 'session.begin', subject: user.token, who: user.name, data });
    return { secret, user: { ...user, session: digest }, expires };
  }

  /** Returns the identity of a session; null when it does not exist or has expired. */
  async identify(secret: string): Promise<WebIdentity | null> {
    if (!secretPattern.test(secret)) return null;
    const digest = sha256Hex(secret);
    const row = await this.parts.store
      .selectFrom('logins')
      .selectAll()
      .where('digest', '=', digest)
      .where('kind', '=', 'session')
      .where('expires', '>', this.parts.now())
      .executeTakeFirst();
    if (!row || !timingSafeEqual(Buffer.from(row.digest), Buffer.from(digest))) return null;
    const user = await this.parts.tokens.identityOf(row.token, secret);
    if (user) this.note(row);
    return user && { user: { ...user, session: digest }, expires: row.expires };
  }

  /** Ends the session with this secret, and everything opened with it. */
  async end(secret: string, by: UserIdentity): Promise<void> {
    const digest = sha256Hex(secret);
    await this.parts.store.deleteFrom('logins').where('digest', '=', digest).execute();
    await this.tell({ type: 'session.end', subject: by.token, who: by.name });
    this.parts.sessions.endSession(by.token, digest);
  }

  /** Returns those of the sessions that have not ended. @param digests of their secrets */
  async validSessions(digests: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.parts.store
      .selectFrom('logins')
      .select('digest')
      .where('digest', 'in', digests)
      .where('expires', '>', this.parts.now())
      .execute();
    return new Set(rows.map(({ digest }) => digest));
  }

  /**
   * Lists the logins that have not ended: first those to the dashboard, then those of the command line, each sorted by id. With `owner`, only
   * those of its tokens (null = of tokens without an owner).
   */
  async list(
    { limit, after }: PageQuery,
    by: Pick<UserIdentity, 'token' | 'session'>,
    owner?: string | null,
  ) {
    const inBrowsers = after === undefined || after.startsWith(idPrefix);
    const rows = inBrowsers
      ? (
          await this.browsers()
            .$if(after !== undefined, (query) => query.where('logins.digest', '>', behind(after ?? '')))
            .$if(owner !== undefined, (query) =>
              query.where('tokens.owner', owner === null ? 'is' : '=', owner ?? null),
            )
            .limit(limit + 1)
            .execute()
        ).map((row) => this.ofBrowser(row))
      : [];
    const others = await this.commandLines()
      .$if(!inBrowsers, (query) => query.where('tokens.id', '>', after ?? ''))
      .$if(owner !== undefined, (query) =>
        query.where('tokens.owner', owner === null ? 'is' : '=', owner ?? null),
      )
      .limit(limit + 1 - rows.length)
      .execute();
    rows.push(...others.map((row) => this.ofCommandLine(row)));
    const { entries, next } = pageOfRows(rows, limit, ({ id }) => id);
    return { sessions: entries.map((entry) => shown(entry, by)), next };
  }

  /**
   * Ends a login and everything opened with it. Other logins with the same token continue. Users may end their own logins, and operators
   * everyone's. @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED
   */
  async revoke(id: string, by: Grantor & Pick<UserIdentity, 'session'>): Promise<LoginSession> {
    const { store, events, tokens, sessions, providerLogins } = this.parts;
    const found = await this.find(id);
    if (found === undefined)
      throw new AiotError('AIOT_NOT_FOUND', `no login has the id ${id.slice(0, 40)}, or it has ended`, {
        next: 'To see the logins and their ids, run `aiot session list`.',
      });
    await tokens.theirs(found.token, by);
    const { kind } = found;
    const event = {
      ...{ type: 'session.revoke' as const, subject: found.token, who: by.name },
      data: { session: id, kind },
    };
    // A login through the provider has a token of its own, which ends too.
    if (kind === 'cli' || found.method === 'provider') await providerLogins.revoke(found.token, event);
    else
      await store.transaction().execute(async (transaction) => {
        await transaction
          .deleteFrom('logins')
          .where('digest', '=', found.digest ?? '')
          .execute();
        await events.record(event, transaction);
      });
    if (found.digest !== null) sessions.endSession(found.token, found.digest);
    return shown(found, by);
  }

  private async find(id: string): Promise<FoundLogin | undefined> {
    if (/^tok_[0-9a-f]{12}$/.test(id)) {
      const [row] = await this.commandLines().where('tokens.id', '=', id).execute();
      return row && this.ofCommandLine(row);
    }
    if (!/^ses_[0-9a-f]{12}$/.test(id)) return undefined;
    const [from, before] = [digestOf(id), behind(id)];
    const [row] = await this.browsers()
      .where('logins.digest', '>=', from)
      .where('logins.digest', '<', before)
      .execute();
    return row && this.ofBrowser(row);
  }

  /** Sessions of browsers, by digest. */
  private browsers() {
    const { store, now } = this.parts;
    return selectValidTokens(store, now())
      .innerJoin('logins', 'logins.token', 'tokens.id')
      .select(['logins.digest as session', 'logins.method', 'logins.address', 'logins.agent'])
      .select(['logins.created as began', 'logins.expires as until', 'logins.lastUsed as used'])
      .where('logins.kind', '=', 'session')
      .where('logins.expires', '>', now())
      .orderBy('logins.digest');
  }

  /** Logins of the command line, by their tokens' ids. */
  private commandLines() {
    const { store, now } = this.parts;
    return selectValidTokens(store, now())
      .select(['oidcTokens.address', 'oidcTokens.agent'])
      .where('oidcTokens.token', 'is not', null)
      .where('tokens.name', '=', commandLineLogin)
      .orderBy('tokens.id');
  }

  private ofBrowser(row: BrowserRow): FoundLogin {
    const { method, address, agent, began, until, ends, used, session } = row;
    return {
      ...this.ofToken(row),
      ...{ id: idOf(session), kind: 'dashboard', digest: session, address, agent },
      method: method as LoginSession['method'],
      ...{ created: began, expires: Math.min(until, ends ?? row.expires), lastUsed: used },
    };
  }

  private ofCommandLine(row: CommandLineRow): FoundLogin {
    const { id, address, agent, created, lastUsed } = row;
    // The token itself expires soon after the last check at the provider, which renews it.
    const expires = row.ends ?? row.expires;
    return {
      ...this.ofToken(row),
      ...{ id, kind: 'cli', method: 'provider', digest: null, address, agent, created, expires, lastUsed },
    };
  }

  private ofToken(row: TokenRow) {
    const { id: token, owner, role, selector } = tokenShown(row, this.parts.now());
    return { token, owner, role, selector };
  }

  private note({ digest, lastUsed }: { digest: string; lastUsed: number | null }): void {
    const at = this.parts.now();
    if (at - (lastUsed ?? 0) < noteEvery) return;
    const noting = this.parts.store
      .updateTable('logins')
      .set({ lastUsed: at })
      .where('digest', '=', digest)
      .execute();
    // If this use cannot be recorded, the next one is recorded instead.
    noting.catch(() => {});
  }

  /** Redeems a code. Of several concurrent requests, only the request that deletes the row gets the identity. */
  private async redeem(code: string): Promise<UserIdentity | null> {
    if (!secretPattern.test(code)) return null;
    const row = await this.parts.store
      .deleteFrom('logins')
      .where('digest', '=', sha256Hex(code))
      .where('kind', '=', 'link')
      .returningAll()
      .executeTakeFirst();
    return row && row.expires > this.parts.now() ? this.parts.tokens.identityOf(row.token) : null;
  }

  private async make(
    kind: 'link' | 'session',
    { token }: UserIdentity,
    ms: number,
    login?: { method: 'link' | 'token'; client: LoginClient },
  ) {
    const { store, now, tokens } = this.parts;
    const secret = randomBytes(32).toString('base64url');
    const created = now();
    const expires = Math.min(created + ms, (await tokens.get(token)).expires);
    await store.deleteFrom('logins').where('expires', '<=', created).execute();
    const client = login ? clientColumns(login.client) : { address: null, agent: null };
    await store
      .insertInto('logins')
      .values({
        ...{ digest: sha256Hex(secret), kind, token, created, expires, lastUsed: null },
        ...{ method: login?.method ?? null, ...client },
      })
      .execute();
    return { secret, expires };
  }

  private async tell(event: NewEvent): Promise<void> {
    const { store, events } = this.parts;
    await store.transaction().execute((transaction) => events.record(event, transaction));
  }
}

/** A login in the list, with the digest of its session's secret; null for a login of the command line. */
type FoundLogin = Omit<LoginSession, 'current'> & { digest: string | null };
type CommandLineRow = TokenRow & { address: string | null; agent: string | null };
type BrowserRow = CommandLineRow & {
  session: string;
  method: string | null;
  began: number;
  until: number;
  used: number | null;
};

const idPrefix = 'ses_';

function shown({ digest, ...found }: FoundLogin, by: Pick<UserIdentity, 'token' | 'session'>): LoginSession {
  const current = digest === null ? by.token === found.token : by.session === digest;
  return { ...found, current };
}

/** A session's id: part of its secret's digest, as in the id of a token. */
export function idOf(digest: string): string {
  return `${idPrefix}${digest.slice(0, 12)}`;
}

/** Start of the digest of the session with this id. */
function digestOf(id: string): string {
  return id.slice(idPrefix.length);
}

/** A text behind all digests of this id, because the digits of a digest are smaller than `g`. */
function behind(id: string): string {
  return `${digestOf(id)}g`;
}

/** Login URL for a code. The code is in the fragment, which browsers do not send, so it appears in no server log. */
export function loginUrl(http: string, code: string): string {
  return `${http}/#/login/${code}`;
}

/**
 * The token that the dashboard's pages send with each change. Another site can make the browser send the session
 * cookie, but does not know this token.
 */
export function csrfOf(secret: string): string {
  return createHash('sha256').update(`csrf ${secret}`).digest('base64url');
}
