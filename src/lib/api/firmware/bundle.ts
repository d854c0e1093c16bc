/** Formats for third-party update clients: SWUpdate, RAUC, and the bootloader MCUboot, as used by Zephyr. */
export const bundleKinds = ['swu', 'raucb', 'mcuboot'] as const;
export type BundleKind = (typeof bundleKinds)[number];

/** First bytes of each format. The update client on the device validates the rest, including the bundle's own signature. */
const magics: readonly [string, BundleKind][] = [
  ['070701', 'swu'],
  ['070702', 'swu'],
  ['hsqs', 'raucb'],
  ['\x3d\xb8\xf3\x96', 'mcuboot'],
];

/** Default device types, by format. */
export const bundleTypes: Record<BundleKind, string> = { swu: 'swupdate', raucb: 'rauc', mcuboot: 'zephyr' };

/** A file's format: a cpio archive (newc), a squashfs, or an image with MCUboot's header. null = none of these. */
export function bundleKind(bytes: Uint8Array): BundleKind | null {
  const head = Buffer.from(bytes.subarray(0, 6)).toString('latin1');
  return magics.find(([magic]) => head.startsWith(magic))?.[1] ?? null;
}
