import { AiotError } from '../../core/errors.js';
import type { Delivery, StreamOptions } from '../../stream/message.js';
import { openSink } from '../../stream/open.js';
import { openRedis, type RedisClient } from '../../stream/redis/client.js';
import { follow } from './follow.js';
import { motionStream, type StageOptions, subjects } from './layout.js';
import { createBackground, openSender } from './sender.js';
import { reasonOf, type Stage, whenOpen } from './stage.js';

/** Placeholder for the unknown model: messages on `predictions` do not identify it. */
const fromPredictions = { name: subjects.predictions, version: null };

/** Maximum length of a label. Longer text is not a class name. */
const longest = 64;

/**
 * Reads labels from `predictions` and publishes their majority on `output`. Also stores the last labels in Redis, notifies
 * Telegram when the majority changes, and sends the majority to the other outputs.
 * @throws the errors of opening Redis, Telegram and the others
 */
export async function outputStage(
  stage: Stage,
  { env, openOutputs }: Pick<StageOptions, 'env' | 'openOutputs'>,
): Promise<void> {
  const { result } = stage;
  const announcer = await openAnnouncer(stage, env);
  const labels = await openLabels(stage, env);
  const outputs = await openOutputs?.();
  const sender = await openSender(stage, motionStream);
  const one = async (delivery: Delivery) => {
    const { payload, position, time } = delivery.message;
    const label = labelOf(payload);
    result.taken++;
    if (label === undefined) {
      result.refused++;
      stage.tell({ kind: 'lost', count: 1, why: 'a message on predictions is not a label' });
      return delivery.ack();
    }
    const { state, winner, changed } = voteLabel(labels.state, label);
    labels.put(state);
    if (changed && winner !== null) announcer.announce(winner);
    outputs?.put({
      ...{ t: time, window: result.windows++, label, voted: winner, changed },
      ...{ scores: [], value: null, latencyMs: stage.clock.now() - time, model: fromPredictions },
    });
    let arrived = true;
    if (winner !== null) {
      const id = `output-${position}-${time}`;
      arrived = await sender.send([{ subject: subjects.output, payload: winner, id }]);
      if (arrived) result.published++;
    }
    // The label has been counted in the vote, so it must not be redelivered.
    delivery.ack();
    stage.tell({ kind: 'label', label, voted: winner, t: time });
  };
  try {
    for await (const batch of follow(stage, motionStream, subjects.predictions, whenOpen(stage, 1))) {
      await Promise.all(batch.map(one));
    }
  } finally {
    await sender.close();
    await labels.close();
    await announcer.close();
    await outputs?.close();
  }
}

/** The class name alone. Boards end the text with a NUL, and text typed by a person ends with a newline. */
function labelOf(payload: Uint8Array): string | undefined {
  const text = Buffer.from(payload)
    .toString('utf8')
    .replace(/[\0\s]+$/, '')
    .trimStart();
  return text !== '' && text.length <= longest && /^[\p{L}\p{N} _.:-]+$/u.test(text) ? text : undefined;
}

/** The last labels, stored where the original stores them. */
interface Labels {
  readonly state: LabelState;
  /** Changes the state immediately, and writes it to Redis when possible. It never delays smoothing. */
  put(state: LabelState): void;
  /** Resolves after the last state has been stored, or after 2 s. */
  close(): Promise<void>;
}

/** Redis keys of the original's four strings. */
const keys = {
  first: 'first_val',
  second: 'second_val',
  third: 'third_val',
  previous: 'previous_prediction',
} as const;

const names = Object.keys(keys) as (keyof LabelState)[];

/** Port on which the original's Redis accepts TLS connections. */
const originalPort = 7379;

const pauseMs = { first: 250, longest: 5000 };

/**
 * Stores labels in Redis. REDIS_ADDRESS is `HOST` or `HOST:PORT` (TLS, port 7379, as in the original) or a `redis:` or `rediss:` URL.
 * Without an address, labels are kept in memory. If Redis is unreachable, writes are retried in the background.
 * @throws AIOT_BROKER_REFUSED (the password), AIOT_STREAM_URL, AIOT_STREAM_MESSAGE_REFUSED (a key contains another type)
 */
async function openLabels(stage: Stage, env: Readonly<Record<string, string | undefined>>): Promise<Labels> {
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
      // Labels received in the meantime are newer than the stored ones.
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
  /** Retries until everything is stored. */
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

/** State stored in Redis between labels: the last three labels, newest first, and the last label announced. */
export interface LabelState {
  first: string | null;
  second: string | null;
  third: string | null;
  /** The last label sent to Telegram. */
  previous: string | null;
}

export const noLabels: LabelState = { first: null, second: null, third: null, previous: null };

/** The original motion system's placeholder for a missing label. */
const placeholder = 'placeholder';

/** Parses a state. The original motion system's placeholder counts as a missing label. */
export function cleaned(state: LabelState): LabelState {
  const clean = (text: string | null) =>
    text === placeholder || text === '' || text === 'None' ? null : text;
  return {
    first: clean(state.first),
    second: clean(state.second),
    third: clean(state.third),
    previous: clean(state.previous),
  };
}

/**
 * The most frequent label; null if there is a tie for first place, or if there are no labels. The original system does not forward ties.
 */
function mostFrequent(labels: Iterable<string>): string | null {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  const [most, next] = [...counts].sort(([, a], [, b]) => b - a);
  return most && most[1] !== next?.[1] ? most[0] : null;
}

/**
 * The majority of the last four labels, including this one; null if two are equally frequent. Unlike the original, this function accepts
 * four equal labels, which the original treats as an error and does not announce. It also ignores missing labels, for which the original
 * sends the word `placeholder`. The stored labels shift in every case.
 */
export function voteLabel(
  state: LabelState,
  label: string,
): { state: LabelState; winner: string | null; changed: boolean } {
  const labels = [label, state.first, state.second, state.third].filter((one) => one !== null);
  const winner = mostFrequent(labels);
  const changed = winner !== null && winner !== state.previous;
  return {
    state: {
      first: label,
      second: state.first,
      third: state.second,
      previous: changed ? winner : state.previous,
    },
    winner,
    changed,
  };
}

/** Announces the newest label. A label that is still pending when the next one arrives is skipped. */
interface Announcer {
  announce(label: string): void;
  /** Resolves after the newest label has been delivered, or after 2 s. */
  close(): Promise<void>;
}

const newsPauseMs = { first: 1000, longest: 60_000 };

/**
 * Sends to the chat TELEGRAM_CHAT as the Telegram bot TELEGRAM_KEY; does nothing if either is missing. TELEGRAM_API names another server of
 * the Bot API. @throws AIOT_STREAM_URL (no such key or chat)
 */
async function openAnnouncer(
  stage: Stage,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Announcer> {
  const { TELEGRAM_KEY: token, TELEGRAM_CHAT: chat, TELEGRAM_API: base } = env;
  if (!token || !chat) return { announce: () => {}, close: async () => {} };
  const query = base ? `?base=${encodeURIComponent(base)}` : '';
  const sink = await openSink(`telegram:///${encodeURIComponent(chat)}${query}`, { token });
  const { clock } = stage;
  let newest: string | undefined;
  const work = async () => {
    for (let pause = newsPauseMs.first; newest !== undefined && !background.signal.aborted; ) {
      const label = newest;
      newest = undefined;
      try {
        await sink.write([{ topic: '', payload: Buffer.from(label) }]);
        pause = newsPauseMs.first;
      } catch (error) {
        stage.tell({ kind: 'away', what: 'Telegram', why: reasonOf(error) });
        if (!(error instanceof AiotError && error.retryable)) continue;
        newest ??= label;
        await clock.sleep(pause, background.signal).catch(() => {});
        pause = Math.min(newsPauseMs.longest, 2 * pause);
      }
    }
  };
  const background = createBackground(clock, work, () => newest !== undefined);
  return {
    announce(label) {
      newest = label;
      background.start();
    },
    async close() {
      await background.close();
      await sink.close();
    },
  };
}
