import type { WebSocket } from 'ws';
import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { onAbort } from '../core/tasks.js';
import { errorOfAnswer, errorOfTransport } from './errors.js';
import { time } from './fields.js';
import type { ClientOptions } from './transport.js';

/** Shortest, default and longest duration of a remote session, ms. */
export const remoteTimeMs = { min: 1000, usual: 900_000, max: 8 * 3_600_000 };
/** Time in which a device must accept a session, ms. A program on the device may ask a person. */
export const remoteConsentMs = 60_000;
/** Largest message of a session, bytes. */
export const remoteMessageBytes = 64 * 1024;
/** Largest file that can be copied, bytes. */
export const mostCopyBytes = 1024 ** 3;

/**
 * Codes of the close frame of a remote session or an agent (RFC 6455, section 7.4.2: 4000 to 4999 are private). `lost`: the other side's
 * connection was lost, so that a new session may succeed.
 */
export const remoteCloseCodes = { ended: 4000, lost: 4001, expired: 4408, replaced: 4409 } as const;

const size = z.coerce.number().int().min(1).max(1000);
const forMs = z.coerce.number().int().min(remoteTimeMs.min).max(remoteTimeMs.max).default(remoteTimeMs.usual);
const path = z
  .string()
  .min(1)
  .max(1024)
  .refine((text) => text.startsWith('/') && !text.includes('\0'), 'expected an absolute path');

/** Query of GET /api/v1/devices/{name}/remote, a WebSocket. A session's purpose is fixed when it is opened. */
export const remoteRequestSchema = z.discriminatedUnion('kind', [
  /** `tty`: a terminal of this size; without it, the shell reads commands from a pipe. */
  z.strictObject({
    kind: z.literal('shell'),
    forMs,
    tty: z.enum(['yes', 'no']),
    rows: size.default(24),
    columns: size.default(80),
    term: z
      .string()
      .regex(/^[a-z0-9._+-]{1,40}$/i)
      .default('xterm'),
  }),
  z.strictObject({
    kind: z.literal('forward'),
    forMs,
    host: z
      .string()
      .regex(/^[a-z0-9.:-]{1,253}$/i, 'expected a host name or an address')
      .default('127.0.0.1'),
    port: z.coerce.number().int().min(1).max(65_535),
  }),
  z.strictObject({ kind: z.literal('copy'), forMs, direction: z.enum(['from', 'to']), path }),
]);
export type RemoteRequest = z.output<typeof remoteRequestSchema>;
export type RemoteQuery = z.input<typeof remoteRequestSchema>;

/** A short description of a session's purpose for the audit log, such as `127.0.0.1:80` or `from /var/log/syslog`. */
export function remoteTarget(request: RemoteRequest): string {
  if (request.kind === 'shell') return request.tty === 'yes' ? 'terminal' : 'commands';
  if (request.kind === 'copy') return `${request.direction} ${request.path}`;
  return `${request.host}:${request.port}`;
}

/** The platform's request to an agent, as a text message on the agent's connection. */
export const remoteOpenSchema = z.object({
  open: z.string(),
  who: z.string(),
  until: z.number(),
  request: remoteRequestSchema,
});
export type RemoteOpen = z.output<typeof remoteOpenSchema>;

/** The agent's refusal. To accept a session, the agent connects to /remote/agent/{session}. */
export const remoteRefusalSchema = z.strictObject({ refuse: z.string(), reason: z.string().max(300) });

/** The first message of a session to its user. */
export const remoteOpenedSchema = z.object({
  session: z.string(),
  until: time,
  /** Whether the platform records the session's contents. */
  recorded: z.boolean().default(false),
});
export type RemoteOpened = z.output<typeof remoteOpenedSchema>;

/** Time until a connection must be open, not counting the device's consent, ms. */
const connectMs = 15_000;

/**
 * Opens a WebSocket at the platform. It is paused, so that no message is lost before the caller listens.
 * @throws AIOT_PLATFORM_UNREACHABLE, AIOT_PLATFORM_UNTRUSTED, and the error with which the platform rejected the request
 */
export async function openSocket(
  { url, ca, token, cert, key }: ClientOptions,
  target: string,
  signal?: AbortSignal,
): Promise<WebSocket> {
  const { WebSocket } = await import('ws');
  const address = new URL(target, url);
  address.protocol = 'wss:';
  const socket = new WebSocket(address, {
    ...(ca === undefined ? {} : { ca }),
    ...(cert !== undefined && key !== undefined ? { cert, key } : {}),
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    handshakeTimeout: connectMs + remoteConsentMs,
    ...{ perMessageDeflate: false, maxPayload: remoteMessageBytes },
  });
  const leave = onAbort(signal, () => socket.terminate());
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('open', () => {
        socket.pause();
        resolve();
      });
      socket.once('error', (error) => reject(errorOfTransport(error, url)));
      socket.once('unexpected-response', (_request, response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.length < 100 && chunks.push(chunk));
        response.once('error', (error) => reject(errorOfTransport(error, url)));
        response.once('end', () =>
          reject(errorOfAnswer(response.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'), url)),
        );
      });
    });
    socket.on('error', () => socket.terminate());
    return socket;
  } catch (error) {
    socket.on('error', () => {});
    socket.terminate();
    signal?.throwIfAborted();
    throw error;
  } finally {
    leave();
  }
}

/** Opens a remote session on a device. @throws AIOT_DEVICE_OFFLINE, AIOT_REMOTE_REFUSED, AIOT_NOT_ALLOWED, AIOT_RATE_LIMITED, as openSocket */
export function openRemote(
  options: ClientOptions,
  device: string,
  query: RemoteQuery,
  signal?: AbortSignal,
): Promise<WebSocket> {
  const words = Object.entries(query).map(([key, value]): [string, string] => [key, String(value)]);
  return openSocket(
    options,
    `/api/v1/devices/${encodeURIComponent(device)}/remote?${new URLSearchParams(words)}`,
    signal,
  );
}

/** The error for a session that ended before its work was complete. */
export function remoteEnded(reason: string): AiotError {
  return new AiotError('AIOT_REMOTE_ENDED', `the session ended: ${reason}`);
}
