// Packs the pages that `aiot docs` shows into dist/docs.json.gz while npm packs, because the package has a limit on files. `--remove` removes
// the file again: from then on, the program reads docs/.
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const packed = join(root, 'dist', 'docs.json.gz');
if (argv.includes('--remove')) rmSync(packed, { force: true });
else {
  // Not a literal, so that tsc does not read the built files.
  const { documentTexts } = await import(pathToFileURL(join(root, 'dist', 'lib', 'cli', 'index.js')).href);
  writeFileSync(packed, gzipSync(JSON.stringify(documentTexts(join(root, 'docs'))), { level: 9 }));
}
