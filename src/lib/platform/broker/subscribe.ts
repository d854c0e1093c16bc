import type { MqttVersion } from '../../stream/mqtt/packets.js';
import type { Core } from './broker.js';
import type { Connection } from './connection.js';
import { mayUseFilter } from './identity.js';
import { suback, unsuback } from './requests.js';
import { loggedGrant } from './session-log.js';
import type { Session } from './sessions.js';
import { redistribute } from './shares.js';
import { fitsLimits, sharedFilter } from './topics.js';
import {
  type BrokerMessage,
  type Qos,
  reasonCode,
  type SubscribePacket,
  type SubscribeRequest,
} from './wire.js';

/** Number of retained messages to examine before yielding to other work. */
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
   * A filter that occurs several times in the packet counts once, with its last options. Otherwise, one packet could request all retained
   * messages many times.
   */
  const granted = new Map<string, SubscribeRequest>();
  const known = new Set<string>();
  const denied: string[] = [];
  const codes = subscriptions.map((request) => {
    const { filter, qos } = request;
    const reason = reasonToRefuse(core, connection, session, filter);
    if (reason !== 0) {
      if (reason === reasonCode.notAuthorized)
        core.denied(connection, 'subscribe', `the topic ${filter.slice(0, 200)}`);
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
    if (wanted.length === 0) return;
    session.retainedFeed ??= new RetainedFeed(core, session);
    session.retainedFeed.add(wanted);
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

/** Reason code for rejecting a subscription; 0 = accepted. */
function reasonToRefuse(
  { limits }: Core,
  { identity }: Connection,
  session: Session,
  filter: string,
): number {
  if (session.subscriptions.size >= limits.subscriptions && !session.subscriptions.has(filter))
    return reasonCode.quotaExceeded;
  if (!fitsLimits(limits, filter)) return reasonCode.topicFilterInvalid;
  return mayUseFilter(identity!, filter) ? 0 : reasonCode.notAuthorized;
}

/** Number of unacknowledged messages at which the sending of retained messages pauses, for sessions that end with their connection. */
const queuedMost = 500;

/**
 * Bytes pending in the socket at which the sending of retained messages pauses; below the limit at which publishers wait for the client.
 */
const pendingMost = 512 * 1024;

/**
 * Sends the retained messages for a session's new subscriptions, filter by filter, as fast as the client accepts them.
 * If the client reconnects, sending continues.
 */
export class RetainedFeed {
  /** Filters still to be processed. A filter that is requested again in the meantime is processed once. */
  private readonly requests = new Map<string, SubscribeRequest>();
  private current: { request: SubscribeRequest; messages: Iterator<BrokerMessage | null> } | null = null;
  private isBusy = false;

  constructor(
    private readonly core: Pick<Core, 'state' | 'router' | 'limits'>,
    private readonly session: Session,
  ) {}

  add(requests: readonly SubscribeRequest[]): void {
    for (const request of requests) this.requests.set(request.filter, request);
    this.session.waiters.add(this.proceed);
    this.proceed();
  }

  /** Sends as many messages as there is room for, at most a stride. Called again when there may be more room. */
  private readonly proceed = (): void => {
    if (this.isBusy) return;
    this.isBusy = true;
    const isDone = this.sendSome();
    if (isDone) {
      this.session.waiters.delete(this.proceed);
      // An idle session needs no feed.
      this.session.retainedFeed = null;
    }
    if (isDone || !this.hasRoom()) {
      this.isBusy = false;
      return;
    }
    setImmediate(() => {
      this.isBusy = false;
      this.proceed();
    });
  };

  /** Sends messages, up to a stride. Returns whether none are left. */
  private sendSome(): boolean {
    for (let count = 0; count < stride && this.hasRoom(); count++) {
      this.current ??= this.nextRequest();
      if (!this.current) return true;
      const { request, messages } = this.current;
      const { done, value } = messages.next();
      if (done) this.current = null;
      else if (value) this.send(value, request);
    }
    return false;
  }

  /** Half of the session's queue remains for other messages, because a full queue drops the oldest ones. */
  private hasRoom(): boolean {
    const { link, queued, bytes, persistent } = this.session;
    const { queueMessages, queueBytes, socketBytes } = this.core.limits;
    const most = persistent ? queueMessages / 2 : Math.min(queuedMost, queueMessages / 2);
    const isRoomy = link !== null && link.waiting < Math.min(pendingMost, socketBytes / 2);
    return isRoomy && queued < most && bytes < queueBytes / 2;
  }

  private nextRequest() {
    for (const [filter, request] of this.requests) {
      this.requests.delete(filter);
      if (this.session.subscriptions.has(filter))
        return { request, messages: this.core.state.retained.looked(filter) };
    }
    return null;
  }

  private send(message: BrokerMessage, { filter, qos: most, id }: SubscribeRequest): void {
    const { session } = this;
    if (session.isFit?.(message.topic) === false) return;
    // The client has unsubscribed.
    if (!session.subscriptions.has(filter)) {
      this.current = null;
      return;
    }
    const ids = id > 0 ? [id] : null;
    const qos = Math.min(most, message.qos) as Qos;
    if (qos === 0) session.link?.sendMessage(message, 0, 0, false, ids);
    else this.core.router.enqueue(session, message, qos, { ids, isRetained: true });
  }
}

/** Acknowledges an UNSUBSCRIBE once the change is on disk. */
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
