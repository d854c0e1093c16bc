import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Delivery, Message, Source } from '../../stream/message.js';
import { headersOf, type LocalStreams } from '../streams.js';
import type { Core } from './broker.js';
import { type Link, Session } from './sessions.js';
import type { BrokerMessage } from './wire.js';

/** Called with each message. Must not block, because publishers do not wait for it. */
type Take = (message: Message) => void;

/** Called if an external broker ends the subscription. */
type Ended = (error: unknown) => void;

/**
 * Follows a filter: its retained messages first, then new ones. Any filter is allowed except a shared subscription; the
 * caller checks permissions. Returns a function that ends the tail.
 */
export type Tail = (filter: string, take: Take, ended: Ended) => Promise<() => Promise<void>>;

/** Maximum number of retained messages that a tail begins with; users would not read more. */
const mostRetained = 200;

/** Number of retained messages to examine before yielding to other work. */
const stride = 10_000;

/** Tails of the embedded broker: subscriptions with QoS 0 in a session without a connection. */
export function tailIn(core: Pick<Core, 'state' | 'now' | 'log'>): Tail {
  const { state, log } = core;
  return async (filter, take) => {
    const session = new Session(`tail:${randomUUID()}`, false, 0);
    // Runs within the delivery to all subscribers, which an error must not end.
    const passOn = (message: BrokerMessage) => {
      try {
        take(shown(message, core.now()));
      } catch (err) {
        log.error({ err, topic: message.topic }, 'could not show a message');
      }
    };
    session.attach(linkTo(passOn, core.now));
    state.subscribe(session, filter, { qos: 0, noLocal: false, retainAsPublished: false, id: 0 });
    let examined = 0;
    let found = 0;
    for (const message of state.retained.looked(filter)) {
      if (++examined % stride === 0) await nextTurn();
      if (!message) continue;
      passOn({ ...message, retain: true });
      if (++found === mostRetained) break;
    }
    return async () => state.end(session);
  };
}

/** Tails of an external broker. Each tail is a client of that broker. `closed` is called with each ended tail. */
export function tailOf(streams: Pick<LocalStreams, 'openSource'>, closed: (source: Source) => void): Tail {
  return async (filter, take, ended) => {
    const source = await streams.openSource(filter, { queue: mostRetained, overflow: 'drop' });
    const reading = read(source, (delivery) => {
      take(delivery.message);
      delivery.ack();
    }).catch(ended);
    return async () => {
      closed(source);
      await source.close();
      await reading;
    };
  };
}

async function read(source: Source, each: (delivery: Delivery) => void): Promise<void> {
  for await (const batch of source) for (const delivery of batch) each(delivery);
}

function shown(message: BrokerMessage, time: number): Message {
  const { topic, payload, qos, retain } = message;
  return { topic, payload, time, qos, retain, source: 'aiot://stream', ...headersOf(message) };
}

/** A link that always has room, so that no publisher waits for it. */
function linkTo(take: (message: BrokerMessage) => void, now: () => number): Link {
  return {
    sendMessage(message) {
      take(message);
      return true;
    },
    sendRelease: () => {},
    discarded: () => {},
    ...{ receiveMaximum: 1, now, roomy: true, throttled: false, waiting: 0, taken: 0 },
  };
}
