import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AiotError } from '../../core/index.js';
import { certifiedDevice } from '../broker/identity.js';
import type { ApiParts } from '../http/parts.js';

/** The scope of a token that may speak for every device. */
const gatewayScope = 'ddi:gateway';

type Parts = Pick<ApiParts, 'connections' | 'ddi' | 'devices' | 'secrets' | 'tokens'>;

/**
 * Lets a device in by its secret (TargetToken), by a token that vouches for all of them (GatewayToken), or by its certificate; whoever it
 * is, it is answered for its own path alone. @throws AIOT_TOKEN_INVALID, AIOT_NOT_FOUND, AIOT_NOT_ALLOWED
 */
export function guardControllers(app: FastifyInstance, parts: Parts): void {
  app.addHook('onRequest', async (request) => {
    const { tenant = '', controller = '' } = request.params as { tenant?: string; controller?: string };
    if (tenant.toLowerCase() !== 'default' || !(await isLetIn(request, controller, parts))) {
      throw new AiotError('AIOT_TOKEN_INVALID', 'expected a token of this device, or its certificate');
    }
    parts.connections.known(request.raw.socket);
    request.device = controller;
    request.who = `device ${controller}`;
  });
}

async function isLetIn(request: FastifyRequest, controller: string, parts: Parts): Promise<boolean> {
  const { ddi, devices, secrets, tokens } = parts;
  const device = certifiedDevice(request.raw.socket, devices);
  // A certificate decides alone, as on every other listener: no token beside it speaks for another device.
  if (device !== null) return device !== 'refused' && device.name === controller;
  const { authorization = '' } = request.headers;
  const [, scheme, token = ''] =
    /^(TargetToken|GatewayToken) ([\x21-\x7e]{1,128})$/.exec(authorization) ?? [];
  if (scheme === 'TargetToken') return secrets.isRight(controller, token, request.ip, true);
  if (scheme !== 'GatewayToken') return false;
  // A token that may everything is not one to be put on a device, and so does not do here.
  if (!(await tokens.identify(token))?.scopes?.includes(gatewayScope)) return false;
  await ddi.admit(controller);
  return true;
}
