import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { namePattern } from '../../core/names.js';
import { checkedPayload, type Envelope, malformedPayload, signPayload, type TrustRoot } from './envelope.js';

const name = z.string().regex(namePattern);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** A board's chip, as read from its ROM, eFuses and flash. */
export const birthChipSchema = z.strictObject({
  /** `esp32c3` */
  name: z.string(),
  /** The chip with its package and revision: `ESP32-D0WD-V3 (revision v3.1)`. */
  description: z.string(),
  features: z.array(z.string()),
  crystalMHz: z.number(),
  /** The factory base address, in lower case with colons. */
  mac: z.string(),
  /** `id`: JEDEC, 6 hex digits. */
  flash: z.strictObject({ id: z.string(), bytes: z.int().nullable() }),
  /** State of the chip's security fuses. */
  security: z.strictObject({
    secureBoot: z.boolean(),
    flashEncryption: z.boolean(),
    secureDownload: z.boolean(),
  }),
});
export type BirthChip = z.output<typeof birthChipSchema>;

/**
 * A device's birth certificate: the written data, the device, the operator, and the time. The operator signs the certificate like a
 * release, the registry stores it, and `aiot device verify` checks it. Times are milliseconds since 1970.
 */
export const birthSchema = z.strictObject({
  spec: z.literal('aiot-birth/1'),
  device: z.strictObject({ name, id: z.string(), type: name }),
  /** `fingerprint`: SHA-256 of the DER. */
  certificate: z.strictObject({ fingerprint: sha256, expires: z.int() }),
  /** null = provisioned into files, without a connected board. */
  chip: birthChipSchema.nullable(),
  /** MAC address that was read from the board or specified by the user. */
  mac: z.string().nullable(),
  /** The guide's decimal chip id. */
  chipId: z.string().nullable(),
  /** Files written to flash or disk. For a file on disk, `offset` is null. */
  images: z.array(
    z.strictObject({ name: z.string(), offset: z.int().min(0).nullable(), bytes: z.int().min(0), sha256 }),
  ),
  /** The signing operator's key id. */
  operator: sha256,
  /** Version of aiot that created the certificate. */
  aiot: z.string(),
  time: z.int(),
});
export type Birth = z.output<typeof birthSchema>;

/** Signs with the operator's private key (PKCS#8 PEM). */
export function signBirth(birth: Birth, privatePem: string): Envelope {
  return signPayload(birthSchema.parse(birth), privatePem);
}

/**
 * Checks the signatures first, then the schema. `keyids`: the signing keys.
 * @throws AIOT_SIGNATURE_INVALID, AIOT_MANIFEST_MALFORMED
 */
export function verifyBirth(value: unknown, trust: TrustRoot): { birth: Birth; keyids: string[] } {
  const { payload, keyids } = checkedPayload(value, trust, 'birth certificate');
  let parsed: unknown;
  try {
    parsed = JSON.parse(payload.toString('utf8'));
  } catch (error) {
    throw new AiotError('AIOT_MANIFEST_MALFORMED', 'the birth certificate is not valid JSON', {
      cause: error,
    });
  }
  const birth = birthSchema.safeParse(parsed);
  if (birth.success) return { birth: birth.data, keyids };
  throw malformedPayload(birth.error, 'birth certificate', parsed);
}
