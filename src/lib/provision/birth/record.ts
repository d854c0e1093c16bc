import { aiotVersion, keyIdOf, publicKeyOf, sha256Hex } from '../../core/index.js';
import { type Birth, type BirthChip, signBirth } from '../../formats/index.js';
import { chipIdOf, type ProvisionReply, type RegistryClient } from '../../registry/index.js';
import { describeCertificate } from '../authority.js';

export type BirthClient = { devices: { birth: Pick<RegistryClient['devices']['birth'], 'put'> } };

/** What was made for a device. */
export interface Made {
  name: string;
  /** Place in flash; null = a file of its own. */
  offset: number | null;
  data: Uint8Array | string;
}

export interface BirthInput {
  reply: ProvisionReply;
  made: readonly Made[];
  /** null = no board was there. */
  chip: BirthChip | null;
  /** The operator's signing key, PKCS#8 PEM: it signs here and goes nowhere. */
  privatePem: string;
  /** ms since 1970 */
  now: number;
}

/** Signs a device's birth certificate and stores it in the registry. @throws AIOT_SIGNATURE_INVALID (another key than the platform trusts) */
export async function recordBirth(client: BirthClient, input: BirthInput): Promise<Birth> {
  const { reply, made, chip, privatePem, now } = input;
  const { name, id, type, mac, chipId } = reply.device;
  const board = chip?.mac ?? mac;
  const birth: Birth = {
    spec: 'aiot-birth/1',
    device: { name, id, type },
    certificate: describeCertificate(reply.certificate),
    chip,
    mac: board,
    chipId: chipId ?? (board === null ? null : chipIdOf(board)),
    images: made.map(({ name: what, offset, data }) => ({
      ...{ name: what, offset, sha256: sha256Hex(data) },
      bytes: typeof data === 'string' ? Buffer.byteLength(data) : data.length,
    })),
    operator: keyIdOf(publicKeyOf(privatePem)),
    aiot: aiotVersion(),
    time: now,
  };
  await client.devices.birth.put(name, signBirth(birth, privatePem));
  return birth;
}
