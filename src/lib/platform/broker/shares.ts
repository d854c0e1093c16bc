import type { Router } from './router.js';
import type { Outgoing, Session } from './sessions.js';
import type { Share } from './topics.js';
import type { Qos } from './wire.js';

// Shared subscriptions (MQTT 5, section 4.8.2). Each message goes to one member. Members that can receive it
// immediately take turns; if none can, the member with the shortest queue gets the message. When a member disconnects,
// its unacknowledged messages pass to another member.

type Member = Share<Session>;

/**
 * Chooses the member for the next message: a connected member if possible, otherwise an offline one. Null = no member
 * can take it.
 */
export function nextMember(share: Member, qos: Qos): Session | null {
  const { order, members } = share;
  let shortest: Session | null = null;
  for (let step = 0; step < order.length; step++) {
    const at = (share.turn + step) % order.length;
    const session = order[at]!;
    if (!session.link) continue;
    if (session.hasRoom) {
      share.turn = (at + 1) % order.length;
      return session;
    }
    if (!shortest || session.queued < shortest.queued) shortest = session;
  }
  if (shortest) return shortest;
  for (const [session, grant] of members) {
    if (!session.persistent || Math.min(grant.qos, qos) === 0) continue;
    if (!shortest || session.queued < shortest.queued) shortest = session;
  }
  return shortest;
}

/**
 * A member under whose session the log can record a message, if the receiver's own session is not in the log; undefined
 * = none.
 */
export function homeOf({ members }: Member, except: Session | null, qos: Qos): Session | undefined {
  for (const [session, grant] of members) {
    if (session !== except && session.persistent && Math.min(grant.qos, qos) > 0) return session;
  }
  return undefined;
}

/**
 * Passes a session's shared messages to connected members. These are the unacknowledged messages of a disconnected
 * client, and the unsent messages of a client that unsubscribed. QoS 2 messages that were sent stay, because the client
 * may have received them (section 4.8.2).
 * @param toOffline also considers members without a connected client, because the session ends or has lost the right to
 * the messages
 * @param only the shared subscriptions whose messages are passed on; all when absent
 */
export function redistribute(
  router: Router,
  session: Session,
  toOffline: boolean,
  only?: ReadonlySet<string>,
): void {
  if (!session.hasShared) return;
  const others = new Map<string, Member>();
  for (const entry of [...session.entries()]) {
    if (entry.share === undefined || !mayMove(session, entry)) continue;
    if (only && !only.has(entry.share)) continue;
    const share = others.get(entry.share) ?? othersThan(session, router.share(entry.share));
    if (!share) continue;
    others.set(entry.share, share);
    const target = nextMember(share, entry.message.qos);
    if (target && (target.link || toOffline)) move(router, session, entry, target, share);
  }
}

/** The shared subscription without the given session. */
function othersThan(session: Session, share: Member | undefined): Member | undefined {
  if (!share) return undefined;
  const members = new Map([...share.members].filter(([member]) => member !== session));
  return { ...share, members, order: [...members.keys()] };
}

function mayMove({ link }: Session, { state, qos }: Outgoing): boolean {
  if (state === 'waiting') return true;
  return link === null && qos === 1 && (state === 'again' || state === 'restored');
}

function move(
  router: Router,
  from: Session,
  entry: Outgoing,
  session: Session,
  { name, members }: Member,
): void {
  from.remove(entry);
  const grant = members.get(session)!;
  const home = entry.home ?? (from.persistent ? from : undefined);
  const { message, number } = entry;
  const qos = Math.min(grant.qos, message.qos) as Qos;
  const ids = grant.id > 0 ? [grant.id] : null;
  if (qos === 0) {
    session.link?.sendMessage(message, 0, 0, false, ids);
    if (home) router.note(home, 'done', entry);
    return;
  }
  const id = session.freeId();
  if (id === 0) {
    router.figures.dropped++;
    if (home) router.note(home, 'done', entry);
    return;
  }
  const moved: Outgoing = { number, message, qos, id, ids, share: name, state: 'waiting' };
  if (session.persistent) router.pass(session, moved, home);
  else moved.home = home;
  session.add(moved);
  session.pump();
}

/** Moves log records from an ending session to another member, if members that are not in the log must still receive the messages. */
export function findNewHomes(router: Router, ended: Session): void {
  for (const name of ended.shares()) {
    const share = router.share(name);
    if (!share) continue;
    for (const member of share.members.keys()) {
      if (member === ended || member.persistent || !member.hasShared) continue;
      for (const entry of member.entries()) {
        if (entry.home !== ended) continue;
        const home = homeOf(share, ended, entry.message.qos);
        if (home) router.pass(home, { ...entry, id: 0, home: undefined }, ended);
        else entry.number = 0;
        entry.home = home;
      }
    }
  }
}
