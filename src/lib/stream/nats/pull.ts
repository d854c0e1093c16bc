import type { Msg, Subscription } from 'nats';
import type { AiotError } from '../../core/errors.js';
import { systemClock } from '../../core/time.js';
import type { Delivery } from '../message.js';
import { createQueue } from '../queue.js';
import { type NatsClient, within } from './connect.js';

/** A request for messages ends after this time, ms; the next one follows. */
const expiresMs = 30_000;

/** While a request waits, the server says that often that it lives, ms. */
const heartbeatMs = 5_000;

/** Bytes that one request may bring: memory stays bounded whatever the size of messages. */
const requestBytes = 16 * 1024 * 1024;

/** How long a server may take to say that nothing more is on its way, ms. */
const drainMs = 1_000;

/** Nothing came for so long: there is nothing more now, ms. */
const quietMs = 50;

type RenewReason = 'reconnected' | 'silent' | 'gone' | 'gap';

export interface PullHandlers {
  /** A message of the stream. */
  message(msg: Msg): void;
  /** One that was on its way when it stopped. */
  late?(msg: Msg): void;
  /** Whether there is room for more; `pull.more` tells when there is again. */
  room(): boolean;
  /**
   * The connection came back, the server fell silent, or it says that the consumer is gone: after this the requests
   * begin anew, with the consumer of the name returned. @throws what ends it
   */
  renew(why: RenewReason): Promise<string>;
  /** It cannot go on. */
  end(error: unknown): void;
}

interface Pull {
  /** There is room again. */
  more(): void;
  /** The reader sees that something is amiss: see `PullHandlers.renew`. */
  renew(why: RenewReason): void;
  /** Resolves when nothing more comes; what was on its way has come until then. */
  stop(): Promise<void>;
}

/**
 * Asks a JetStream consumer for messages, always some requests ahead (`$JS.API.CONSUMER.MSG.NEXT`, ADR-13 of NATS), as long as there
 * is room. nats.js has this as `consume`, which with a callback, its fast form, knows no back-pressure.
 */
export function startPull(
  client: NatsClient,
  stream: string,
  firstConsumer: string,
  window: number,
  handlers: PullHandlers,
): Pull {
  const { nc, nats } = client;
  const limit = Math.max(requestBytes, 2 * (nc.info?.max_payload ?? 0));
  let consumer = firstConsumer;
  let inbox = '';
  let subscription: Subscription | undefined;
  /** Messages that were asked for and have not come. */
  let asked = 0;
  let heard = 0;
  let renewing = false;
  let stopped = false;

  const request = () => {
    if (stopped || renewing || asked > window / 2 || !handlers.room()) return;
    const batch = window - asked;
    asked = window;
    const body = {
      batch,
      max_bytes: limit,
      expires: nats.nanos(expiresMs),
      idle_heartbeat: nats.nanos(heartbeatMs),
    };
    nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(body), { reply: inbox });
  };
  const begin = () => {
    subscription?.unsubscribe();
    asked = 0;
    heard = systemClock.now();
    inbox = nats.createInbox();
    const own = inbox;
    subscription = nc.subscribe(inbox, {
      callback(error, msg) {
        if (own !== inbox) return;
        heard = systemClock.now();
        if (stopped && (error || msg.subject === own)) return;
        if (error) return handlers.end(error);
        if (msg.subject === own) return status(msg);
        if (asked > 0) asked--;
        if (stopped) return handlers.late?.(msg);
        handlers.message(msg);
        if (asked <= window / 2) request();
      },
    });
    request();
  };
  const renew = (why: RenewReason) => {
    if (renewing || stopped) return;
    renewing = true;
    // What is still under way belongs to the old consumer.
    inbox = '';
    handlers
      .renew(why)
      .then((name) => {
        renewing = false;
        if (stopped) return;
        consumer = name;
        begin();
      })
      .catch((error: AiotError) => {
        if (!stopped) handlers.end(error);
      });
  };
  /** What the server says of a request instead of a message: its end, with what did not come, or that the consumer is gone. */
  const status = ({ headers }: Msg) => {
    const code = headers?.code ?? 0;
    if (code === 100) return;
    const text = headers?.description.toLowerCase() ?? '';
    if (code === 404 || code === 503 || /consumer|leadership|shutdown/.test(text)) return renew('gone');
    asked = Math.max(0, asked - Number(headers?.get('Nats-Pending-Messages') || asked));
    request();
  };
  /**
   * Resolves when what was asked for has come, as far as there is any: what the server sends while we unsubscribe would be lost for as
   * long as it waits for its acknowledgement.
   */
  const quiet = async () => {
    const deadline = systemClock.now() + drainMs;
    const last = () => Math.max(heard, deadline - drainMs);
    while (asked > 0 && systemClock.now() < Math.min(deadline, last() + quietMs)) await systemClock.sleep(5);
  };
  const watch = setInterval(() => {
    const silent = asked > 0 && systemClock.now() - heard > 2.5 * heartbeatMs;
    if (silent && !nc.isClosed()) renew('silent');
  }, heartbeatMs);
  watch.unref();
  client.onState((state) => {
    if (state === 'connected') renew('reconnected');
  });
  client.onEnd((error) => handlers.end(error));
  begin();
  return {
    more: request,
    renew,
    async stop() {
      stopped = true;
      clearInterval(watch);
      if (nc.isClosed() || !subscription) return;
      if (!handlers.late) return subscription.unsubscribe();
      await quiet();
      await within(drainMs, subscription.drain());
    },
  };
}

/** Bytes that wait for the reader before no more are asked for. */
const mostBytes = 32 * 1024 * 1024;

/** What has been fetched from a log and not been taken: bounded by asking for no more, so nothing is ever thrown away. */
interface Stock {
  add(delivery: Delivery, bytes: number): void;
  room(): boolean;
  end(error?: unknown): void;
  /** `onTaken` is called when there is room again. */
  batches(onTaken: () => void): AsyncGenerator<Delivery[]>;
}

export function createStock(limit: number): Stock {
  const queue = createQueue<Delivery>(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  let messages = 0;
  let bytes = 0;
  return {
    add(delivery, size) {
      messages++;
      bytes += size;
      queue.push(delivery);
    },
    room: () => messages < limit && bytes < mostBytes,
    end: (error) => queue.end(error),
    async *batches(onTaken) {
      for await (const batch of queue) {
        messages = 0;
        bytes = 0;
        onTaken();
        yield batch;
      }
    },
  };
}
