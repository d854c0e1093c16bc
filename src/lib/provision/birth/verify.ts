import { z } from 'zod';
import { AiotError, sha256Hex } from '../../core/index.js';
import { type Birth, birthSchema, type TrustRoot, verifyBirth } from '../../formats/index.js';
import { chipIdOf, type DeviceInfo, type RegistryClient } from '../../registry/index.js';

export type VerifyClient = {
  devices: Pick<RegistryClient['devices'], 'get' | 'birth'>;
  trust: Pick<RegistryClient['trust'], 'get'>;
};

export const checkSchema = z.object({
  /** `signature`, `device`, `state`, `certificate`, `mac`, `chip`, `image:partitions`, … */
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
  /** Key ids that signed it. */
  keys: z.array(z.string()),
  /** When the registry took it, ms since 1970. */
  stored: z.int(),
});
export type VerifiedDevice = z.output<typeof verifiedDeviceSchema>;

/** What is found on a board, or in its files. */
export interface Found {
  chip?: { name: string; mac: string };
  /** Contents by the name that the birth certificate has for them. */
  images: ReadonlyMap<string, Uint8Array>;
}

/** The birth certificate as the registry has it, its signatures checked. @throws AIOT_NOT_FOUND, AIOT_BIRTH_MISSING, AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID */
export async function fetchBirth(client: VerifyClient, name: string, trust: TrustRoot | null) {
  const { envelope, stored } = await client.devices.birth.get(name);
  const root = trust ?? (await client.trust.get());
  if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'nobody says whose signature counts');
  return { ...verifyBirth(envelope, root), stored };
}

/**
 * Compares a device with its birth certificate: what the registry has, and where given, the board or its files. What
 * does not fit is told, not thrown.
 * @throws as `fetchBirth`
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

/** A rotated device has two until it uses the new one: both are named, and which of them the birth certificate is for. */
function certificateChecks(told: string, { fingerprint, next }: DeviceInfo): Check[] {
  const waiting = next?.fingerprint === told;
  const all = [fingerprint, next?.fingerprint].filter(Boolean);
  const passed = all.includes(told);
  const got = waiting ? `${told} (made, and not used yet)` : told;
  return [
    { check: 'certificate', passed, expected: told, got: passed ? got : all.join(', ') || 'none' },
    ...(waiting && fingerprint !== null ? [equal('in use until then', fingerprint, fingerprint)] : []),
  ];
}

function compare(birth: Birth, { chip, images }: Found): Check[] {
  const board = chip
    ? [
        equal('board', birth.mac ?? 'not recorded', chip.mac),
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
