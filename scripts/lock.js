// Copies the lock file to dist/package-lock.json while packing, to install exactly the tested versions: the Debian package and the
// container move it next to package.json and run `npm ci`. It is not an npm-shrinkwrap.json, because npm would use that for a package
// from a registry, and install development dependencies and, with npm 11, the native parts for every system: 1.5 GB. `--remove` deletes
// the copy.
import { copyFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
if (process.argv.includes('--remove')) rmSync(path('dist/package-lock.json'), { force: true });
else copyFileSync(path('package-lock.json'), path('dist/package-lock.json'));
