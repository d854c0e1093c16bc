import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import type { WebSocket, WebSocketServer } from 'ws';
import { remoteMessageBytes, remoteRequestSchema } from '../../api/remote.js';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { peerOf } from '../broker/identity.js';
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
export function remoteRoutes({ remote }: Pick<ApiParts, 'remote'>, heads: UpgradeHeads): FastifyPluginAsync {
  return async (app) => {
    const sockets = await webSockets();
    const upgrade = (request: FastifyRequest, reply: FastifyReply, head: Buffer) =>
      new Promise<WebSocket>((resolve) => {
        reply.hijack();
        sockets.handleUpgrade(request.raw, request.raw.socket, head, resolve);
      });
    app.addHook('preClose', () => remote.close());
    const asDevice = {
      config: { access: 'devices', reach: 'shared', endless: true } as const,
      schema: hidden,
    };
    app.get('/remote/agent', asDevice, async (request, reply) => {
      const head = headOf(request, reply, heads);
      const { device, fingerprint } = deviceOf(request);
      remote.connect(device, fingerprint, await upgrade(request, reply, head));
    });
    app.get('/remote/agent/:session', asDevice, async (request, reply) => {
      const head = headOf(request, reply, heads);
      const { device } = deviceOf(request);
      const { session } = request.params as { session: string };
      if (!remote.isAwaited(device, session))
        throw new AiotError('AIOT_NOT_FOUND', `no session ${session.slice(0, 64)} waits for ${device}`);
      remote.join(device, session, await upgrade(request, reply, head));
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
      const left = new AbortController();
      const leave = () => left.abort();
      request.raw.socket.once('close', leave);
      const accepted = await remote.ask(name, parsed.data, request.user, left.signal);
      request.raw.socket.off('close', leave);
      if (left.signal.aborted) {
        accepted.abandon();
        reply.hijack();
        return;
      }
      accepted.connect(await upgrade(request, reply, head));
    });
  };
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
