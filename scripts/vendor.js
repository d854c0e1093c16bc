import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { vendored } from './inside.js';

/**
 * Writes the contents of dist/vendor: the files that aiot reads from larger packages, and their licenses. WebAssembly is compressed to a
 * third of its size, which takes half a second; decompression at load time takes 30 ms.
 * @param {string} root folder of the checkout
 * @param {string} out folder to create
 */
export function vendor(root, out) {
  mkdirSync(out, { recursive: true });
  const notices = Object.entries(vendored).map(([name, files]) => {
    const folder = join(root, 'node_modules', name);
    for (const file of files) {
      const bytes = readFileSync(join(folder, file));
      if (file.endsWith('.wasm'))
        writeFileSync(join(out, `${basename(file)}.gz`), gzipSync(bytes, { level: 9 }));
      else writeFileSync(join(out, basename(file)), bytes);
    }
    return noticeOf(name, JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')), files);
  });
  writeFileSync(join(out, 'NOTICE.txt'), notices.join('\n'));
}

/**
 * The notice for a package. Neither package includes its license text. Both are under Apache-2.0, like aiot, and aiot's package contains
 * that text.
 */
function noticeOf(name, { version, license, repository, homepage }, files) {
  if (license !== 'Apache-2.0')
    throw new Error(`${name} ${version} is under ${license}, not Apache-2.0: see scripts/vendor.js`);
  const source = repository?.url ?? homepage;
  return `${name} ${version}, unchanged: ${files.map((file) => basename(file)).join(', ')}\nCopyright of their authors, Apache-2.0 (../../LICENSE), ${source}\n`;
}
