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

/** Answers a SUBSCRIBE once what it granted is on disk, and sends what is retained. */
export function subscribe(core: Core, connection: Connection, { id, subscriptions }: SubscribePacket): void {
  const session = connection.session!;
  const granted: [string, Qos][] = [];
  const codes = subscriptions.map(({ filter, qos }) => {
    if (!maySubscribeTo(core, connection, session, filter)) return refused;
    core.state.subscribe(session, filter, qos);
    granted.push([filter, qos]);
    return qos;
  });
  const answer = () => {
    if (connection.closed) return;
    connection.outlet.send(suback(id, codes));
    for (const [filter, qos] of granted) sendRetained(core, session, filter, qos);
  };
  if (!session.persistent || granted.length === 0) {
    answer();
    return;
  }
  core.sessionLog().commit({ k: 'sub', s: session.key, f: granted }, (error) => {
    if (error) connection.fail(error);
    else answer();
  });
}

function maySubscribeTo(core: Core, connection: Connection, session: Session, filter: string): boolean {
  const { limits, figures, log } = core;
  const room = session.subscriptions.size < limits.subscriptions || session.subscriptions.has(filter);
  const fit = isFilter(filter) && filter.split('/').length <= mostLevels;
  if (room && fit && maySubscribe(connection.identity!, filter)) return true;
  figures.refused++;
  log.warn({ client: session.key, topic: filter }, 'a subscription was refused');
  return false;
}

function sendRetained({ state, router }: Core, session: Session, filter: string, granted: Qos): void {
  for (const message of state.retained.matching(filter)) {
    const qos = Math.min(granted, message.qos) as Qos;
    if (qos === 0) session.link?.sendMessage(message, 0, 0, false);
    else router.enqueue(session, message, qos);
  }
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
