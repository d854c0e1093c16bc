const units: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** `32KiB` or a number → bytes. The schema has checked the form. */
export function bytesOf(size: number | string): number {
  if (typeof size === 'number') return size;
  const [, digits = '0', unit = 'B'] = /^(\d+) ?(B|KiB|MiB|GiB)$/.exec(size) ?? [];
  return Number(digits) * (units[unit] ?? 1);
}
