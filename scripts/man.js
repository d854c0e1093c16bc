// Writes the manual pages from the build's manifest: aiot(1) is the front page, and every topic and command has its own page, such as
// `man aiot-device-list`. Called while packing. The pages are also listed in package.json, because npm links only listed pages; `--remove`
// removes the list again.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualPages } from './man/pages.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const path = (name) => join(root, name);
const read = (name) => JSON.parse(readFileSync(path(name), 'utf8'));
const { man: _, ...packageJson } = read('package.json');

/** Writes package.json atomically, because other processes may read it at the same time. */
function writePackage(object) {
  writeFileSync(path('package.json.new'), `${JSON.stringify(object, null, 2)}\n`);
  renameSync(path('package.json.new'), path('package.json'));
}

function writePages() {
  // With SOURCE_DATE_EPOCH, a rebuilt package is identical.
  const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? Math.floor(Date.now() / 1000));
  const date = new Date(seconds * 1000).toISOString().slice(0, 10);
  const pages = manualPages({ manifest: read('oclif.manifest.json'), packageJson, date });
  const folder = 'dist/man';
  rmSync(path(folder), { recursive: true, force: true });
  mkdirSync(path(folder), { recursive: true });
  for (const [name, text] of pages) writeFileSync(path(join(folder, name)), text);
  writePackage({ ...packageJson, man: [...pages.keys()].map((name) => `${folder}/${name}`) });
  console.error(`${pages.size} manual pages written.`);
}

if (process.argv.includes('--remove')) writePackage(packageJson);
else writePages();
