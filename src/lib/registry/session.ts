import { type LoginLink, loginLinkSchema } from './session-api.js';
import type { Transport } from './transport.js';

export function sessionCalls(transport: Transport) {
  return {
    /** A link that logs one browser into the dashboard with what this token may. */
    link: (): Promise<LoginLink> => transport.json('POST', '/session/links', loginLinkSchema),
  };
}
