import { type Envelope, envelopeSchema } from '../formats/manifest/envelope.js';
import { nextVersionSchema } from './api.js';
import {
  type ConfigSummary,
  type ConfigVersion,
  configListSchemas,
  configVersionSchema,
} from './config-api.js';
import { everyPage } from './page.js';
import type { Transport } from './transport.js';

export function configCalls(transport: Transport) {
  const path = (name: string, version?: number) =>
    `/configs/${encodeURIComponent(name)}${version === undefined ? '' : `/versions/${version}`}`;
  return {
    /** What the operator is to put into the next manifest of this configuration. */
    next: (name: string): Promise<{ version: number; sequence: number }> =>
      transport.json('GET', `${path(name)}/next`, nextVersionSchema),
    /** The document's blob must be there. @throws AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_CONFIG_MALFORMED */
    push: (name: string, envelope: Envelope): Promise<ConfigVersion> =>
      transport.json('POST', `${path(name)}/versions`, configVersionSchema, { envelope }),
    list: async (): Promise<ConfigSummary[]> =>
      everyPage(async (query) => {
        const page = await transport.json('GET', `/configs?${query}`, configListSchemas.configs);
        return { entries: page.configs, next: page.next };
      }),
    /** Newest first. @throws AIOT_NOT_FOUND */
    versions: async (name: string): Promise<ConfigVersion[]> =>
      everyPage(async (query) => {
        const page = await transport.json('GET', `${path(name)}?${query}`, configListSchemas.versions);
        return { entries: page.versions, next: page.next };
      }),
    get: (name: string, version: number): Promise<ConfigVersion> =>
      transport.json('GET', path(name, version), configVersionSchema),
    /** The newest, or the one of a sequence, which a rollout began with. */
    manifest: (name: string, version: number, sequence?: number): Promise<Envelope> =>
      transport.json(
        'GET',
        `${path(name, version)}/manifest${sequence === undefined ? '' : `?sequence=${sequence}`}`,
        envelopeSchema,
      ),
    /** Its manifest signed anew, with the next sequence. @throws AIOT_VERSION_CONFLICT */
    sign: (name: string, version: number, envelope: Envelope): Promise<ConfigVersion> =>
      transport.json('POST', `${path(name, version)}/manifest`, configVersionSchema, { envelope }),
  };
}
