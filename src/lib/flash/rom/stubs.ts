import type { StubKind } from './host.js';

/** Entry points of esptool's older stub, which espflash 4.4 still brings: ESP32, S3, C3. Measured. */
const legacyEntries = [0x400be658, 0x40378c94, 0x403806d2];

/** Which stub was uploaded. What is not known counts as the newer one. */
export function stubOfEntry(entry: number): StubKind {
  return legacyEntries.includes(entry) ? 'legacy' : 'v2';
}
