const mb = 1e6;

/**
 * Size limits of a package for one processor. When this was written, the x64 package had 9,081 files of 213 MB, compressed to less than
 * 64.4 MB. Before raising a limit, find out what grew: a Raspberry Pi may have to download the package over a mobile connection.
 */
export const limits = { files: 10_500, bytes: 240 * mb, archive: 65 * mb, deb: 65 * mb };

/**
 * @param {Record<string, any>} made name and measured sizes
 * @param {boolean} fast whether the packages are only lightly compressed, so that the archive sizes are meaningless
 * @throws if a limit is exceeded
 */
export function refuseGrowth(made, fast) {
  const names = fast ? ['files', 'bytes'] : Object.keys(limits);
  const over = names.filter((name) => made[name] > limits[name]);
  if (over.length === 0) return;
  throw new Error(
    over.map((name) => `${made.name}: ${name} ${made[name]}, at most ${limits[name]}`).join('\n'),
  );
}
