import type { Msg, Subscription } from 'nats';
import type { AiotError } from '../../core/errors.js';
import { systemClock } from '../../core/time.js';
import type { Delivery } from '../message.js';
import { createQueue } from '../queue.js';
import { type NatsClient, within } from './connect.js';

/** Lifetime of a request for messages, ms. Another request follows. */
const expiresMs = 30_000;

/** Interval of the server's heartbeats while a request waits, ms. */
const heartbeatMs = 5_000;

/** Maximum number of bytes in one request, which bounds memory use for messages of any size. */
const requestBytes = 16 * 1024 * 1024;

/** How long to wait for messages in flight when reading stops, ms. */
const drainMs = 1_000;

/** If nothing arrives for this long, no more messages are in flight; ms. */
const quietMs = 50;

type RenewReason = 'reconnected' | 'silent' | 'gone' | 'gap';

export interface PullHandlers {
  /** Called for each message of the stream. */
  message(msg: Msg): void;
  /** Called for each message that arrives after reading has stopped. */
  late?(msg: Msg): void;
  /** Whether there is room for more messages. When there is room again, the owner calls `Pull.more`. */
  room(): boolean;
  /**
   * Called if the connection was restored, if nothing arrived from the server for too long, or if the server reports
   * that the consumer is gone. Requests then restart with the consumer that `renew` returns.
   * @throws errors that end reading
   */
  renew(why: RenewReason): Promise<string>;
  /** Called with the error after which reading cannot continue. */
  end(error: unknown): void;
}

interface Pull {
  /** Requests more messages, because there is room again. */
  more(): void;
  /** Restarts the requests because the reader has noticed a problem (see `PullHandlers.renew`). */
  renew(why: RenewReason): void;
  /** Resolves once nothing more arrives; messages in flight have arrived by then. */
  stop(): Promise<void>;
}

/**
 * Requests messages from a JetStream consumer (`$JS.API.CONSUMER.MSG.NEXT`, ADR-13 of NATS) before the previous
 * messages have all arrived, as long as there is room. The equivalent in nats.js is `consume`; its fast form, with a
 * callback, has no back-pressure.
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
  /** Number of requested messages that have not arrived yet. */
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
    // Ignores messages that are still in flight from the old consumer.
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
  /**
   * Handles a status that the server sends in place of a message: a request has ended, with the number of undelivered messages, or the
   * consumer is gone.
   */
  const status = ({ headers }: Msg) => {
    const code = headers?.code ?? 0;
    if (code === 100) return;
    const text = headers?.description.toLowerCase() ?? '';
    if (code === 404 || code === 503 || /consumer|leadership|shutdown/.test(text)) return renew('gone');
    asked = Math.max(0, asked - Number(headers?.get('Nats-Pending-Messages') || asked));
    request();
  };
  /**
   * Waits until the requested messages have arrived or no more are coming. A message that is sent while we unsubscribe
   * would be redelivered only after its acknowledgment times out.
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

/** Number of unread bytes above which no more messages are requested. */
const mostBytes = 32 * 1024 * 1024;

/**
 * Messages that were fetched from a log but not read yet. If there are too many, no more messages are requested, so
 * that nothing is dropped.
 */
interface Stock {
  add(delivery: Delivery, bytes: number): void;
  room(): boolean;
  end(error?: unknown): void;
  /** Yields the messages in batches. `onTaken` is called once there is room again. */
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
