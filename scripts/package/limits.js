const mb = 1e6;

/**
 * What the packages may grow to, for each processor; x64 had 10,590 files of 304 MB, in at most 65 MB, when this was written. Who goes over it looks at
 * what came along first: such a package is also fetched by a Raspberry Pi over a phone.
 */
export const limits = { files: 12_000, bytes: 350 * mb, archive: 75 * mb, deb: 75 * mb };

/**
 * @param {Record<string, any>} made name, and what was measured
 * @param {boolean} fast compressed little: how large it came out says nothing
 * @throws where something is over its limit
 */
export function refuseGrowth(made, fast) {
  const names = fast ? ['files', 'bytes'] : Object.keys(limits);
  const over = names.filter((name) => made[name] > limits[name]);
  if (over.length === 0) return;
  throw new Error(
    over.map((name) => `${made.name}: ${name} ${made[name]}, at most ${limits[name]}`).join('\n'),
  );
}
