// Converts the documents to a static site, for any web server or file://: node scripts/site.js [FOLDER]. The default folder is site/.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';
import { makeSite } from './docs/site.js';

register();
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { reportStyle } = await import('../src/lib/formats/html.ts');
const out = resolve(process.argv[2] ?? join(root, 'site'));
const { files, dead } = makeSite(root, reportStyle);
if (dead.length > 0) {
  console.error(`Broken links:\n${dead.join('\n')}`);
  process.exit(1);
}
// The default folder belongs to this script, which clears it first. Files are only added to any other folder.
if (process.argv[2] === undefined) rmSync(out, { recursive: true, force: true });
for (const [path, content] of files) {
  mkdirSync(join(out, dirname(path)), { recursive: true });
  writeFileSync(join(out, path), content);
}
console.error(`${files.size} files in ${out}. Begin with index.html.`);
