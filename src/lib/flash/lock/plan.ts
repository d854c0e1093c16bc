import { AiotError } from '../../core/errors.js';
import { securityFuses, setBits } from '../../formats/efuse.js';
import {
  type BurnLayout,
  blockLock,
  burnLayouts,
  type FuseName,
  firstKeyBlock,
} from '../../formats/efuse-burn.js';
import { type ChipName, espChips } from '../../formats/esp-image/chips.js';

/** Parts that can be locked. `jtag` also covers direct boot; `download` allows only writing over the cable. */
export const lockParts = ['secure-boot', 'flash-encryption', 'jtag', 'download'] as const;

/** All parts. `nvs-key` burns the HMAC key from which the chip derives the keys of its NVS; only boards with such an NVS need it. */
export const allLockParts = [...lockParts, 'nvs-key'] as const;

export type LockPart = (typeof allLockParts)[number];

/** The fuses of a chip at the time of reading. */
export interface FuseState {
  /** Block 0, 6 words. */
  words: readonly number[];
  /** Contents of the key blocks, 32 bytes each; zeros if software cannot read them. */
  keys: readonly Uint8Array[];
}

export interface LockRequest {
  parts: readonly LockPart[];
  /** Digests of one to three keys for secure boot, 32 bytes each. */
  digests: readonly Uint8Array[];
  /** Key for flash encryption, 32 bytes; null = not needed. */
  secret: Uint8Array | null;
  /** HMAC key for the NVS, 32 bytes; null = not needed. */
  nvsKey?: Uint8Array | null;
}

/** One burn: bits of a fuse in block 0, or the contents of a key block. */
export type Burn = { fuse: FuseName; value: number } | { key: number; data: Uint8Array };

export interface LockStep {
  part: LockPart;
  /** Name of the fuse as in espefuse. */
  fuse: string;
  /** The burned value as text for people; a secret key is not shown. */
  value: string;
  reason: string;
  /** The irreversible consequence of the burn. */
  lost: string;
  done: boolean;
  burn: Burn;
}

/**
 * The steps that lock a chip, in an order in which an interrupted lock can always be completed. Keys are burned first, then their
 * protection. The fuses that make the chip require the keys follow, and access over the cable is disabled last. Source: ESP-IDF
 * Programming Guide, "Security Features Enablement Workflows".
 * @throws AIOT_LOCK_REFUSED if the fuses are in a state in which the chip could not start or could not be locked
 */
export function planLock(chip: ChipName, state: FuseState, request: LockRequest): LockStep[] {
  const layout = burnLayouts[chip];
  if (layout === undefined)
    throw new AiotError('AIOT_LOCK_REFUSED', `aiot cannot burn the fuses of an ${espChips[chip].title}`, {
      next: `It supports ${Object.keys(burnLayouts).join(', ')}. For other chips, use espefuse.`,
    });
  const plan = new Planner(chip, layout, state);
  const { parts, digests, secret, nvsKey = null } = request;
  const [boot, encrypted] = [parts.includes('secure-boot'), parts.includes('flash-encryption')];
  if (boot && !encrypted && securityFuses(chip, state.words).encryption.enabled)
    throw refused('the flash is encrypted: lock flash-encryption too, with the key of this board');
  if (parts.includes('nvs-key') && nvsKey !== null) plan.nvsKey(nvsKey);
  if (boot) for (const [index, digest] of digests.entries()) plan.bootKey(index, digest);
  if (encrypted && secret !== null) plan.encryptionKey(secret);
  if (boot || encrypted) plan.keepReadable();
  if (encrypted) plan.encryption();
  if (boot) plan.secureBoot(digests.length);
  if (parts.includes('jtag')) plan.jtag();
  if (parts.includes('download')) plan.download();
  plan.requireBurnable();
  return plan.steps;
}

const purposes = { encryption: 4, hmac: 8, boot: 9 } as const;

/** The key block of the HMAC key: CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID of the firmware. No key of flash encryption can be in it. */
export const nvsKeyBlock = 5;

class Planner {
  readonly steps: LockStep[] = [];
  private readonly taken = new Set<number>();

  constructor(
    private readonly chip: ChipName,
    private readonly layout: BurnLayout,
    private readonly state: FuseState,
  ) {}

  private get fuses() {
    return securityFuses(this.chip, this.state.words);
  }

  private value(fuse: FuseName): number {
    const place = this.layout.fields[fuse];
    if (place === undefined) return 0;
    const { word, bit, bits } = place;
    return ((this.state.words[word] ?? 0) >>> bit) & (bits === 32 ? 0xffff_ffff : 2 ** bits - 1);
  }

  /** Adds a step for bits of a fuse; chips without the fuse need none. */
  private set(part: LockPart, fuse: FuseName, value: number, told: { reason: string; lost: string }): void {
    if (this.layout.fields[fuse] === undefined) return;
    const done = (this.value(fuse) & value) >>> 0 === value >>> 0;
    this.steps.push({ part, fuse, value: String(value), ...told, done, burn: { fuse, value } });
  }

  private protect(part: LockPart, what: string, locks: readonly number[], lost: string): void {
    const value = locks.reduce((sum, lock) => sum + 2 ** lock, 0);
    const done = (this.value('WR_DIS') & value) >>> 0 === value;
    const reason = `${what} can no longer be changed`;
    const bits = `bits ${locks.join(', ')}`;
    this.steps.push({
      part,
      fuse: 'WR_DIS',
      value: bits,
      reason,
      lost,
      done,
      burn: { fuse: 'WR_DIS', value },
    });
  }

  /** The block for a key: the one that already contains the key (or part of it, after a power cut), otherwise an empty one. */
  private blockFor(data: Uint8Array, purpose: number, what: string): number {
    const { keys } = this.fuses;
    const free = keys.filter(({ block, readProtected, writeProtected }) => {
      if (this.taken.has(block) || readProtected || writeProtected) return false;
      if (purpose === purposes.encryption && block === this.layout.notForEncryption) return false;
      const burned = this.value(`KEY_PURPOSE_${block as 0}`);
      return (burned & ~purpose) === 0 && isSubset(this.state.keys[block]!, data);
    });
    const begun = free.find(({ block }) => setBitsOf(this.state.keys[block]!) > 0);
    const chosen = begun ?? free.find(({ block }) => this.value(`KEY_PURPOSE_${block as 0}`) === 0);
    if (chosen === undefined) throw refused(`no key block is free for ${what}`);
    return chosen.block;
  }

  private key(
    part: LockPart,
    block: number,
    { data, purpose, what, shown }: { data: Uint8Array; purpose: number; what: string; shown: string },
  ): void {
    this.taken.add(block);
    const done = Buffer.compare(this.state.keys[block]!, data) === 0 || this.fuses.keys[block]!.readProtected;
    this.steps.push({
      ...{ part, fuse: `BLOCK_KEY${block}`, value: shown, done, burn: { key: block, data } },
      ...{ reason: `stores ${what}`, lost: 'this key block is used up' },
    });
    const fuse = `KEY_PURPOSE_${block as 0}` as const;
    this.set(part, fuse, purpose, { reason: `marks the block as ${what}`, lost: 'the purpose of the block' });
    const locks = [this.layout.fields[fuse]!.lock!, blockLock(firstKeyBlock + block)];
    this.protect(part, what, locks, 'writing this block and its purpose');
  }

  bootKey(index: number, data: Uint8Array): void {
    const what = `the digest of secure boot key ${index}`;
    const { keys, revoked } = this.fuses;
    if (revoked[index]) throw refused(`secure boot key ${index} is revoked`);
    const present = keys.find(({ purpose }) => purpose === `secure-boot-${index}`);
    if (present !== undefined && Buffer.compare(this.state.keys[present.block]!, data) !== 0)
      throw refused(`${what} does not match: block ${present.block} contains the digest of another key`);
    const purpose = purposes.boot + index;
    const block = present?.block ?? this.blockFor(data, purpose, what);
    this.key('secure-boot', block, { data, purpose, what, shown: Buffer.from(data).toString('hex') });
  }

  encryptionKey(secret: Uint8Array): void {
    const what = 'the flash encryption key';
    const { keys } = this.fuses;
    // The hardware expects the bytes in reverse order.
    const data = Uint8Array.from(secret).reverse();
    const present = keys.find(({ purpose }) => purpose === 'xts-aes-128');
    const other = keys.find(({ purpose }) => purpose.startsWith('xts-aes-256'));
    if (other !== undefined) throw refused(`block ${other.block} contains a key for XTS-AES-256`);
    const readable = present !== undefined && !present.readProtected;
    if (readable && Buffer.compare(this.state.keys[present.block]!, data) !== 0)
      throw refused(`block ${present.block} contains another key for flash encryption`);
    if (present === undefined && this.fuses.encryption.enabled)
      throw refused('flash encryption is enabled, but no block contains its key');
    const block = present?.block ?? this.blockFor(data, purposes.encryption, what);
    const shown = 'secret, 32 bytes';
    this.key('flash-encryption', block, { data, purpose: purposes.encryption, what, shown });
    this.set('flash-encryption', 'RD_DIS', 2 ** block, {
      reason: 'neither software nor anyone with the board can read the key',
      lost: 'reading the key from the chip',
    });
  }

  nvsKey(data: Uint8Array): void {
    const what = 'the HMAC key for the NVS';
    const { purpose, readProtected } = this.fuses.keys[nvsKeyBlock]!;
    const stored = this.state.keys[nvsKeyBlock]!;
    const burned = this.value(`KEY_PURPOSE_${nvsKeyBlock}`);
    // After a power cut, the block may contain only some bits of the key and its purpose.
    const begun = !readProtected && (burned & ~purposes.hmac) === 0 && isSubset(stored, data);
    if (!begun && (!readProtected || purpose !== 'hmac-up'))
      throw refused(`block ${nvsKeyBlock} contains another key, but the firmware expects ${what} there`);
    this.key('nvs-key', nvsKeyBlock, {
      data,
      ...{ purpose: purposes.hmac, what, shown: 'secret, 32 bytes' },
    });
    this.set('nvs-key', 'RD_DIS', 2 ** nvsKeyBlock, {
      reason: 'only the HMAC unit can use the key',
      lost: 'reading the key from the chip',
    });
  }

  keepReadable(): void {
    const part = this.steps.some((step) => step.part === 'secure-boot') ? 'secure-boot' : 'flash-encryption';
    this.protect(part, 'the choice of readable blocks', [0], 'read protection of further key blocks');
  }

  encryption(): void {
    const part = 'flash-encryption';
    const keep = { lost: 'this access over the cable' };
    this.set(part, 'SPI_BOOT_CRYPT_CNT', 7, {
      reason: 'the chip always decrypts its flash',
      lost: "starting programs that are not encrypted with the chip's key",
    });
    const encrypts = 'the loader cannot use the key to encrypt other data';
    this.set(part, 'DIS_DOWNLOAD_MANUAL_ENCRYPT', 1, { reason: encrypts, ...keep });
    const caches = 'the loader cannot read the flash decrypted';
    this.set(part, 'DIS_DOWNLOAD_ICACHE', 1, { reason: caches, ...keep });
    this.set(part, 'DIS_DOWNLOAD_DCACHE', 1, { reason: caches, ...keep });
  }

  secureBoot(count: number): void {
    const part = 'secure-boot';
    if (this.fuses.secureBoot === 1) throw refused('the chip uses secure boot V1');
    for (const index of [0, 1, 2] as const) {
      if (index < count) continue;
      const present = this.fuses.keys.find(({ purpose }) => purpose === `secure-boot-${index}`);
      if (present !== undefined && !this.fuses.revoked[index])
        throw refused(
          `block ${present.block} contains another secure boot key (${index}), which was not passed`,
        );
      this.set(part, `SECURE_BOOT_KEY_REVOKE${index}`, 1, {
        reason: 'no further key can be added',
        lost: `secure boot key ${index}`,
      });
    }
    this.set(part, 'SECURE_BOOT_EN', 1, {
      reason: 'the chip starts only programs that are signed with the key',
      lost: 'starting programs without your signature; if you lose the private key, the program can never be updated',
    });
  }

  jtag(): void {
    const lost = 'debugging over JTAG';
    const pins = { reason: 'no debugger can be connected to the pins', lost };
    this.set('jtag', 'DIS_PAD_JTAG', 1, pins);
    this.set('jtag', 'HARD_DIS_JTAG', 1, pins);
    this.set('jtag', 'DIS_USB_JTAG', 1, { reason: 'no debugger can be connected over USB', lost });
    this.set('jtag', 'DIS_DIRECT_BOOT', 1, {
      reason: 'the chip does not start code without an image header',
      lost: 'direct boot',
    });
    this.set('jtag', 'DIS_LEGACY_SPI_BOOT', 1, {
      reason: 'the chip does not start from flash in the older mode',
      lost: 'legacy SPI boot',
    });
  }

  download(): void {
    this.set('download', 'ENABLE_SECURITY_DOWNLOAD', 1, {
      reason: 'the loader can only write the flash: it cannot read anything or run programs',
      lost: 'reading flash and fuses over the cable, and burning further fuses over it',
    });
  }

  /** @throws AIOT_LOCK_REFUSED if a missing fuse is write-protected */
  requireBurnable(): void {
    const locks = this.value('WR_DIS');
    for (const { burn, done, fuse } of this.steps) {
      const lock = 'key' in burn ? blockLock(firstKeyBlock + burn.key) : this.layout.fields[burn.fuse]?.lock;
      if (!done && lock != null && ((locks >>> lock) & 1) === 1)
        throw refused(`${fuse} is write-protected, but must still be burned`);
    }
  }
}

const setBitsOf = (bytes: Uint8Array) => bytes.reduce((sum, byte) => sum + setBits(byte), 0);

const isSubset = (bytes: Uint8Array, of: Uint8Array) =>
  bytes.every((byte, index) => (byte & ~(of[index] ?? 0)) === 0);

const refused = (why: string) => new AiotError('AIOT_LOCK_REFUSED', why);
