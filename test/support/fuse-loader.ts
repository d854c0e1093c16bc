import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BoardLocked, burnAll } from '../../src/lib/flash/lock/lock.js';
import { lockParts } from '../../src/lib/flash/lock/plan.js';
import { FuseArray } from '../../src/lib/flash/rom/fuse-array.js';
import { securityFuses } from '../../src/lib/formats/efuse.js';
import { burnLayouts, fuseRegisters } from '../../src/lib/formats/efuse-burn.js';
import type { ChipName } from '../../src/lib/formats/esp-image/chips.js';

const mac = '24:0a:c4:00:01:10';

/** The fuse controller of a chip that is not simulated as a whole, and a loader that reaches only its registers. */
export function fuseChip(chip: ChipName) {
  const { controller } = burnLayouts[chip]!;
  const keys = mkdtempSync(join(tmpdir(), 'aiot-fuses-'));
  let burnsLeft = Number.POSITIVE_INFINITY;
  const array = new FuseArray(chip, controller, new Map(), undefined, () => burnsLeft-- === 0);
  /** Burns the fuses of all parts. @param cutAfter burns after which the power fails during the next one */
  async function lock(digest: Uint8Array, cutAfter = Number.POSITIVE_INFINITY): Promise<BoardLocked> {
    burnsLeft = cutAfter;
    array.reset();
    const flags = () => (securityFuses(chip, array.words).download === 'secure' ? 4 : 0);
    const loader = {
      chip: { chip, mac, revision: null, features: [] } as never,
      securityInfo: null,
      fuseWords: async () => array.words,
      registers: {
        read: async (address: number) => array.read(address),
        write: async (address: number, value: number) => {
          array.write(address, value);
          if (burnsLeft < 0) throw new Error('power failed');
        },
        security: async () => ({ flags: flags() }) as never,
      },
    };
    const plan = { mac } as BoardLocked;
    const request = { parts: lockParts, encryptionKeys: keys, loader: {} };
    return await burnAll(loader, request, { digests: [digest], plan });
  }
  /** The controller's registers as a file of `espefuse --virt`, which has the bytes in reverse order. */
  function registerFile(): Uint8Array {
    const bytes = Buffer.alloc(fuseRegisters.end);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(array.read(controller + at), at);
    return bytes.reverse();
  }
  const remove = () => rmSync(keys, { recursive: true, force: true });
  return { array, lock, registerFile, remove, keyFile: join(keys, '240ac4000110.key') };
}
