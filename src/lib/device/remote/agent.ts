import { setTimeout as delay } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import * as z from 'zod';
import { openSocket, remoteCloseCodes, remoteOpenSchema, remoteTarget } from '../../api/remote.js';
import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { backOffMs, withJitter } from '../../core/time.js';
import { type DeviceIdentity, readIdentity } from '../identity/identity.js';
import { type RemotePolicy, refusalOf, remotePolicy } from './policy.js';
import { serveSession } from './serve.js';

/** An agent's reports on its connection and on each session. */
export const agentEventSchema = z.object({
  /** ms since 1970 */
  t: z.number(),
  event: z.enum(['connected', 'disconnected', 'accepted', 'refused', 'ended']),
  device: z.string(),
  session: z.string().optional(),
  who: z.string().optional(),
  kind: z.enum(['shell', 'forward', 'copy']).optional(),
  target: z.string().optional(),
  reason: z.string().optional(),
});
export type AgentEvent = z.output<typeof agentEventSchema>;

export interface AgentOptions {
  identityDir: string;
  /** As in `remotePolicy`. */
  allow: readonly string[];
  consent?: string | undefined;
  /** For tests: the program of a shell. */
  shell?: readonly string[] | undefined;
  onEvent(event: AgentEvent): void;
  signal: AbortSignal;
}

const firstPauseMs = 500;
const longestPauseMs = 60_000;
/** A connection without the platform's ping for this long is considered lost, ms. */
const silenceMs = 45_000;

/**
 * Keeps a connection to the platform, and accepts the sessions that the policy allows. Reconnects until the signal is aborted. The
 * sessions of a lost connection end.
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_REMOTE_ENDED (another agent of this device connected)
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { allow, consent, signal, onEvent } = options;
  const policy = remotePolicy(allow, consent);
  const identity = await readIdentity(options.identityDir);
  const { name: device } = identity;
  let failures = 0;
  while (!signal.aborted) {
    let reason: string;
    try {
      const socket = await openSocket(accessOf(identity), '/remote/agent', signal);
      failures = 0;
      onEvent({ t: Date.now(), event: 'connected', device });
      const { code, reason: told } = await serveAgent(socket, identity, policy, options);
      if (code === remoteCloseCodes.replaced) throw replaced(device);
      reason = told === '' ? `code ${code}` : told;
    } catch (error) {
      if (signal.aborted) break;
      if (!(error instanceof AiotError) || error.code === 'AIOT_REMOTE_ENDED') throw error;
      reason = error.message;
    }
    failures++;
    if (signal.aborted) break;
    onEvent({ t: Date.now(), event: 'disconnected', device, reason });
    const pauseMs = withJitter(backOffMs(failures, firstPauseMs, longestPauseMs));
    await delay(pauseMs, undefined, { signal }).catch(() => {});
  }
}

/** A line for people. */
export function describeAgentEvent({ event, device, kind, target, who, reason }: AgentEvent): string {
  if (event === 'connected') return `${device} is connected`;
  if (event === 'disconnected') return `disconnected: ${reason}`;
  const what = `${kind} ${target} by ${who}`;
  return reason === undefined ? `${event}: ${what}` : `${event}: ${what}: ${reason}`;
}

const accessOf = ({ urls, ca, certificate, key }: DeviceIdentity) => ({
  url: urls.http,
  ca,
  cert: certificate,
  key,
});

function replaced(device: string): AiotError {
  return new AiotError('AIOT_REMOTE_ENDED', `another agent of ${device} connected to the platform`, {
    next: 'Run one agent for each device identity.',
  });
}

/** Handles requests for sessions until the connection closes; then all sessions end. */
async function serveAgent(
  socket: WebSocket,
  identity: DeviceIdentity,
  policy: RemotePolicy,
  { onEvent, signal, shell }: AgentOptions,
): Promise<{ code: number; reason: string }> {
  const over = new AbortController();
  const running = new Set<Promise<void>>();
  const handle = async (data: Buffer) => {
    const asked = remoteOpenSchema.parse(JSON.parse(data.toString('utf8')));
    const { open: session, who, request } = asked;
    const about = {
      ...{ device: identity.name, session, who, kind: request.kind, target: remoteTarget(request) },
    };
    const tell = (event: AgentEvent['event'], reason?: string) =>
      onEvent({ t: Date.now(), event, ...about, ...(reason === undefined ? {} : { reason }) });
    const refusal = await refusalOf(policy, asked);
    if (refusal !== null) {
      tell('refused', refusal);
      socket.send(JSON.stringify({ refuse: session, reason: refusal.slice(0, 300) }));
      return;
    }
    const path = `/remote/agent/${encodeURIComponent(session)}`;
    const own = await openSocket(accessOf(identity), path, over.signal);
    const leave = onAbort(over.signal, () => own.terminate());
    tell('accepted');
    try {
      const { code, reason } = await serveSession(own, { request, policy, shell });
      tell('ended', reason === '' ? `code ${code}` : reason);
    } finally {
      leave();
    }
  };
  let timer = setTimeout(() => socket.terminate(), silenceMs);
  socket.on('ping', () => {
    clearTimeout(timer);
    timer = setTimeout(() => socket.terminate(), silenceMs);
  });
  socket.on('message', (data) => {
    // A session that could not begin is reported to its user by the platform.
    const session = handle(data as Buffer).catch((error: unknown) => {
      if (!over.signal.aborted)
        onEvent({
          ...{ t: Date.now(), event: 'ended', device: identity.name },
          reason: error instanceof Error ? error.message : String(error),
        });
    });
    running.add(session);
    void session.finally(() => running.delete(session));
  });
  const leave = onAbort(signal, () => {
    over.abort();
    socket.close(1000, 'the agent is stopping');
    setTimeout(() => socket.terminate(), 1000).unref();
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString('utf8') })),
  );
  socket.resume();
  const end = await closed;
  leave();
  clearTimeout(timer);
  over.abort();
  await Promise.all(running);
  return end;
}
