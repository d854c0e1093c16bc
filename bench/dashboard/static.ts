// What a page costs that does nothing: as many bytes as the dashboard sends, by nginx, and a heading that a script makes.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startNginx } from '../platform/nginx.js';

/** @param bytes of the script, which is one comment but for its last line @param pki the platform's certificate's folder */
export async function startStaticPage(folder: string, pki: string, bytes: number) {
  const nginx = await startNginx(folder, pki, Buffer.alloc(0));
  const www = join(folder, 'www');
  mkdirSync(www, { recursive: true });
  const page =
    '<!doctype html><html lang="en"><title>static</title><body><script src="page.js"></script></body></html>';
  writeFileSync(join(www, 'index.html'), page);
  const heading = `document.body.append(Object.assign(document.createElement('h1'), { textContent: 'static' }));`;
  writeFileSync(join(www, 'page.js'), `/*${'x'.repeat(bytes)}*/\n${heading}\n`);
  return nginx;
}
