// While packing, the lock file is included as dist/package-lock.json, for installations of exactly the tested versions. The Debian package
// and the container copy it beside package.json, then run `npm ci`. npm would use an npm-shrinkwrap.json for a package from a registry,
// and would also install development dependencies and, with npm 11, the native parts for every system: 1.5 GB. `--remove` deletes the copy.
import { copyFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
if (process.argv.includes('--remove')) rmSync(path('dist/package-lock.json'), { force: true });
else copyFileSync(path('package-lock.json'), path('dist/package-lock.json'));
