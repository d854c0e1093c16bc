import * as z from 'zod';
import {
  type Envelope,
  envelopeSchema,
  type TrustRoot,
  trustRootSchema,
} from '../formats/manifest/envelope.js';
import type { Transport } from './transport.js';

/** A public key: SPKI DER in base64, and its SHA-256. */
export const publicKeySchema = z.object({ keyid: z.string(), publicKey: z.base64() });
export type PublicKey = z.output<typeof publicKeySchema>;

/** GET and POST /trust/root. */
export const trustChainSchema = z.object({
  /** Of what is in force; null = the platform has no trust root yet. */
  version: z.int().nullable(),
  /** null = keys are not told apart yet. */
  root: envelopeSchema.nullable(),
  /** Keys with which the platform can sign timestamps, newest last. */
  timestampKeys: z.array(publicKeySchema),
});
export type TrustChain = z.output<typeof trustChainSchema>;

export function trustCalls(transport: Transport) {
  return {
    /** Null before the first `put`. */
    get: async (): Promise<TrustRoot | null> =>
      (await transport.json('GET', '/trust', z.object({ trust: trustRootSchema.nullable() }))).trust,
    /** @throws AIOT_TRUST_CONFLICT when another one of this or a higher version is there, or roots are */
    put: (trust: TrustRoot): Promise<TrustRoot> => transport.json('PUT', '/trust', trustRootSchema, trust),
    chain: (): Promise<TrustChain> => transport.json('GET', '/trust/root', trustChainSchema),
    /** @throws AIOT_TRUST_SIGNATURES, AIOT_TRUST_VERSION, AIOT_TRUST_ROOT_EXPIRED */
    putRoot: (root: Envelope): Promise<TrustChain> =>
      transport.json('POST', '/trust/root', trustChainSchema, root),
    /** @throws AIOT_NOT_FOUND */
    root: (version: number): Promise<Envelope> =>
      transport.json('GET', `/trust/root/${version}`, envelopeSchema),
    /** @throws AIOT_NOT_FOUND where no root names a key for it */
    timestamp: (): Promise<Envelope> => transport.json('GET', '/trust/timestamp', envelopeSchema),
    newTimestampKey: (): Promise<PublicKey> =>
      transport.json('POST', '/trust/timestamp/keys', publicKeySchema, {}),
  };
}
