// While packing, the lock file goes along as dist/package-lock.json, for installs of just the versions that were tested: those of the Debian
// package and of the container copy it beside package.json, then run `npm ci`. As npm-shrinkwrap.json, npm would read it from a package of a
// registry, and install with it what development needs, and npm 11 the native parts of every system: 1.5 GB. `--remove` takes it away again.
import { copyFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
if (process.argv.includes('--remove')) rmSync(path('dist/package-lock.json'), { force: true });
else copyFileSync(path('package-lock.json'), path('dist/package-lock.json'));
