import { type Envelope, envelopeSchema } from '../formats/manifest/envelope.js';
import { nextVersionSchema } from './api.js';
import {
  type FirmwareSummary,
  type FirmwareVersion,
  firmwareListSchemas,
  firmwareVersionSchema,
} from './firmware-api.js';
import { everyPage } from './page.js';
import type { Transport } from './transport.js';

export function firmwareCalls(transport: Transport) {
  const path = (name: string, version?: number) =>
    `/firmware/${encodeURIComponent(name)}${version === undefined ? '' : `/versions/${version}`}`;
  return {
    /** What the operator is to put into the next manifest of this firmware. */
    next: (name: string): Promise<{ version: number; sequence: number }> =>
      transport.json('GET', `${path(name)}/next`, nextVersionSchema),
    /** The image's blob must be there. @throws AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_NOT_FOUND (blob) */
    push: (name: string, envelope: Envelope): Promise<FirmwareVersion> =>
      transport.json('POST', `${path(name)}/versions`, firmwareVersionSchema, { envelope }),
    list: async (): Promise<FirmwareSummary[]> =>
      everyPage(async (query) => {
        const page = await transport.json('GET', `/firmware?${query}`, firmwareListSchemas.firmware);
        return { entries: page.firmware, next: page.next };
      }),
    /** Newest first. @throws AIOT_NOT_FOUND */
    versions: async (name: string): Promise<FirmwareVersion[]> =>
      everyPage(async (query) => {
        const page = await transport.json('GET', `${path(name)}?${query}`, firmwareListSchemas.versions);
        return { entries: page.versions, next: page.next };
      }),
    get: (name: string, version: number): Promise<FirmwareVersion> =>
      transport.json('GET', path(name, version), firmwareVersionSchema),
    /** The newest, or the one of a sequence, which a rollout began with. */
    manifest: (name: string, version: number, sequence?: number): Promise<Envelope> =>
      transport.json(
        'GET',
        `${path(name, version)}/manifest${sequence === undefined ? '' : `?sequence=${sequence}`}`,
        envelopeSchema,
      ),
    /** Its manifest signed anew, with the next sequence. @throws AIOT_VERSION_CONFLICT */
    sign: (name: string, version: number, envelope: Envelope): Promise<FirmwareVersion> =>
      transport.json('POST', `${path(name, version)}/manifest`, firmwareVersionSchema, { envelope }),
  };
}
