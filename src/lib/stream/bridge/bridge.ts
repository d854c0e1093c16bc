import { createHash } from 'node:crypto';
import { AiotError } from '../../core/index.js';
import { routeOf } from '../route/load.js';
import type { Route } from '../route/types.js';
import { parseStreamUrl } from '../url.js';

/** What `stream bridge` may be told besides its two addresses: the fields of a route. */
export interface BridgeOptions {
  from: string;
  to: string;
  name?: string;
  decode?: string;
  where?: string;
  map?: string;
  each?: boolean;
  topic?: string;
  messageKey?: string;
  /** `NAME=EXPRESSION` each. */
  headers?: readonly string[];
  onError?: 'retry' | 'skip';
  /** Address; goes before `onError`. */
  deadLetter?: string;
  batch?: number;
  /** Such as `20ms`. */
  batchTime?: string;
  dedupe?: string;
  dedupeWindow?: string;
  exactlyOnce?: boolean;
  /** Folder. */
  spool?: string;
  /** Such as `1GB`. */
  spoolLimit?: string;
  spoolFull?: 'wait' | 'drop-oldest';
}

/** The route that one line of `stream bridge` stands for. @throws AIOT_ROUTE_INVALID, AIOT_STREAM_URL, AIOT_USAGE */
export function bridgeRoute(options: BridgeOptions): Route {
  const { from, to, name = bridgeName(from, to), spool, dedupe } = options;
  const lone = (flag: string, value: unknown, needs: string) => {
    if (value !== undefined) throw new AiotError('AIOT_USAGE', `expected --${needs} beside --${flag}`);
  };
  if (spool === undefined) {
    lone('spool-limit', options.spoolLimit, 'spool');
    lone('spool-full', options.spoolFull, 'spool');
  }
  if (dedupe === undefined) {
    lone('dedupe-window', options.dedupeWindow, 'dedupe');
    lone('exactly-once', options.exactlyOnce || undefined, 'dedupe');
  }
  const { onError = 'retry', deadLetter } = options;
  const fields: Record<string, unknown> = {
    from,
    to,
    decode: options.decode,
    where: options.where,
    map: options.map,
    each: options.each,
    topic: options.topic,
    key: options.messageKey,
    headers: headersOf(options.headers),
    onError: deadLetter === undefined ? onError : { 'dead-letter': deadLetter },
    batch: defined({ messages: options.batch, time: options.batchTime }),
    dedupe:
      dedupe === undefined
        ? undefined
        : defined({ key: dedupe, window: options.dedupeWindow, exactlyOnce: options.exactlyOnce }),
    spool:
      spool === undefined
        ? undefined
        : defined({ path: spool, limit: options.spoolLimit, full: options.spoolFull }),
  };
  return routeOf(name, defined(fields));
}

/** The same for the same two addresses, so that Kafka's group and the name of the service stay: `mqtt-to-kafka-1a2b3c`. */
function bridgeName(from: string, to: string): string {
  const [source, target] = [parseStreamUrl(from), parseStreamUrl(to)];
  const places = [source, target].map(({ endpoint, path }) => `${endpoint}/${path}`).join(' ');
  const short = createHash('sha256').update(places).digest('hex').slice(0, 6);
  return `${source.scheme}-to-${target.scheme}-${short}`;
}

function headersOf(texts: readonly string[] | undefined): Record<string, string> | undefined {
  if (!texts) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
      throw new AiotError('AIOT_USAGE', `--header: expected NAME=EXPRESSION, got "${text}"`);
    }),
  );
}

function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== false),
  );
}
