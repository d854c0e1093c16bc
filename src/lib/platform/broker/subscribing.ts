import { setImmediate as nextTurn } from 'node:timers/promises';
import { maySubscribe } from './acl.js';
import type { Connection } from './connection.js';
import type { Core } from './core.js';
import { isFilter } from './filter.js';
import type { Session } from './sessions/session.js';
import type { Qos, SubscribePacket } from './wire/packets.js';
import { packet } from './wire/packets.js';
import { ack, suback } from './wire/write.js';

const refused = 128;
const mostLevels = 100;
/** Retained messages that are looked at before others have their turn. */
const stride = 10_000;

/** Answers a SUBSCRIBE once what it granted is on disk, and sends what is retained. */
export function subscribe(core: Core, connection: Connection, { id, subscriptions }: SubscribePacket): void {
  const session = connection.session!;
  const { figures, log } = core;
  /** A filter that comes again counts once, by its last QoS: else one packet could ask for all that is retained many times. */
  const granted = new Map<string, Qos>();
  const denied: string[] = [];
  const codes = subscriptions.map(({ filter, qos }) => {
    if (!maySubscribeTo(core, connection, session, filter)) {
      denied.push(filter);
      return refused;
    }
    core.state.subscribe(session, filter, qos);
    granted.set(filter, qos);
    return qos;
  });
  if (denied.length > 0) {
    figures.refused += denied.length;
    const shown = { client: session.key, topic: denied[0]!.slice(0, 200), count: denied.length };
    log.warn(shown, 'a subscription was refused');
  }
  const answer = () => {
    if (connection.closed) return;
    connection.outlet.send(suback(id, codes));
    sendRetained(core, connection, session, granted);
  };
  if (!session.persistent || granted.size === 0) {
    answer();
    return;
  }
  core.sessionLog().commit({ k: 'sub', s: session.key, f: [...granted] }, (error) => {
    if (error) connection.fail(error);
    else answer();
  });
}

function maySubscribeTo(
  { limits }: Core,
  { identity }: Connection,
  session: Session,
  filter: string,
): boolean {
  const room = session.subscriptions.size < limits.subscriptions || session.subscriptions.has(filter);
  const fit = filter.length <= limits.filterLength && filter.split('/').length <= mostLevels;
  return room && fit && isFilter(filter) && maySubscribe(identity!, filter);
}

/** Sends what is retained, a stride at a time: meanwhile nothing more is read of this client, and of others everything is. */
function sendRetained(
  { state, router }: Core,
  connection: Connection,
  session: Session,
  granted: ReadonlyMap<string, Qos>,
): void {
  const each = function* () {
    for (const [filter, most] of granted) {
      for (const message of state.retained.looked(filter)) {
        if (!message) {
          yield;
          continue;
        }
        const qos = Math.min(most, message.qos) as Qos;
        if (qos === 0) session.link?.sendMessage(message, 0, 0, false);
        else router.enqueue(session, message, qos);
        yield;
      }
    }
  };
  const steps = each();
  const some = () => {
    for (let count = 0; count < stride; count++) if (steps.next().done) return true;
    return false;
  };
  if (some()) return;
  const rest = async () => {
    do await nextTurn();
    while (!connection.closed && !some());
  };
  connection.busyWhile(rest());
}

/** Answers an UNSUBSCRIBE once it is on disk. */
export function unsubscribe(
  core: Core,
  connection: Connection,
  { id, filters }: { id: number; filters: string[] },
): void {
  const session = connection.session!;
  for (const filter of filters) core.state.unsubscribe(session, filter);
  const answer = () => connection.outlet.send(ack(packet.unsuback, id));
  if (!session.persistent) {
    answer();
    return;
  }
  core.sessionLog().commit({ k: 'unsub', s: session.key, f: filters }, (error) => {
    if (error) connection.fail(error);
    else answer();
  });
}
