import { AiotError } from '../../core/index.js';
import { blankOtadata } from '../../formats/index.js';
import type { Loader } from '../loader/types.js';
import { looksLike } from '../plan/looks.js';
import { type AppSlots, slotNamed, startSlot, writeOtadata } from './app-slots.js';

/** Of an image: enough to tell a program from anything else. */
const headBytes = 512;

/**
 * Makes the bootloader start an app that is on the board already. The factory app is started when otadata is blank.
 * @throws AIOT_USAGE (no such slot), AIOT_FLASH_REFUSED (it holds no program for this chip), unless `force`
 */
export async function startHeld(
  loader: Loader,
  slots: AppSlots,
  { wanted, force }: { wanted: string; force: boolean },
): Promise<{ label: string; otadata: Uint8Array }> {
  const { factory, running, bytes } = slots;
  const index = factory?.label === wanted ? null : slotNamed(slots, wanted);
  const slot = index === null ? factory! : slots.slots[index]!;
  const { chip, security } = loader.chip;
  if (!security.flashEncryption && !force) {
    const looks = looksLike(await loader.read(slot.offset, headBytes));
    if (looks?.chip !== chip) {
      throw new AiotError('AIOT_FLASH_REFUSED', `${slot.label} holds no program for this chip`, {
        next: `Write one into it: aiot flash --slot ${slot.label} --firmware app.bin`,
      });
    }
  }
  const { label } = slot;
  if (slot === running) return { label, otadata: bytes };
  if (index !== null) return { label, otadata: await startSlot(loader, slots, index) };
  const otadata = blankOtadata();
  await writeOtadata(loader, slots.otadata, bytes, otadata);
  return { label, otadata };
}
