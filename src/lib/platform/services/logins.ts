import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { AiotError, sha256Hex } from '../../core/index.js';
import type { Login } from '../../registry/index.js';
import type { UserIdentity } from '../broker/identity.js';
import type { Store } from '../store/database.js';
import type { Events } from './events.js';
import type { Tokens } from './tokens.js';

/** How long a link waits to be opened, and how long a session lasts, ms; none outlives its token. */
const linkMs = 15 * 60_000;
const sessionMs = 7 * 24 * 3600_000;

const secretPattern = /^[A-Za-z0-9_-]{43}$/;

interface Parts {
  store: Store;
  events: Events;
  tokens: Tokens;
  /** ms since 1970 */
  now: () => number;
}

/** Somebody who came by the dashboard: what the token may that opened it, and no more. */
export interface WebIdentity {
  user: UserIdentity;
  expires: number;
}

/** Who is let into the dashboard: by a link that is used once, or by a token. Secrets are 256 random bits, kept as digests. */
export class Logins {
  constructor(private readonly parts: Parts) {}

  /** A code that logs one browser in as the one who asks. */
  async link(by: UserIdentity): Promise<{ code: string; expires: number }> {
    const { secret, expires } = await this.make('link', by, linkMs);
    await this.tell('session.link', by);
    return { code: secret, expires };
  }

  /** Begins a session. @throws AIOT_TOKEN_INVALID */
  async begin(login: Login): Promise<WebIdentity & { secret: string }> {
    const user =
      'code' in login ? await this.redeem(login.code) : await this.parts.tokens.identify(login.token);
    if (user === null) {
      const [what, next] =
        'code' in login
          ? ['this link was used already, or is too old', 'aiot dashboard']
          : ['expected a valid token', 'aiot token create'];
      throw new AiotError('AIOT_TOKEN_INVALID', what, { next });
    }
    const { secret, expires } = await this.make('session', user, sessionMs);
    await this.tell('session.begin', user);
    return { secret, user, expires };
  }

  /** Whose session this is; null when it is none, or is over. */
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
    const user = await this.parts.tokens.identityOf(row.token);
    return user && { user, expires: row.expires };
  }

  async end(secret: string, by: UserIdentity): Promise<void> {
    await this.parts.store.deleteFrom('logins').where('digest', '=', sha256Hex(secret)).execute();
    await this.tell('session.end', by);
  }

  /** The first who asks gets it: the row is deleted by one only. */
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

  private async make(kind: 'link' | 'session', { token }: UserIdentity, ms: number) {
    const { store, now, tokens } = this.parts;
    const secret = randomBytes(32).toString('base64url');
    const expires = Math.min(now() + ms, (await tokens.get(token)).expires);
    await store.deleteFrom('logins').where('expires', '<=', now()).execute();
    await store
      .insertInto('logins')
      .values({ digest: sha256Hex(secret), kind, token, created: now(), expires })
      .execute();
    return { secret, expires };
  }

  private async tell(
    type: `session.${'link' | 'begin' | 'end'}`,
    { name, token }: UserIdentity,
  ): Promise<void> {
    const { store, events } = this.parts;
    await store
      .transaction()
      .execute((transaction) => events.record({ type, subject: token, who: name }, transaction));
  }
}

/** Where a code logs in. Behind the #: browsers send it to nobody, and no log has it. */
export function loginUrl(http: string, code: string): string {
  return `${http}/#/login/${code}`;
}

/** What a page of the session sends with each change: another site that has the browser send its cookie does not know it. */
export function csrfOf(secret: string): string {
  return createHash('sha256').update(`csrf ${secret}`).digest('base64url');
}
