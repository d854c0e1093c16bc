import * as z from 'zod';
import type { RegistryClient } from '../api/client.js';
import { chipIdOf, type DeviceInfo, type ProvisionReply } from '../api/fields.js';
import { keyIdOf, publicKeyOf, sha256Hex } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { aiotVersion } from '../core/folders.js';
import {
  type Birth,
  type BirthChip,
  birthSchema,
  signBirth,
  verifyBirth,
} from '../formats/manifest/birth.js';
import type { TrustRoot } from '../formats/manifest/envelope.js';
import { describeCertificate } from './authority.js';

export type BirthClient = { devices: { birth: Pick<RegistryClient['devices']['birth'], 'put'> } };

/** A file or image that was made for a device. */
export interface Made {
  name: string;
  /** Offset in flash; null = a separate file. */
  offset: number | null;
  data: Uint8Array | string;
}

interface BirthInput {
  reply: ProvisionReply;
  made: readonly Made[];
  /** Chip of the board; null = no board was connected. */
  chip: BirthChip | null;
  /** The operator's signing key, PKCS#8 PEM. It is used only on this machine and never sent. */
  privatePem: string;
  /** ms since 1970 */
  now: number;
}

/** Signs a device's birth certificate and stores it in the registry. @throws AIOT_SIGNATURE_INVALID (the platform does not trust the key) */
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

type VerifyClient = {
  devices: Pick<RegistryClient['devices'], 'get' | 'birth'>;
  trust: Pick<RegistryClient['trust'], 'get'>;
};

export const checkSchema = z.object({
  /** Name of the check: `signature`, `device`, `state`, `certificate`, `mac`, `chip`, `image partitions`, … */
  check: z.string(),
  passed: z.boolean(),
  expected: z.string(),
  got: z.string(),
});

export type Check = z.output<typeof checkSchema>;

export const verifiedDeviceSchema = z.object({
  name: z.string(),
  id: z.string(),
  /** Whether every check passed. */
  verified: z.boolean(),
  checks: z.array(checkSchema),
  birth: birthSchema,
  /** Ids of the keys that signed the birth certificate. */
  keys: z.array(z.string()),
  /** Time at which the registry stored the birth certificate, ms since 1970. */
  stored: z.int(),
});

export type VerifiedDevice = z.output<typeof verifiedDeviceSchema>;

/** Contents read from a board or from its files. */
export interface Found {
  chip?: { name: string; mac: string };
  /** Images, by their name in the birth certificate. */
  images: ReadonlyMap<string, Uint8Array>;
}

/** Fetches the birth certificate and checks its signatures. @throws AIOT_NOT_FOUND, AIOT_BIRTH_MISSING, AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID */
async function fetchBirth(client: VerifyClient, name: string, trust: TrustRoot | null) {
  const { envelope, stored } = await client.devices.birth.get(name);
  const root = trust ?? (await client.trust.get());
  if (!root)
    throw new AiotError('AIOT_TRUST_MISSING', 'no trusted signer is known for birth certificates', {
      next: 'Specify the trust root with --trust FILE.',
    });
  return { ...verifyBirth(envelope, root), stored };
}

/**
 * Compares a device with its birth certificate: its registry entry and, if given, the board or its files. Mismatches are
 * reported, not thrown.
 * @throws the errors of `fetchBirth`
 */
export async function verifyDevice(
  client: VerifyClient,
  name: string,
  { trust, found }: { trust: TrustRoot | null; found?: (birth: Birth) => Promise<Found> },
): Promise<VerifiedDevice> {
  const device = await client.devices.get(name);
  const { birth, keyids, stored } = await fetchBirth(client, name, trust);
  const checks: Check[] = [
    { check: 'signature', passed: true, expected: birth.operator, got: keyids.join(', ') },
    equal('device', `${birth.device.name} ${birth.device.id}`, `${device.name} ${device.id}`),
    {
      check: 'state',
      passed: device.state !== 'revoked',
      expected: 'a device that is not revoked',
      got: device.state,
    },
    ...certificateChecks(birth.certificate.fingerprint, device),
    ...(birth.mac === null ? [] : [equal('mac', birth.mac, device.mac ?? birth.mac)]),
    ...(birth.mac === null || birth.chipId === null
      ? []
      : [equal('chip id', birth.chipId, chipIdOf(birth.mac))]),
    ...(found ? compare(birth, await found(birth)) : []),
  ];
  const verified = checks.every(({ passed }) => passed);
  return { name, id: device.id, verified, checks, birth, keys: keyids, stored };
}

/**
 * Checks the certificate whose fingerprint is in the birth certificate. A rotated device has two certificates until it uses the new one;
 * the result then contains both.
 */
function certificateChecks(told: string, { fingerprint, next }: DeviceInfo): Check[] {
  const waiting = next?.fingerprint === told;
  const all = [fingerprint, next?.fingerprint].filter(Boolean);
  const passed = all.includes(told);
  const got = waiting ? `${told} (created, not used yet)` : told;
  return [
    { check: 'certificate', passed, expected: told, got: passed ? got : all.join(', ') || 'none' },
    ...(waiting && fingerprint !== null ? [equal('in use until then', fingerprint, fingerprint)] : []),
  ];
}

function compare(birth: Birth, { chip, images }: Found): Check[] {
  const board = chip
    ? [
        birth.mac === null
          ? // If the device was provisioned without a board, any board may have its identity. Its images are compared below.
            { check: 'board', passed: true, expected: 'any (none was connected)', got: chip.mac }
          : equal('board', birth.mac, chip.mac),
        ...(birth.chip ? [equal('chip', birth.chip.name, chip.name)] : []),
      ]
    : [];
  const contents = birth.images.flatMap(({ name, sha256 }) => {
    const there = images.get(name);
    return there ? [equal(`image ${name}`, sha256, sha256Hex(there))] : [];
  });
  return [...board, ...contents];
}

function equal(check: string, expected: string, got: string): Check {
  return { check, passed: expected === got, expected, got };
}
