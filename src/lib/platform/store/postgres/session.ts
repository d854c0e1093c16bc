import type { Client } from 'pg';
import type { Address } from './address.js';
import { databaseError } from './errors.js';

/** A connection of its own, for what lasts: a lock that is held, notices that are waited for. */
export interface Session {
  client: Client;
  /** Ends when the connection does, whoever ends it. */
  lost: AbortSignal;
  query<Row>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** @throws AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED */
export async function openSession(
  { config, shown }: Address,
  more: Partial<Address['config']> = {},
): Promise<Session> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ ...config, ...more });
  const lost = new AbortController();
  client.on('error', () => lost.abort());
  client.on('end', () => lost.abort());
  const close = async () => {
    lost.abort();
    await client.end().catch(() => {});
  };
  try {
    await client.connect();
  } catch (error) {
    close().catch(() => {});
    throw databaseError(error, shown);
  }
  return {
    client,
    lost: lost.signal,
    close,
    async query<Row>(text: string, values: unknown[] = []) {
      try {
        return (await client.query(text, values)).rows as Row[];
      } catch (error) {
        throw databaseError(error, shown);
      }
    },
  };
}
