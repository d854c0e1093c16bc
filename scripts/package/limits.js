const mb = 1e6;

/**
 * What the packages may grow to, for each processor; x64 had 9,081 files of 213 MB, in less than 64.4 MB, when this was written. Before raising a limit, look at
 * what grew: such a package is also fetched by a Raspberry Pi over a phone.
 */
export const limits = { files: 10_500, bytes: 240 * mb, archive: 65 * mb, deb: 65 * mb };

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
