import { AsyncLocalStorage } from 'node:async_hooks';
import { serially, type Turns } from '../turns.js';
import type { Address } from './address.js';
import { databaseError, unreachable } from './errors.js';
import { lockClass, lockKey } from './locks.js';
import type { Guard } from './pool.js';

/** A turn that is under way in what runs now, and the one around it. */
interface Held {
  lost: boolean;
  around: Held | undefined;
}

/**
 * Turns over all processes: an advisory lock of a session, held while the task runs. When that session is lost, and with it
 * the lock, no further statement of the task is sent: `guard` refuses it.
 */
export async function postgresTurns(address: Address): Promise<{
  turns: Turns;
  guard: Guard;
  close(): Promise<void>;
}> {
  const { default: pg } = await import('pg');
  // One for each name that tasks of this process run under at once; a wait for the others may be long.
  const waits = { lock_timeout: 30_000, statement_timeout: 35_000, query_timeout: 40_000 };
  const pool = new pg.Pool({ ...address.config, ...waits, max: 16, idleTimeoutMillis: 60_000 });
  pool.on('error', () => {});
  const held = new AsyncLocalStorage<Held>();

  async function inTurn<T>(name: string, task: () => Promise<T>): Promise<T> {
    const key = [lockClass, lockKey(`turn ${name}`)];
    const client = await pool.connect().catch((error: unknown) => {
      throw databaseError(error, address.shown);
    });
    const turn: Held = { lost: false, around: held.getStore() };
    const lose = () => {
      turn.lost = true;
    };
    client.on('error', lose);
    client.on('end', lose);
    try {
      try {
        await client.query('SELECT pg_advisory_lock($1, $2)', key);
      } catch (error) {
        turn.lost = true;
        throw databaseError(error, address.shown);
      }
      return await held.run(turn, task);
    } finally {
      if (!turn.lost) await client.query('SELECT pg_advisory_unlock($1, $2)', key).catch(lose);
      client.off('error', lose);
      client.off('end', lose);
      // A session that ends gives back what it holds, so one that is in doubt ends.
      client.release(turn.lost);
    }
  }

  const queues = new Map<string, ReturnType<typeof serially>>();
  return {
    turns: {
      of(name) {
        const queue = queues.get(name) ?? serially();
        queues.set(name, queue);
        return (task) => queue(() => inTurn(name, task));
      },
    },
    guard() {
      for (let turn = held.getStore(); turn; turn = turn.around) {
        if (turn.lost) throw unreachable(undefined, address.shown);
      }
    },
    close: () => pool.end(),
  };
}
