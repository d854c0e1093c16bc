import { AsyncLocalStorage } from 'node:async_hooks';
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { AiotError } from '../../core/errors.js';
import { isUniqueViolation, type Store } from '../store/database.js';

/** How long a response is stored for repeated requests, ms. */
const kept = 86_400_000;

/** A request with an Idempotency-Key that is still being processed. */
export interface Pending {
  who: string;
  key: string;
  /** Digest of the request. */
  request: string;
  /** The presented token, with which the response is sealed; null = the response contains no secret. */
  secret: string | null;
}

interface Answer {
  request: string;
  /** HTTP status; 0 = the request was carried out, but its response is unknown. */
  status: number;
  body: string;
  /** Headers that are part of the response, such as `location`. */
  headers: Record<string, string>;
}

/**
 * Responses to requests with an Idempotency-Key. Completion is recorded in the same transaction as the change (through the change's event);
 * the response is stored afterward. The change is therefore not repeated if the process dies between the two steps. A response may contain
 * a secret, so it is sealed with the requester's token.
 */
export class Answers {
  private readonly working = new AsyncLocalStorage<Pending & { noted: boolean }>();
  /** Requests that this process is working on, by requester and key. */
  private readonly turns = new Map<string, Promise<void>>();

  constructor(
    private readonly store: Store,
    private readonly now: () => number,
  ) {}

  /**
   * If a request with the same key is in progress, waits for it and returns its response. If the caller must process
   * this request, returns a function to call when done.
   */
  async begin(pending: Pending): Promise<Answer | (() => void)> {
    const id = `${pending.who}\n${pending.key}`;
    for (let before = this.turns.get(id); before; before = this.turns.get(id)) await before;
    let end = () => {};
    const turn = new Promise<void>((resolve) => {
      end = () => {
        if (this.turns.get(id) === turn) this.turns.delete(id);
        resolve();
      };
    });
    this.turns.set(id, turn);
    try {
      const found = await this.find(pending);
      if (found === null) return end;
      end();
      return found;
    } catch (error) {
      end();
      throw error;
    }
  }

  /** Runs a request's handler. `note` attributes the changes made in the handler to this request. */
  during(pending: Pending, run: () => void): void {
    this.working.run({ ...pending, noted: false }, run);
  }

  /**
   * Must be called in each change's transaction.
   * @throws AIOT_IDEMPOTENCY_REUSED if another process carries out the same request at the same time
   */
  async note(store: Store): Promise<void> {
    const pending = this.working.getStore();
    if (!pending || pending.noted) return;
    pending.noted = true;
    const { who, key, request } = pending;
    const row = { who, key, request, status: 0, body: '', created: this.now() };
    try {
      await store.insertInto('answers').values(row).execute();
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new AiotError('AIOT_IDEMPOTENCY_REUSED', 'the same request is still being processed', {
        cause: error,
        retryable: true,
        next: 'Wait, then repeat the request with the same key to get its response.',
      });
    }
  }

  /**
   * Stores the response. An error response is stored only if the request changed something; otherwise the client may
   * retry.
   */
  async finish(
    { who, key, request, secret }: Pending,
    { status, body, headers }: Omit<Answer, 'request'>,
  ): Promise<void> {
    const sealed = { status, body: closed(JSON.stringify([body, headers]), secret) };
    if (status >= 400) {
      const update = this.store
        .updateTable('answers')
        .set(sealed)
        .where('who', '=', who)
        .where('key', '=', key);
      await update.where('status', '=', 0).execute();
      return;
    }
    await this.store
      .insertInto('answers')
      .values({ who, key, request, created: this.now(), ...sealed })
      .onConflict((conflict) => conflict.columns(['who', 'key']).doUpdateSet(sealed))
      .execute();
  }

  /** Deletes responses that are older than a day. */
  async sweep(): Promise<void> {
    await this.store
      .deleteFrom('answers')
      .where('created', '<', this.now() - kept)
      .execute();
  }

  private async find({ who, key, secret }: Pending): Promise<Answer | null> {
    const row = await this.store
      .selectFrom('answers')
      .select(['request', 'status', 'body', 'created'])
      .where('who', '=', who)
      .where('key', '=', key)
      .executeTakeFirst();
    if (!row) return null;
    if (row.created >= this.now() - kept) return { ...row, ...readKept(opened(row.body, secret)) };
    await this.store.deleteFrom('answers').where('who', '=', who).where('key', '=', key).execute();
    return null;
  }
}

/**
 * Parses a stored response, which is a list of body and headers. Earlier versions of aiot stored only the body, which
 * was an object or empty.
 */
function readKept(text: string): Pick<Answer, 'body' | 'headers'> {
  if (!text.startsWith('[')) return { body: text, headers: {} };
  const [body, headers] = JSON.parse(text) as [string, Record<string, string>];
  return { body, headers };
}

/** Purpose of the keys with which responses are sealed. */
const answers = 'aiot answers';

function closed(text: string, secret: string | null): string {
  return secret === null ? text : seal(text, secret, answers);
}

function opened(text: string, secret: string | null): string {
  return secret === null || text === '' ? text : unseal(text, secret, answers);
}

/**
 * AES-256-GCM under a key derived from a secret of 256 random bits (HKDF, RFC 5869): nonce, tag and text in base64.
 * @param purpose keeps the keys for different uses of a secret apart
 */
export function seal(text: string, secret: string, purpose: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyOf(secret, purpose), nonce);
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64');
}

/** Opens a text of `seal`. Throws if the secret is another one, or the text was changed. */
export function unseal(text: string, secret: string, purpose: string): string {
  const bytes = Buffer.from(text, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', keyOf(secret, purpose), bytes.subarray(0, 12));
  decipher.setAuthTag(bytes.subarray(12, 28));
  return decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8');
}

function keyOf(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, 32));
}
