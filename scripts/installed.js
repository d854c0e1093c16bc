import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @typedef {object} Locked an entry of `packages` in package-lock.json
 * @property {string} [version]
 * @property {string} [integrity]
 * @property {string} [resolved]
 * @property {boolean} [optional] may be absent: for another platform, or its installation failed
 * @property {boolean} [devOptional]
 * @property {boolean} [peer]
 */

/**
 * Compares the installed packages, which npm lists in node_modules/.package-lock.json, with package-lock.json. Additional packages, such as
 * an optional peer added by hand, are harmless.
 * @param {string} root folder of the checkout
 * @returns {{ fits: boolean, foreign: boolean }} `foreign`: node_modules is a link to another folder, which may belong to another checkout.
 * It must not be changed from here, because `npm ci` through a link empties the target folder.
 */
export function installed(root) {
  const folder = join(root, 'node_modules');
  // Also true for a dangling link, whose target may be on a disk that is not mounted.
  const foreign = lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  const wanted = packagesIn(join(root, 'package-lock.json'));
  const found = packagesIn(join(folder, '.package-lock.json'));
  const fits = Object.entries(wanted).every(([path, { version, integrity, optional, devOptional }]) => {
    if (path === '') return true;
    const there = found[path];
    if (!there) return optional === true || devOptional === true;
    return there.version === version && there.integrity === integrity;
  });
  return { fits: fits && Object.keys(found).length > 0, foreign };
}

/**
 * @param {string} file a lock file of npm
 * @returns {Record<string, Locked>} empty if there is none, or it cannot be read
 */
function packagesIn(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  } catch {
    return {};
  }
}
