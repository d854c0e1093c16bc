// While packing, the lock file goes along as npm-shrinkwrap.json: who installs the package gets the versions that were
// tested. It does not stay in the clone, where package-lock.json is the one. `--remove` takes it away again.
import { copyFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
if (process.argv.includes('--remove')) rmSync(path('npm-shrinkwrap.json'), { force: true });
else copyFileSync(path('package-lock.json'), path('npm-shrinkwrap.json'));
