import { randomBytes } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { Logger } from 'pino';
import { isUserName, type NewProviderLogin, type Role, type User } from '../../api/contract/access.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { Events, NewEvent } from '../events/events.js';
import { isUniqueViolation, type Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import { seal, unseal } from './answers.js';
import { failed, Provider, type ProviderOptions, type ProviderUser, scopeOf } from './provider.js';
import type { Failures } from './secrets.js';
import { freshToken, nameOf } from './tokens.js';
import { endSessionsOf, type Sessions } from './users.js';

/** How long a started login may take, ms; a provider may grant less time for a code. */
const flowMs = 10 * 60_000;

/** Longest duration of a login on the command line and in the dashboard, ms. */
const longestMs = { cli: 30 * 86_400_000, dashboard: 7 * 86_400_000 };

/** How long a login outlives its last successful check, as a multiple of the interval between checks. */
const lapse = 12;

/**
 * Pause after a failed check, ms: before the next check of any login if the provider failed, otherwise only of this login. Logins that have
 * not lapsed continue.
 */
const pauseMs = 30_000;

const secretPattern = /^[A-Za-z0-9_-]{43}$/;

/** Name of a login's token. Users of the provider have no other tokens. */
const loginName = (via: 'cli' | 'dashboard') => `login (${via})`;
export const commandLineLogin = loginName('cli');

/** Secrets of a started login, sealed with the secret of the client that started it. `nextPoll`: when the provider may be asked again. */
type Flow =
  | { kind: 'browser'; redirectUri: string; state: string; nonce: string; verifier: string }
  | { kind: 'device'; deviceCode: string; intervalMs: number; nextPoll: number };
type DeviceFlow = Extract<Flow, { kind: 'device' }>;

/** A started login, and how it is stored. */
interface StoredFlow<T extends Flow = Flow> {
  flow: T;
  data: string;
}

interface Parts {
  store: Store;
  events: Events;
  sessions: Sessions;
  failures: Failures;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  provider: ProviderOptions | undefined;
}

/** The client that logs in. */
export interface LoginClient {
  address: string;
  /** The client's description of itself, in the header User-Agent. */
  agent: string | undefined;
}

/** Longest description of a client that is stored. */
const longestAgent = 200;

/** A client as stored with a login. */
export function clientColumns({ address, agent }: LoginClient): { address: string; agent: string | null } {
  return { address, agent: agent?.slice(0, longestAgent) ?? null };
}

/** A login that has just succeeded: its secret, and the token whose rights it has. */
interface Admitted {
  secret: string;
  token: string;
  user: string;
  role: Role;
  /** When the login ends at the latest, ms since 1970. */
  ends: number;
}

/**
 * Logins with the accounts of an OpenID Connect provider. Each login is a token of a user whose role comes from the provider's groups. The
 * provider is asked again while the token is used, so the role follows the groups, and the login ends when the account does. The
 * provider's refresh token is sealed with the login's own secret, which is not stored: neither the database nor a backup reveals it.
 * Tokens of local users never depend on the provider.
 */
export class ProviderLogins {
  private readonly client: Provider | null;
  private readonly renewing = new Map<string, Promise<void>>();
  private pausedUntil = 0;

  constructor(private readonly parts: Parts) {
    this.client = parts.provider ? new Provider(parts.provider, parts.now) : null;
  }

  /** Host of the provider; null if there is none. */
  get host(): string | null {
    return this.client?.host ?? null;
  }

  private get provider(): Provider {
    if (this.client) return this.client;
    throw new AiotError('AIOT_NOT_FOUND', 'this platform has no login provider', {
      next: 'Use a token (`aiot context add`), or start the platform with `aiot up --oidc-issuer URL`.',
    });
  }

  /** Starts a login. @throws AIOT_NOT_FOUND (no provider), AIOT_PROVIDER_UNREACHABLE, AIOT_LOGIN_FAILED, AIOT_RATE_LIMITED */
  async begin(request: NewProviderLogin, address: string) {
    const { provider } = this;
    const { failures, now } = this.parts;
    const seconds = failures.logins.wait(address);
    if (seconds > 0)
      throw new AiotError('AIOT_RATE_LIMITED', `too many logins were started: try again in ${seconds} s`, {
        retryable: true,
      });
    failures.logins.note(address);
    if (request.kind === 'browser') {
      const { redirectUri } = request;
      const { url, ...secrets } = await provider.authorize(redirectUri);
      const flow = await this.keep({ kind: 'browser', redirectUri, ...secrets }, now() + flowMs);
      return { ...flow, url, code: null, intervalMs: null };
    }
    const started = await provider.startDevice();
    const intervalMs = Math.min(60, Math.max(1, started.interval ?? 5)) * 1000;
    const expires = now() + Math.min(flowMs, started.expires_in * 1000);
    const [deviceCode, nextPoll] = [started.device_code, now() + intervalMs];
    const flow = await this.keep({ kind: 'device', deviceCode, intervalMs, nextPoll }, expires);
    const url = started.verification_uri_complete ?? started.verification_uri;
    return { ...flow, url, code: started.user_code, intervalMs };
  }

  /**
   * Completes a login. @param response the query of the redirect; absent for a code, which is polled
   * @returns null while the user has not entered the code, or the login
   * @throws AIOT_LOGIN_FAILED, AIOT_NOT_ALLOWED (no role), AIOT_PROVIDER_UNREACHABLE
   */
  async finish(
    { login, response }: { login: string; response?: string | undefined },
    via: 'cli' | 'dashboard',
    client: LoginClient,
  ): Promise<Admitted | { intervalMs: number }> {
    const { provider } = this;
    const stored = await this.flowOf(login);
    const { flow } = stored;
    if ((flow.kind === 'browser') !== (response !== undefined))
      throw failed('this login was started with another method');
    try {
      if (flow.kind === 'browser') {
        // Removed first, so that a redirect is used once.
        await this.forget(login);
        return await this.admit(await provider.redeem(response ?? '', flow), via, client);
      }
      const claimed = await this.claimPoll(login, { flow, data: stored.data });
      if (claimed === null) return { intervalMs: flow.intervalMs };
      const poll = await provider.pollDevice(flow.deviceCode);
      if (poll.state === 'pending') {
        const { intervalMs } = poll.slower ? await this.slowDown(login, claimed) : flow;
        return { intervalMs };
      }
      await this.forget(login);
      return await this.admit(poll.user, via, client);
    } catch (error) {
      if (!(error instanceof AiotError) || error.code === 'AIOT_PROVIDER_UNREACHABLE') throw error;
      // The login may be forgotten already.
      if (flow.kind === 'device') await this.forget(login).catch(() => {});
      await this.tell('login.fail', provider.host, 'nobody', { reason: error.message });
      throw error;
    }
  }

  /** Creates a dashboard session for a login. */
  async openSession({ secret, token, ends }: Admitted, client: LoginClient): Promise<void> {
    const { store, now } = this.parts;
    const [digest, kind, method] = [sha256Hex(secret), 'session', 'provider'] as const;
    await store
      .insertInto('logins')
      .values({
        ...{ digest, kind, method, token, created: now(), expires: ends },
        ...{ ...clientColumns(client), lastUsed: null },
      })
      .execute();
  }

  /** Whether the provider must be asked about this login before its token is used. */
  isDue({ checked, ends, revoked }: { checked: number | null; ends: number | null; revoked: number | null }) {
    const { now, provider } = this.parts;
    if (!provider || checked === null || ends === null || revoked !== null || ends <= now()) return false;
    return now() - checked >= provider.recheckMs && this.pausedUntil <= now();
  }

  /** Asks the provider again, once for concurrent requests. Errors are logged: the token then stays valid until the login lapses. */
  renew(token: string, secret: string): Promise<void> {
    const renewal =
      this.renewing.get(token) ?? this.renewNow(token, secret).finally(() => this.renewing.delete(token));
    this.renewing.set(token, renewal);
    return renewal;
  }

  /**
   * Logs out of the platform and at the provider. Returns whether the provider confirmed it; null if the token is not a login. Also null
   * for the secret of a dashboard session that was opened by a link or with the token: the login then continues.
   */
  async end(token: string, secret: string): Promise<boolean | null> {
    const found = await this.find(token);
    if (!found) return null;
    const refreshToken = opened(found.sealed, secret);
    if (refreshToken === null && found.digest !== sha256Hex(secret)) return null;
    await this.close(token, 'logged out');
    if (!refreshToken || this.client?.options.issuer !== found.issuer) return false;
    return this.client.revoke(refreshToken).catch((err: unknown) => {
      this.parts.log.warn({ err }, 'the login provider did not confirm a logout');
      return false;
    });
  }

  private async renewNow(token: string, secret: string): Promise<void> {
    const { store, now, log } = this.parts;
    const before = await this.find(token);
    if (before === undefined) return;
    const refreshToken = opened(before.sealed, secret);
    if (!refreshToken) return;
    // A refresh token is never sent to a provider that did not issue it.
    if (before.issuer !== this.provider.options.issuer)
      return await this.close(token, 'the platform has another login provider');
    // Only one process uses the refresh token, because providers reject a second use.
    const claimed = now();
    const own = store.updateTable('oidcTokens').where('token', '=', token);
    const claim = await own
      .set({ checked: claimed })
      .where('checked', '=', before.checked)
      .executeTakeFirst();
    if (Number(claim.numUpdatedRows) === 0) return;
    try {
      const user = await this.provider.refresh(refreshToken, before.subject);
      if (user.role === null) return await this.close(token, 'none of the groups has a role');
      await this.confirm(token, before, user, secret);
    } catch (error) {
      const scope = scopeOf(error);
      if (scope === 'account') return await this.close(token, 'ended by the provider');
      if (scope === 'provider') this.pausedUntil = now() + pauseMs;
      // Stored, so that other replicas pause for this login too.
      const checked =
        scope === 'provider' ? before.checked : now() + pauseMs - this.provider.options.recheckMs;
      await own.set({ checked }).where('checked', '=', claimed).execute();
      log.warn(
        { err: error, token },
        'could not check a login at the login provider; it continues until it expires',
      );
    }
  }

  private async confirm(
    token: string,
    { owner, ends }: { owner: string; ends: number },
    user: ProviderUser,
    secret: string,
  ): Promise<void> {
    const { store } = this.parts;
    const isChanged = await store.transaction().execute(async (transaction) => {
      const sealed = seal(user.refreshToken ?? '', secret, sealedFor);
      await transaction.updateTable('oidcTokens').set({ sealed }).where('token', '=', token).execute();
      const renewed = transaction.updateTable('tokens').set({ expires: this.lapsesAt(ends) });
      await renewed.where('id', '=', token).where('revoked', 'is', null).execute();
      return this.setRights(transaction, owner, { role: user.role as Role, selector: user.selector });
    });
    if (isChanged) await endSessionsOf(owner, this.parts);
  }

  /** Creates the login's token, and the user at their first login. @throws AIOT_NOT_ALLOWED */
  private async admit(user: ProviderUser, via: 'cli' | 'dashboard', client: LoginClient): Promise<Admitted> {
    const { role } = user;
    if (role === null) throw this.withoutRole(user);
    const admitting = () => this.admitNow({ ...user, role }, via, client);
    // If a user's first two logins are concurrent, the second attempt finds the user that the other login added.
    return admitting().catch((error: unknown) => {
      if (isUniqueViolation(error)) return admitting();
      throw error;
    });
  }

  private async admitNow(
    user: ProviderUser & { role: Role },
    via: 'cli' | 'dashboard',
    client: LoginClient,
  ): Promise<Admitted> {
    const { store, events, now } = this.parts;
    const { role } = user;
    const { isChanged, ...admitted } = await store.transaction().execute(async (transaction) => {
      const { owner, isChanged } = await this.userFor(transaction, user);
      const ends = now() + (user.refreshToken === null ? this.lapseMs : longestMs[via]);
      // The token always has the user's current role, because `operator` does not limit it.
      const fresh = freshToken(now(), { name: loginName(via), owner, role: 'operator' });
      const secret = via === 'cli' ? fresh.secret : randomBytes(32).toString('base64url');
      const row = { ...fresh.row, expires: this.lapsesAt(ends) };
      const sealed = seal(user.refreshToken ?? '', secret, sealedFor);
      await transaction.insertInto('tokens').values(row).execute();
      const token = row.id;
      await transaction
        .insertInto('oidcTokens')
        .values({ token, sealed, checked: now(), ends, ...clientColumns(client) })
        .execute();
      await transaction.deleteFrom('oidcTokens').where('ends', '<=', now()).execute();
      const who = nameOf(owner, token);
      await events.record(
        { type: 'login.begin', subject: owner, who, data: { via, role, token } },
        transaction,
      );
      return { secret, token, user: owner, role, ends, isChanged };
    });
    if (isChanged) await endSessionsOf(admitted.user, this.parts);
    return admitted;
  }

  /** Name of the user with this account, who is added at the first login; `isChanged`: whether an existing user's role was changed. */
  private async userFor(
    store: Transaction<Schema>,
    user: ProviderUser & { role: Role },
  ): Promise<{ owner: string; isChanged: boolean }> {
    const { events, now } = this.parts;
    const { issuer } = this.provider.options;
    const { subject, role, selector } = user;
    const found = await store
      .selectFrom('oidcUsers')
      .innerJoin('users', 'users.name', 'oidcUsers.name')
      .select(['users.name', 'users.disabled'])
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .executeTakeFirst();
    if (found && found.disabled !== null)
      throw new AiotError('AIOT_NOT_ALLOWED', `the user ${found.name} is disabled`, {
        next: `Ask an operator to run \`aiot user enable ${found.name}\`.`,
      });
    if (found)
      return { owner: found.name, isChanged: await this.setRights(store, found.name, { role, selector }) };
    const name = await freeName(store, user, issuer);
    await store
      .insertInto('users')
      .values({ name, role, selector, created: now(), disabled: null })
      .execute();
    await store.insertInto('oidcUsers').values({ name, issuer, subject }).execute();
    await events.record(
      { type: 'user.add', subject: name, who: 'platform', data: { role, selector } },
      store,
    );
    return { owner: name, isChanged: false };
  }

  /** Returns whether the user had other rights. The caller ends the user's sessions after the transaction, because they keep those rights. */
  private async setRights(
    store: Transaction<Schema>,
    name: string,
    rights: Pick<User, 'role' | 'selector'>,
  ): Promise<boolean> {
    const own = store.selectFrom('users').select(['role', 'selector']).where('name', '=', name);
    const before = await own.executeTakeFirst();
    if (!before || (before.role === rights.role && before.selector === rights.selector)) return false;
    await store.updateTable('users').set(rights).where('name', '=', name).execute();
    const change = { type: 'user.role' as const, subject: name, who: 'platform', data: rights };
    await this.parts.events.record(change, store);
    return true;
  }

  private withoutRole({ name, groups }: ProviderUser): AiotError {
    const shown = groups.slice(0, 5).map((group) => group.slice(0, 40));
    const theirs = groups.length === 0 ? 'no groups' : `the groups ${shown.join(', ')}`;
    const { groupsClaim } = this.provider.options;
    return new AiotError(
      'AIOT_NOT_ALLOWED',
      `${name.slice(0, 64)} has ${theirs} at ${this.provider.host}, and therefore no role on this platform`,
      {
        next:
          groups.length === 0
            ? `Have the provider send the claim "${groupsClaim}", or set --oidc-groups to its name.`
            : 'Ask an operator to give a group a role: `aiot up --oidc-role GROUP=ROLE`.',
      },
    );
  }

  /** Ends a login and everything opened with it. The account's session at the provider continues. @param event records who ended it */
  revoke(token: string, event: NewEvent): Promise<void> {
    return this.close(token, 'revoked', event);
  }

  /** Ends a login and everything opened with it. */
  private async close(token: string, reason: string, revocation?: NewEvent): Promise<void> {
    const { store, events, sessions, now } = this.parts;
    await store.transaction().execute(async (transaction) => {
      const row = await transaction
        .updateTable('tokens')
        .set({ revoked: now() })
        .where('id', '=', token)
        .returning('owner')
        .executeTakeFirst();
      await transaction.deleteFrom('oidcTokens').where('token', '=', token).execute();
      await transaction.deleteFrom('logins').where('token', '=', token).execute();
      const owner = row?.owner ?? token;
      const who = revocation?.who ?? nameOf(owner, token);
      const change = { type: 'login.end' as const, subject: owner, who };
      await events.record({ ...change, data: { reason, token } }, transaction);
      if (revocation) await events.record(revocation, transaction);
    });
    sessions.end([token]);
  }

  private find(token: string) {
    return this.parts.store
      .selectFrom('oidcTokens')
      .innerJoin('tokens', 'tokens.id', 'oidcTokens.token')
      .innerJoin('oidcUsers', 'oidcUsers.name', 'tokens.owner')
      .select(['oidcTokens.sealed', 'oidcTokens.checked', 'oidcTokens.ends'])
      .select(['oidcUsers.issuer', 'oidcUsers.subject', 'oidcUsers.name as owner', 'tokens.digest'])
      .where('oidcTokens.token', '=', token)
      .executeTakeFirst();
  }

  private async keep(flow: Flow, expires: number): Promise<{ login: string; expires: number }> {
    const { store, now } = this.parts;
    const login = randomBytes(32).toString('base64url');
    const data = seal(JSON.stringify(flow), login, sealedFor);
    await store.deleteFrom('oidcFlows').where('expires', '<=', now()).execute();
    await store
      .insertInto('oidcFlows')
      .values({ digest: sha256Hex(login), data, expires })
      .execute();
    return { login, expires };
  }

  /** @throws AIOT_LOGIN_FAILED */
  private async flowOf(login: string): Promise<StoredFlow> {
    const { store, now } = this.parts;
    const row = secretPattern.test(login)
      ? await store
          .selectFrom('oidcFlows')
          .select('data')
          .where('digest', '=', sha256Hex(login))
          .where('expires', '>', now())
          .executeTakeFirst()
      : undefined;
    if (row) return { flow: JSON.parse(unseal(row.data, login, sealedFor)) as Flow, data: row.data };
    throw failed('this login timed out, or has already ended', undefined, 'Start a new login.');
  }

  /** @throws AIOT_LOGIN_FAILED if another request was first */
  private async forget(login: string): Promise<void> {
    const { numDeletedRows } = await this.parts.store
      .deleteFrom('oidcFlows')
      .where('digest', '=', sha256Hex(login))
      .executeTakeFirst();
    if (Number(numDeletedRows) === 0)
      throw failed('this login has already been used', undefined, 'Start a new login.');
  }

  /**
   * Reserves the next poll of a code, because clients without a token could otherwise send any number of requests to the provider. Of
   * concurrent requests, also to several replicas, only one reserves it. Returns null if no poll is due.
   */
  private async claimPoll(
    login: string,
    { flow, data }: StoredFlow<DeviceFlow>,
  ): Promise<StoredFlow<DeviceFlow> | null> {
    const at = this.parts.now();
    if (at < flow.nextPoll) return null;
    return this.replaceFlow(login, data, { ...flow, nextPoll: at + flow.intervalMs });
  }

  /** Polls a code more slowly, as the provider requires. */
  private async slowDown(login: string, { flow, data }: StoredFlow<DeviceFlow>): Promise<DeviceFlow> {
    const [intervalMs, nextPoll] = [flow.intervalMs + 5000, flow.nextPoll + 5000];
    const slower = { ...flow, intervalMs, nextPoll };
    await this.replaceFlow(login, data, slower);
    return slower;
  }

  /** Changes a started login, unless another request has changed it since it was read. */
  private async replaceFlow(
    login: string,
    before: string,
    flow: DeviceFlow,
  ): Promise<StoredFlow<DeviceFlow> | null> {
    const data = seal(JSON.stringify(flow), login, sealedFor);
    const { numUpdatedRows } = await this.parts.store
      .updateTable('oidcFlows')
      .set({ data })
      .where('digest', '=', sha256Hex(login))
      .where('data', '=', before)
      .executeTakeFirst();
    return Number(numUpdatedRows) === 0 ? null : { flow, data };
  }

  private async tell(type: 'login.fail', subject: string, who: string, data: { reason: string }) {
    const { store, events } = this.parts;
    await store
      .transaction()
      .execute((transaction) => events.record({ type, subject, who, data }, transaction));
  }

  private get lapseMs(): number {
    return lapse * this.provider.options.recheckMs;
  }

  private lapsesAt(ends: number): number {
    return Math.min(ends, this.parts.now() + this.lapseMs);
  }
}

/** Purpose of the keys with which a login's secrets are sealed. */
const sealedFor = 'aiot login';

/** The sealed refresh token, empty if there is none; null if the secret is another one, such as that of a dashboard link. */
function opened(sealed: string, secret: string): string | null {
  if (sealed === '') return null;
  try {
    return unseal(sealed, secret, sealedFor);
  } catch {
    return null;
  }
}

/**
 * A name for a new user: the name at the provider, with a suffix if the platform already has a user of that name, because it may be another
 * person.
 */
async function freeName(store: Transaction<Schema>, user: ProviderUser, issuer: string): Promise<string> {
  const suffix = sha256Hex(`${issuer}\n${user.subject}`).slice(0, 8);
  const plain = user.name
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 55);
  const name = plain.replace(/[^A-Za-z0-9]+$/, '');
  if (!isUserName(name)) return `user-${suffix}`;
  const taken = await store.selectFrom('users').select('name').where('name', '=', name).executeTakeFirst();
  return taken ? `${name}-${suffix}` : name;
}
