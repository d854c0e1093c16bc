import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { type JtagState, purposeName, type SecurityFuses, securityFuses, setBits } from '../formats/efuse.js';
import { type BoardRequest, withBoard } from './board.js';
import type { Loader, SecurityInfo } from './loader/types.js';
import { choosePort } from './port/list.js';

/** Intended uses for which a board's security is assessed: development or production. */
export const securityProfiles = ['development', 'production'] as const;

export type SecurityProfile = (typeof securityProfiles)[number];

const jtagStates = ['enabled', 'soft', 'disabled'] as const satisfies readonly JtagState[];

/** The security state of a chip. */
export const securityStateSchema = z.object({
  source: z
    .enum(['fuses', 'rom'])
    .describe("Source of the state: the fuses or, in secure download mode, the ROM's report."),
  secureBoot: z.object({
    version: z
      .union([z.literal(1), z.literal(2)])
      .nullable()
      .describe('Null = not enabled.'),
    aggressiveRevoke: z.boolean(),
    revoked: z
      .array(z.boolean())
      .describe('Whether each key is revoked; empty if the chip cannot revoke keys.'),
  }),
  flashEncryption: z.object({
    enabled: z.boolean(),
    count: z.number().int().describe('Number of set bits of its counter.'),
    permanent: z.boolean().nullable().describe('Whether it can never be turned off; null = unknown.'),
  }),
  jtag: z.object({
    pins: z.enum(jtagStates).describe('soft = disabled until an HMAC key enables it.'),
    usb: z.enum(['enabled', 'disabled']).nullable().describe('Null if unknown, or if the chip has none.'),
  }),
  download: z
    .enum(['open', 'secure', 'disabled'])
    .describe('Operations that the loader allows over the cable.'),
  manualEncryption: z
    .boolean()
    .nullable()
    .describe('Whether the loader can use the flash encryption key; null = unknown.'),
  directBoot: z
    .boolean()
    .nullable()
    .describe('Whether code without an image header can start; null if unknown or never.'),
  keys: z.array(
    z.object({
      block: z.number().int(),
      purpose: z.string(),
      readProtected: z.boolean().nullable(),
      writeProtected: z.boolean().nullable(),
    }),
  ),
  secureVersion: z.number().int().nullable().describe('Anti-rollback version; null = unknown.'),
});

export const boardSecuritySchema = z.object({
  port: z.string(),
  chip: z.string(),
  mac: z.string().describe('Empty in secure download mode, in which it cannot be read.'),
  ...securityStateSchema.shape,
  profile: z.enum(securityProfiles).nullable().describe('Profile that the board was checked against.'),
  checks: z.array(
    z.object({
      check: z.string(),
      ok: z.boolean().nullable().describe('Null = cannot be determined.'),
      found: z.string(),
      expected: z.string(),
    }),
  ),
  fits: z.array(z.enum(securityProfiles)).describe('Profiles whose checks all pass.'),
});

export type BoardSecurity = z.infer<typeof boardSecuritySchema>;

type State = z.infer<typeof securityStateSchema>;

export interface SecurityCheck {
  check: string;
  ok: boolean | null;
  found: string;
  expected: string;
}

/**
 * Reads a board's security fuses and assesses them against a profile. Nothing is written.
 * @throws AIOT_CHIP_* (AIOT_CHIP_LOCKED if the chip reveals nothing), AIOT_SERIAL_*
 */
export async function boardSecurity(
  request: BoardRequest & { profile?: SecurityProfile | undefined },
): Promise<BoardSecurity> {
  const port = await choosePort(request.port);
  const profile = request.profile ?? null;
  return await withBoard({ ...request, port }, async (loader) => {
    const { chip, mac } = loader.chip;
    const state = await stateOf(loader);
    return {
      ...{ port, chip, mac },
      ...state,
      profile,
      checks: profile === null ? [] : judge(state, profile),
      fits: securityProfiles.filter((name) => judge(state, name).every(({ ok }) => ok === true)),
    };
  });
}

async function stateOf(loader: Loader): Promise<State> {
  const state = await readSecurity(loader);
  if (state !== null) return state;
  throw new AiotError(
    'AIOT_CHIP_LOCKED',
    'the chip allows no access to its fuses and reports nothing about them',
    {
      next: 'Only the program that runs on this chip can read its fuses.',
    },
  );
}

/** The security state of a connected chip; null if the chip reveals nothing. @throws AIOT_CHIP_*, AIOT_SERIAL_* */
export async function readSecurity(
  loader: Pick<Loader, 'chip' | 'fuseWords' | 'securityInfo'>,
): Promise<State | null> {
  const words = await loader.fuseWords();
  if (words !== null) return fromFuses(securityFuses(loader.chip.chip, words));
  return loader.securityInfo === null ? null : fromRom(loader.securityInfo);
}

function fromFuses(fuses: SecurityFuses): State {
  const { secureBoot: version, aggressiveRevoke, revoked, encryption, keys } = fuses;
  const { download, manualEncryption, directBoot, secureVersion } = fuses;
  return {
    source: 'fuses',
    secureBoot: { version, aggressiveRevoke, revoked },
    flashEncryption: encryption,
    jtag: { pins: fuses.padJtag, usb: fuses.usbJtag },
    ...{ download, manualEncryption, directBoot, keys, secureVersion },
  };
}

/** The state as far as a ROM in secure download mode reports it. */
function fromRom({ flags, cryptCount, keyPurposes }: SecurityInfo): State {
  const flag = (bit: number) => ((flags >>> bit) & 1) === 1;
  const count = setBits(cryptCount);
  return {
    source: 'rom',
    secureBoot: {
      version: flag(0) ? 2 : null,
      aggressiveRevoke: flag(1),
      revoked: [flag(3), flag(4), flag(5)],
    },
    flashEncryption: { enabled: count % 2 === 1, count, permanent: count === 3 ? true : null },
    jtag: { pins: flag(7) ? 'disabled' : flag(6) ? 'soft' : 'enabled', usb: null },
    download: 'secure',
    manualEncryption: null,
    directBoot: null,
    // The ROM also reports a seventh purpose, which does not belong to a key block.
    keys: keyPurposes.slice(0, 6).map((purpose, block) => ({
      ...{ block, purpose: purposeName(purpose) },
      ...{ readProtected: null, writeProtected: null },
    })),
    secureVersion: null,
  };
}

/**
 * Assesses the fuses. Source of the requirements for a production board: ESP-IDF Programming Guide, "Security Features Enablement
 * Workflows".
 */
export function judge(state: State, profile: SecurityProfile): SecurityCheck[] {
  return profile === 'production' ? productionChecks(state) : developmentChecks(state);
}

function productionChecks(state: State): SecurityCheck[] {
  const { secureBoot, flashEncryption, jtag, download, manualEncryption, directBoot, keys } = state;
  const checks: SecurityCheck[] = [
    {
      check: 'secure boot',
      ok: secureBoot.version === 2,
      found: secureBoot.version === null ? 'off' : `version ${secureBoot.version}`,
      expected: 'version 2',
    },
    {
      check: 'flash encryption',
      ok: flashEncryption.enabled ? flashEncryption.permanent : false,
      found: encryptionText(state),
      expected: 'on, permanent',
    },
    { check: 'JTAG on pins', ok: jtag.pins !== 'enabled', found: jtag.pins, expected: 'disabled or soft' },
    {
      check: 'download mode',
      ok: download !== 'open',
      found: download,
      expected: 'secure or disabled',
    },
  ];
  if (jtag.usb !== null)
    checks.push({
      check: 'JTAG over USB',
      ok: jtag.usb === 'disabled',
      found: jtag.usb,
      expected: 'disabled',
    });
  if (manualEncryption !== null) {
    const found = manualEncryption ? 'possible' : 'disabled';
    checks.push({ check: 'encryption by the loader', ok: !manualEncryption, found, expected: 'disabled' });
  }
  if (directBoot !== null) {
    const found = directBoot ? 'possible' : 'disabled';
    checks.push({ check: 'direct boot', ok: !directBoot, found, expected: 'disabled' });
  }
  return [...checks, ...keyChecks(state, keys)];
}

const bootPurpose = /^secure-boot-([012])$/;

function keyChecks({ secureBoot }: State, keys: State['keys']): SecurityCheck[] {
  if (keys.length === 0) return [];
  const open = keys.filter(({ purpose, readProtected }) => secretPurpose(purpose) && readProtected === false);
  const present = new Set(keys.map(({ purpose }) => Number(bootPurpose.exec(purpose)?.[1] ?? Number.NaN)));
  const usable = [0, 1, 2].filter((key) => present.has(key) && secureBoot.revoked[key] === false);
  const free = [0, 1, 2].filter((key) => !present.has(key) && secureBoot.revoked[key] === false);
  const list = (numbers: readonly number[]) => numbers.join(', ') || 'none';
  const unknown = keys.some(({ readProtected }) => readProtected === null);
  return [
    {
      check: 'secret keys that software can read',
      ok: unknown ? null : open.length === 0,
      found: unknown ? 'unknown' : list(open.map(({ block }) => block)),
      expected: 'none',
    },
    {
      check: 'secure boot keys',
      ok: usable.length > 0,
      found: list(usable),
      expected: 'at least one, not revoked',
    },
    {
      check: 'empty secure boot keys not revoked',
      ok: free.length === 0,
      found: list(free),
      expected: 'none',
    },
  ];
}

const secretPurpose = (purpose: string) => /^(xts|hmac|ecdsa)-/.test(purpose);

function developmentChecks({ secureBoot, flashEncryption, jtag, download }: State): SecurityCheck[] {
  return [
    {
      check: 'secure boot',
      ok: secureBoot.version === null,
      found: secureBoot.version === null ? 'off' : `version ${secureBoot.version}`,
      expected: 'off',
    },
    {
      check: 'flash encryption',
      ok: !flashEncryption.enabled || flashEncryption.permanent === false,
      found: encryptionText({ flashEncryption }),
      expected: 'off, or not permanent',
    },
    { check: 'JTAG on pins', ok: jtag.pins === 'enabled', found: jtag.pins, expected: 'enabled' },
    { check: 'download mode', ok: download === 'open', found: download, expected: 'open' },
  ];
}

function encryptionText({ flashEncryption: { enabled, permanent } }: Pick<State, 'flashEncryption'>): string {
  if (!enabled) return 'off';
  return permanent === null ? 'on' : permanent ? 'on, permanent' : 'on, can be turned off';
}
