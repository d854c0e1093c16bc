import { AiotError, hasCode } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import type { StreamOptions } from '../../stream/message.js';
import { openAdmin } from '../../stream/open.js';
import { parseStreamUrl } from '../../stream/url.js';
import {
  motionStream,
  motionStreams,
  recordStream,
  type StageEvent,
  type StageOptions,
  type StageResult,
} from './layout.js';

/** State shared by the parts of a stage. */
export interface Stage {
  server: MotionServer;
  clock: Clock;
  signal: AbortSignal;
  result: StageResult;
  tell(event: StageEvent): void;
}

/** Reports once that a stage is ready, when this number of its subjects is being read. */
export function whenOpen({ tell, server }: Stage, count: number): () => void {
  let left = count;
  return () => {
    if (--left === 0) tell({ kind: 'ready', endpoint: server.endpoint });
  };
}

/** First and longest pause between two attempts, ms. */
const firstPauseMs = 250;

const longestPauseMs = 5000;

/**
 * Opens a connection, retrying without limit, because a Pi may boot faster than its server, and servers may be down for a day. A missing
 * stream is created like the original's; an existing one is left unchanged.
 * @throws the signal's reason; errors that waiting cannot fix (a wrong token or address, an unknown CA)
 */
export async function opened<T>(stage: Stage, what: string, open: () => Promise<T>): Promise<T> {
  let pause = firstPauseMs;
  let made = false;
  for (let away = false; ; ) {
    stage.signal.throwIfAborted();
    try {
      const got = await open();
      if (away) stage.tell({ kind: 'back', what });
      return got;
    } catch (error) {
      stage.signal.throwIfAborted();
      if (hasCode(error, 'AIOT_STREAM_TOPIC_NOT_FOUND') && !made) {
        made = true;
        await makeStreams(stage).catch((failure: unknown) => {
          if (!(failure instanceof AiotError && failure.retryable)) throw failure;
          made = false;
        });
        if (made) continue;
      } else if (!(error instanceof AiotError && error.retryable)) throw error;
      if (!away) stage.tell({ kind: 'away', what, why: reasonOf(error) });
      away = true;
    }
    await stage.clock.sleep(pause, stage.signal);
    pause = Math.min(longestPauseMs, 2 * pause);
  }
}

/** An error's message, for log lines. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @throws AIOT_BROKER_REFUSED */
async function makeStreams({ server, tell }: Stage): Promise<void> {
  const admin = await openAdmin(server.urlOf(''), server.options);
  try {
    const name = server.subject === '' ? motionStream : recordStream;
    for (const wanted of new Set([motionStream, name] as const)) {
      const { consumers: _, ...spec } = motionStreams[wanted];
      const there = (await admin.topics({ listenMs: 0 })).some(({ stream }) => stream === wanted);
      if (there) continue;
      await admin.create?.(spec, { dryRun: false });
      tell({ kind: 'back', what: `stream ${wanted}`, why: 'created, because it did not exist' });
    }
  } finally {
    await admin.close();
  }
}

/** The NATS server of the motion system. */
interface MotionServer {
  /** Address of the server, without credentials. */
  endpoint: string;
  /** Stream options that contain only the credentials. */
  options: StreamOptions;
  /** Subject with one record per sample; empty for x, y and z. */
  subject: string;
  urlOf(subject: string): string;
}

/** The server's name in the original's certificates, regardless of its address. */
const originalName = 'nats';

/**
 * Determines the server: a `nats:` URL among the given ones, or else NATS_ADDRESS (`HOST`, `HOST:PORT` or a URL), with NATS_TOKEN. For a
 * bare address with a CA or a certificate, the server name `nats` is verified, as in the original's clients. A URL may specify another
 * server name (`?servername=`).
 * @throws AIOT_USAGE, AIOT_STREAM_URL
 */
export function motionServer({ env, urls = [], credentials = {} }: StageOptions): MotionServer {
  const given = urls.find((url) => /^natss?:/i.test(url));
  const address = given ?? addressOf(env);
  const bare = given === undefined && !address.includes('://');
  const { scheme, host, endpoint, username, password, path, query } = parseStreamUrl(
    bare ? `nats://${address}` : address,
  );
  const named = bare && (credentials.ca !== undefined || credentials.cert !== undefined);
  const settings = { ...(named ? { servername: originalName } : {}), ...query };
  const text = Object.entries(settings)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  const token = env.NATS_TOKEN ? { token: env.NATS_TOKEN } : {};
  return {
    endpoint,
    options: {
      ...token,
      ...credentials,
      // Credentials are passed as options, because they would be displayed as part of the URL. A user without a password is a token.
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    },
    // The six original subjects belong to the default layout, so they do not select the layout with records.
    subject: motionStreams.RPI.subjects.includes(path) ? '' : path,
    urlOf: (subject) => `${scheme}://${host}/${subject}${text === '' ? '' : `?${text}`}`,
  };
}

function addressOf({ NATS_ADDRESS }: StageOptions['env']): string {
  if (NATS_ADDRESS) return NATS_ADDRESS;
  throw new AiotError('AIOT_USAGE', 'expected the NATS server of the motion system, got none', {
    next: 'Set NATS_ADDRESS (and NATS_TOKEN) as for the original system, or add --out nats://HOST:4222.',
  });
}
