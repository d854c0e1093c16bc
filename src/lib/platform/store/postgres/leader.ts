import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../../core/index.js';
import type { Campaign, Leader } from '../../workers/leader.js';
import type { Address } from './address.js';
import { lockClass, lockKey } from './locks.js';
import { openSession, type Session } from './session.js';

/** How often it is tried for and looked after, and how long an answer may take, ms. */
const [everyMs, withinMs] = [1_000, 2_000];
/** What the one before has to end its work in, ms: its lock may have gone before it knew. */
const graceMs = 1_000;

/**
 * The leader holds an advisory lock on a session of its own. It asks that session each second and stops work when no answer
 * comes; the server ends a session that cannot be reached within 4 s of that (its TCP keepalive, set here), and then the next
 * one has the lock.
 */
export function postgresLeader(address: Address): Leader {
  const campaigns: Campaign[] = [];
  return {
    roles: () => campaigns,
    campaign(work, role = 'platform') {
      const campaign: Campaign = { role, leads: false, error: null };
      campaigns.push(campaign);
      const stop = new AbortController();
      const running = (async () => {
        while (!stop.signal.aborted) {
          await once(address, campaign, work, stop.signal).catch((error: unknown) => {
            campaign.error = error instanceof AiotError ? error.code : 'AIOT_DATABASE_UNREACHABLE';
          });
          await delay(everyMs, undefined, { signal: stop.signal }).catch(() => {});
        }
      })();
      return async () => {
        stop.abort();
        await running;
        campaigns.splice(campaigns.indexOf(campaign), 1);
      };
    },
  };
}

/** From a connection to its end: tries for the lock, and works while it has it. */
async function once(
  address: Address,
  campaign: Campaign,
  work: (signal: AbortSignal) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  const session = await openSession(address, { query_timeout: withinMs });
  const over = AbortSignal.any([stop, session.lost]);
  try {
    await session.query(
      `SELECT set_config('tcp_keepalives_idle', '2', false), set_config('tcp_keepalives_interval', '1', false),
              set_config('tcp_keepalives_count', '2', false)`,
    );
    campaign.error = null;
    while (!over.aborted && !(await taken(session, campaign.role))) await pause(everyMs, over);
    await pause(graceMs, over);
    if (over.aborted) return;
    campaign.leads = true;
    const leading = new AbortController();
    const ended = work(AbortSignal.any([over, leading.signal])).catch(() => {});
    await looksAfter(session, over).catch(() => {});
    leading.abort();
    await ended;
  } finally {
    campaign.leads = false;
    await session.close();
  }
}

async function taken(session: Session, role: string): Promise<boolean> {
  const key = [lockClass, lockKey(`leader of ${role}`)];
  const [row] = await session.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1, $2) AS taken', key);
  return row?.taken === true;
}

async function looksAfter(session: Session, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await session.query('SELECT 1');
    await pause(everyMs, over);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}
