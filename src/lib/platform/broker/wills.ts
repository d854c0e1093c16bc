import {
  decodeMessage,
  encodeMessage,
  isProtocolTopic,
  parseTopic,
  topicOf,
} from '../../device/protocol/codec.js';
import { presenceSchema } from '../../device/protocol/messages.js';
import type { Core } from './broker.js';
import { send } from './router.js';
import { type Session, type Will, willRecord } from './sessions.js';
import type { BrokerMessage } from './wire.js';

// Wills (MQTT 5 and 3.1.1, section 3.1.2.5), and the presence of devices, which usually report going offline by a will.

/**
 * Called when a session's client has disconnected. The client's will is published now, or when the delay is over or the
 * session ends, whichever comes first (MQTT 5, section 3.1.3.2.2). If the will is published now, resolves once it is
 * stored.
 */
export async function beginWill(core: Core, session: Session, isDropped: boolean): Promise<void> {
  const { key, expiryMs } = session;
  const will = core.state.wills.get(key);
  if (!will) return;
  const delayMs = Math.min(will.delaySeconds * 1000, expiryMs);
  if (isDropped || delayMs === 0) return endWill(core, key, isDropped ? 'dropped' : 'told');
  will.dueAt = core.now() + delayMs;
  core.sessionLog().append(willRecord(key, will));
}

/**
 * Called when the client of a pending will is back. Within the delay the will is deleted, even if the client begins a new session (MQTT 5, section
 * 3.1.2.5). Only a clean start that takes over an open connection ends the session first, so that its will is published (section 3.1.4).
 */
export async function endPendingWill(core: Core, key: string): Promise<void> {
  const dueAt = core.state.wills.get(key)?.dueAt ?? null;
  if (dueAt === null) return;
  // A will whose delay is over may still be waiting for the next sweep.
  await endWill(core, key, dueAt > core.now() ? 'dropped' : 'told');
}

/** Ends a will by publishing it (`told`) or by dropping it. */
export async function endWill(core: Core, key: string, how: 'told' | 'dropped'): Promise<void> {
  const will = core.state.wills.get(key);
  if (!will) return;
  const { wills } = core.state;
  wills.delete(key);
  try {
    if (how === 'told' && !isOutdated(core, will) && (await mayBePublished(core, key, will)))
      await tell(core, key, messageOf(will, core.now()));
  } catch (error) {
    // The author's rights could not be checked. The next sweep tries again.
    if (!wills.has(key)) wills.set(key, { ...will, dueAt: core.now() });
    throw error;
  }
  // The log keeps a will that a newer connection has set in the meantime.
  if (!wills.has(key)) core.sessionLog().append({ k: 'will', s: key, m: null });
}

/** Checks the rights of a will's author at publication, because they may have ended while the will was pending. */
async function mayBePublished(core: Core, key: string, will: Will): Promise<boolean> {
  const { topic } = will.message;
  // A device's identity was checked while its connection was open. A user's device may have left the user's rights since then.
  const isDevices = will.dueAt === null && will.token === null;
  if (isDevices || (await core.mayStillPublish(will, topic))) return true;
  core.figures.refused++;
  core.log.warn({ client: key, topic }, 'dropped a will whose author has lost its permissions');
  return false;
}

function messageOf({ message, expirySeconds }: Will, now: number): BrokerMessage {
  return expirySeconds === undefined ? message : { ...message, expiresAt: now + expirySeconds * 1000 };
}

/** Publishes the wills whose delay is over. */
export function sweepWills(core: Core): void {
  const now = core.now();
  for (const [key, { dueAt }] of [...core.state.wills]) {
    if (dueAt === null || dueAt > now) continue;
    endWill(core, key, 'told').catch((err: unknown) =>
      core.log.error({ err, client: key }, 'could not check a will'),
    );
  }
}

/** Ends a session, and publishes its pending will. */
export async function endSession(core: Core, session: Session): Promise<void> {
  core.router.end(session);
  if (core.state.wills.get(session.key)?.dueAt != null) await endWill(core, session.key, 'told');
}

/** Processes a will in the same steps as any other message. Storage errors are logged. */
async function tell(core: Core, who: string, message: BrokerMessage): Promise<void> {
  try {
    if (isProtocolTopic(message.topic)) await core.store(who, message.topic, message.payload);
    await new Promise<void>((resolve, reject) =>
      core.offer(message, (error) => (error ? reject(error) : resolve())),
    );
    await send(core, message, who);
  } catch (err) {
    core.log.error({ err, topic: message.topic }, 'could not store a will');
  }
}

/** Whether a will is outdated: it would report a device as offline that has a newer connection under another client id. */
function isOutdated({ isOnline }: Core, { device, message }: Will): boolean {
  return device !== null && parseTopic(message.topic)?.channel === 'presence' && isOnline(device);
}

/**
 * Publishes a retained offline message for a device that is offline and had no will, in place of its online message.
 */
export async function settlePresence(core: Core, device: string): Promise<void> {
  const topic = topicOf(device, 'presence');
  const kept = core.state.retained.get(topic);
  if (!kept || core.isOnline(device) || !saysOnline(topic, kept.payload)) return;
  const payload = encodeMessage({ online: false, t: core.now() });
  await tell(core, `device:${device}`, { topic, payload, qos: 1, retain: true });
}

function saysOnline(topic: string, payload: Buffer): boolean {
  try {
    return decodeMessage(presenceSchema, topic, payload).online;
  } catch {
    return false;
  }
}

/** After a start, no client is connected: clients that were connected when the platform was killed count as unexpectedly disconnected. */
export async function settleAll(core: Core): Promise<void> {
  const { state, router } = core;
  for (const session of [...state.sessions.values()]) if (session.expiryMs === 0) router.end(session);
  for (const [key, will] of [...state.wills]) {
    const session = state.sessions.get(key);
    if (session && will.dueAt !== null) continue;
    if (session && will.delaySeconds > 0) await beginWill(core, session, false);
    else {
      will.dueAt = core.now();
      await endWill(core, key, 'told');
    }
  }
  for (const { topic } of [...state.retained.matching('aiot/v1/+/presence')]) {
    const device = parseTopic(topic)?.device;
    if (device) await settlePresence(core, device);
  }
}
