import { AiotError } from '../../core/index.js';
import { openRedis, type RedisClient, type StreamOptions } from '../../stream/index.js';
import { createBackground } from './background.js';
import { reasonOf, type Stage } from './stage.js';
import { cleaned, type LabelState, noLabels } from './vote.js';

/** The last labels, kept where the original keeps them. */
export interface Labels {
  readonly state: LabelState;
  /** Takes effect at once, and reaches Redis when it can: it never holds the vote up. */
  put(state: LabelState): void;
  /** After the last state has arrived, or 2 s. */
  close(): Promise<void>;
}

/** The original's four strings. */
const keys = {
  first: 'first_val',
  second: 'second_val',
  third: 'third_val',
  previous: 'previous_prediction',
} as const;
const names = Object.keys(keys) as (keyof LabelState)[];

/** Its Redis speaks TLS on this port. */
const originalPort = 7379;
const pauseMs = { first: 250, longest: 5000 };

/**
 * Labels in Redis: REDIS_ADDRESS is `HOST` or `HOST:PORT` (TLS, port 7379, as the original) or a `redis:` or `rediss:` URL. Without an
 * address they are kept in memory. A Redis that is away is waited for in the background.
 * @throws AIOT_BROKER_REFUSED (the password), AIOT_STREAM_URL, AIOT_STREAM_MESSAGE_REFUSED (a key holds something else)
 */
export async function openLabels(
  stage: Stage,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Labels> {
  const { REDIS_ADDRESS: address, REDIS_PASSWORD: password } = env;
  if (!address) return inMemory();
  const { ca, cert, key } = stage.server.options;
  return inRedis(stage, addressOf(address), { ca, cert, key, ...(password ? { password } : {}) });
}

function addressOf(address: string): string {
  if (address.includes('://')) return address;
  return /:\d+$/.test(address) ? `rediss://${address}` : `rediss://${address}:${originalPort}`;
}

function inMemory(): Labels {
  let state = noLabels;
  return {
    get state() {
      return state;
    },
    put(next) {
      state = next;
    },
    close: async () => {},
  };
}

async function inRedis(stage: Stage, url: string, options: StreamOptions): Promise<Labels> {
  const { clock } = stage;
  let client: RedisClient | undefined;
  let state = noLabels;
  let unwritten = false;
  let away = false;

  const attempt = async () => {
    if (!client) {
      client = await openRedis(url, options);
      // What was voted on meanwhile is newer than what is there.
      if (!unwritten) state = await read(client);
    }
    while (unwritten) {
      unwritten = false;
      const values = names.map((name) => [keys[name], state[name]]).filter(([, value]) => value !== null);
      await client.set(Object.fromEntries(values) as Record<string, string>).catch((error: unknown) => {
        unwritten = true;
        throw error;
      });
    }
  };
  /** Until all is there. */
  const work = async () => {
    for (
      let pause = pauseMs.first;
      !background.signal.aborted;
      pause = Math.min(pauseMs.longest, 2 * pause)
    ) {
      try {
        await attempt();
        if (away) stage.tell({ kind: 'back', what: 'Redis' });
        away = false;
        return;
      } catch (error) {
        if (!away) stage.tell({ kind: 'away', what: 'Redis', why: reasonOf(error) });
        away = true;
      }
      await clock.sleep(pause, background.signal).catch(() => {});
    }
  };
  const background = createBackground(clock, work, () => unwritten);
  try {
    await attempt();
  } catch (error) {
    if (!(error instanceof AiotError && error.retryable)) {
      await client?.close();
      throw error;
    }
    stage.tell({ kind: 'away', what: 'Redis', why: error.message });
    away = true;
    background.start();
  }
  return {
    get state() {
      return state;
    },
    put(next) {
      state = next;
      unwritten = true;
      background.start();
    },
    async close() {
      await background.close();
      await client?.close();
    },
  };
}

async function read(client: RedisClient): Promise<LabelState> {
  const values = await client.get(names.map((name) => keys[name]));
  return cleaned(
    Object.fromEntries(names.map((name, i) => [name, values[i] ?? null])) as unknown as LabelState,
  );
}
