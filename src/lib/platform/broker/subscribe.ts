import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MqttVersion } from '../../stream/mqtt/packets.js';
import type { Core } from './broker.js';
import type { Connection } from './connection.js';
import { maySubscribe } from './identity.js';
import { suback, unsuback } from './requests.js';
import { loggedGrant } from './session-log.js';
import type { Session } from './sessions.js';
import { redistribute } from './shares.js';
import { filterWithin, isSubscription, sharedFilter } from './topics.js';
import { type Qos, reasonCode, type SubscribePacket, type SubscribeRequest } from './wire.js';

const mostLevels = 100;

/** Retained messages examined before yielding to other work. */
const stride = 10_000;

/** Acknowledges a SUBSCRIBE once the subscriptions are on disk, then sends retained messages. */
export function subscribe(
  core: Core,
  connection: Connection,
  level: MqttVersion,
  { id, subscriptions }: SubscribePacket,
): void {
  const session = connection.session!;
  const { figures, log } = core;
  /**
   * A filter that is repeated in the packet counts once, with its last options. Otherwise one packet could request all retained messages many times.
   */
  const granted = new Map<string, SubscribeRequest>();
  const known = new Set<string>();
  const denied: string[] = [];
  const codes = subscriptions.map((request) => {
    const { filter, qos } = request;
    const reason = reasonToRefuse(core, connection, session, filter);
    if (reason !== 0) {
      denied.push(filter);
      return reason;
    }
    if (session.subscriptions.has(filter) && !granted.has(filter)) known.add(filter);
    const { noLocal, retainAsPublished, id: identifier } = request;
    core.state.subscribe(session, filter, { qos, noLocal, retainAsPublished, id: identifier });
    granted.set(filter, request);
    return qos;
  });
  if (denied.length > 0) {
    figures.refused += denied.length;
    const shown = { client: session.key, topic: denied[0]!.slice(0, 200), count: denied.length };
    log.warn(shown, 'rejected a subscription');
  }
  const answer = () => {
    if (connection.closed) return;
    connection.reply(suback(level, id, codes));
    const wanted = [...granted.values()].filter(({ filter, retainHandling }) => {
      if (sharedFilter(filter)) return false;
      return retainHandling === 0 || (retainHandling === 1 && !known.has(filter));
    });
    sendRetained(core, connection, session, wanted);
  };
  if (!session.persistent || granted.size === 0) {
    answer();
    return;
  }
  const f = [...granted].map(([filter, grant]) => loggedGrant(filter, grant));
  core.sessionLog().commit({ k: 'sub', s: session.key, f }, (error) => {
    if (error) connection.fail(error);
    else answer();
  });
}

/** Why a subscription is refused; 0 = it is not. */
function reasonToRefuse(
  { limits }: Core,
  { identity }: Connection,
  session: Session,
  filter: string,
): number {
  if (session.subscriptions.size >= limits.subscriptions && !session.subscriptions.has(filter))
    return reasonCode.quotaExceeded;
  const fits = filter.length <= limits.filterLength && filter.split('/').length <= mostLevels;
  if (!fits || !isSubscription(filter)) return reasonCode.topicFilterInvalid;
  return maySubscribe(identity!, filterWithin(filter)) ? 0 : reasonCode.notAuthorized;
}

/** Sends retained messages, a stride at a time. Reading from this client pauses meanwhile; other clients are not affected. */
function sendRetained(
  { state, router }: Core,
  connection: Connection,
  session: Session,
  wanted: readonly SubscribeRequest[],
): void {
  const each = function* () {
    for (const { filter, qos: most, id } of wanted) {
      const ids = id > 0 ? [id] : null;
      for (const message of state.retained.looked(filter)) {
        if (!message) {
          yield;
          continue;
        }
        const qos = Math.min(most, message.qos) as Qos;
        if (qos === 0) session.link?.sendMessage(message, 0, 0, false, ids);
        else router.enqueue(session, message, qos, { ids, isRetained: true });
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

/** Acknowledges an UNSUBSCRIBE once it is on disk. */
export function unsubscribe(
  core: Core,
  connection: Connection,
  level: MqttVersion,
  { id, filters }: { id: number; filters: string[] },
): void {
  const session = connection.session!;
  const codes = filters.map((filter) =>
    core.state.unsubscribe(session, filter) ? reasonCode.success : reasonCode.noSubscriptionExisted,
  );
  if (filters.some((filter) => sharedFilter(filter))) redistribute(core.router, session, false);
  const answer = () => connection.reply(unsuback(level, id, codes));
  if (!session.persistent) {
    answer();
    return;
  }
  core.sessionLog().commit({ k: 'unsub', s: session.key, f: filters }, (error) => {
    if (error) connection.fail(error);
    else answer();
  });
}
