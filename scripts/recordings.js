// Packs the example recordings of a template into one file while npm packs: their 35 CSV files have 2.7 MB, and the package has a limit on
// files. `aiot init` unpacks them into the new project. `--remove` removes the file again.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

/** The files of a folder as one compressed JSON object: texts by name. */
export function packRecordings(folder) {
  const names = readdirSync(folder).sort();
  const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
  return gzipSync(JSON.stringify(files), { level: 9 });
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const data = join(dirname(dirname(argv[1])), 'templates', 'har-imu', 'data');
  const packed = join(data, 'recordings.json.gz');
  if (argv.includes('--remove')) rmSync(packed, { force: true });
  else writeFileSync(packed, packRecordings(join(data, 'recordings')));
}
