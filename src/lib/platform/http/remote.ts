import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import type { WebSocket, WebSocketServer } from 'ws';
import { remoteMessageBytes, remoteRequestSchema } from '../../api/remote.js';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { peerOf } from '../broker/identity.js';
import { forwardedHeader } from '../devices/remote-peers.js';
import { tokenOf } from './auth.js';
import type { UpgradeHeads } from './live.js';
import type { ApiParts } from './parts.js';

/** Routes without a body that the API's description leaves out, because they are WebSockets. */
const hidden = { hide: true } as object;

/**
 * The WebSockets of remote access. /remote/agent: a device's agent, by its certificate. /remote/agent/{session}: the agent accepts a
 * session. /api/v1/devices/{name}/remote: a user opens a session; errors are ordinary responses, before the connection becomes a
 * WebSocket.
 */
export function remoteRoutes(
  { remote, peers, devices }: Pick<ApiParts, 'remote' | 'peers' | 'devices'>,
  heads: UpgradeHeads,
): FastifyPluginAsync {
  return async (app) => {
    const sockets = await webSockets();
    /** Null if the client has left, or if its handshake was invalid; its connection is then closed. */
    const upgrade = (request: FastifyRequest, reply: FastifyReply, head: Buffer): WebSocket | null => {
      let upgraded: WebSocket | null = null;
      reply.hijack();
      sockets.handleUpgrade(request.raw, request.raw.socket, head, (socket) => {
        upgraded = socket;
      });
      return upgraded;
    };
    app.addHook('preClose', () => remote.close());
    const asDevice = {
      config: { access: 'devices', reach: 'shared', endless: true } as const,
      schema: hidden,
    };
    app.get('/remote/agent', asDevice, async (request, reply) => {
      const head = headOf(request, reply, heads);
      const agent = deviceOf(request);
      const socket = upgrade(request, reply, head);
      if (socket) remote.connect(agent, socket);
    });
    /** Passes the request on to the replica with the device's agent. @returns false if this replica must answer it */
    const passOn = async (
      request: FastifyRequest,
      reply: FastifyReply,
      head: Buffer,
      { device, path, headers }: { device: string; path: string; headers: () => Record<string, string> },
    ): Promise<boolean> => {
      if (remote.hasAgent(device) || request.headers[forwardedHeader] !== undefined) return false;
      const url = await peers.holderOf(device);
      if (url === null) return false;
      const { signal, settle } = leaving(request);
      const connect = await peers.open(url, { path, handshake: request.headers, headers: headers(), signal });
      settle();
      reply.hijack();
      connect(request.raw.socket, head);
      return true;
    };
    app.get('/remote/agent/:session', asDevice, async (request, reply) => {
      const head = headOf(request, reply, heads);
      const { device, fingerprint } = deviceOf(request);
      const { session } = request.params as { session: string };
      const path = `/remote/replica/${encodeURIComponent(session)}`;
      const headers = () => peers.asDevice({ device, fingerprint, session });
      if (await passOn(request, reply, head, { device, path, headers })) return;
      if (!remote.isAwaited(device, session))
        throw new AiotError('AIOT_NOT_FOUND', `no session ${session.slice(0, 64)} waits for ${device}`);
      const socket = upgrade(request, reply, head);
      if (socket) remote.join(device, session, socket);
    });
    // Another replica has authenticated the device, and its ticket is the credential.
    const asReplica = {
      config: { access: 'everybody', reach: 'shared', endless: true } as const,
      schema: hidden,
    };
    app.get('/remote/replica/:session', asReplica, async (request, reply) => {
      const head = headOf(request, reply, heads);
      const { device, fingerprint, session } = peers.ticketIn(request.headers);
      const { session: asked } = request.params as { session: string };
      // The certificate may have been replaced or revoked since the other replica checked it.
      if (devices.authenticated(fingerprint)?.name !== device)
        throw new AiotError('AIOT_NOT_ALLOWED', `the certificate of ${device} is no longer valid`);
      if (asked !== session || !remote.isAwaited(device, session))
        throw new AiotError('AIOT_NOT_FOUND', `no session ${asked.slice(0, 64)} waits for ${device}`);
      const socket = upgrade(request, reply, head);
      if (socket) remote.join(device, session, socket);
    });
    const asUser = {
      config: { access: 'operator', scope: 'remote:open', reach: 'named', endless: true } as const,
      schema: hidden,
    };
    app.get('/api/v1/devices/:name/remote', asUser, async (request, reply) => {
      const head = headOf(request, reply, heads);
      // Browsers send cookies from other pages too, and no page needs this connection.
      if (request.user === null || tokenOf(request) === '')
        throw new AiotError('AIOT_NOT_ALLOWED', 'remote access requires a token');
      const parsed = remoteRequestSchema.safeParse(request.query);
      if (!parsed.success)
        throw new AiotError('AIOT_REQUEST_INVALID', issueText(parsed.error, 'query', request.query));
      const { name } = request.params as { name: string };
      const headers = () => peers.asUser(request.headers);
      if (await passOn(request, reply, head, { device: name, path: request.url, headers })) return;
      const { signal, settle } = leaving(request);
      const accepted = await remote.ask(name, parsed.data, request.user, signal);
      settle();
      const socket = upgrade(request, reply, head);
      if (socket) accepted.connect(socket);
      else accepted.abandon();
    });
  };
}

/** A signal that is aborted when the client disconnects, until `settle` is called. */
function leaving({ raw }: FastifyRequest): { signal: AbortSignal; settle: () => void } {
  const left = new AbortController();
  const leave = () => left.abort();
  raw.socket.once('close', leave);
  return { signal: left.signal, settle: () => raw.socket.off('close', leave) };
}

async function webSockets(): Promise<WebSocketServer> {
  const { WebSocketServer } = await import('ws');
  // Compressed frames could be decompression bombs.
  return new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: remoteMessageBytes });
}

function headOf(
  { raw, headers, routeOptions }: FastifyRequest,
  reply: FastifyReply,
  heads: UpgradeHeads,
): Buffer {
  const head = heads.get(raw);
  if (head !== undefined && headers.upgrade?.toLowerCase() === 'websocket') return head;
  reply.header('upgrade', 'websocket');
  throw Object.assign(new Error(`${routeOptions.url} is a WebSocket`), { statusCode: 426 });
}

/** @throws AIOT_NOT_ALLOWED for users */
function deviceOf({ device, raw }: FastifyRequest): { device: string; fingerprint: string } {
  const peer = peerOf(raw.socket);
  if (device === null || peer === null || peer === 'refused')
    throw new AiotError('AIOT_NOT_ALLOWED', 'only the agent of a device can connect here');
  return { device, fingerprint: peer.fingerprint };
}
