// Builds the dashboard and the page of `aiot firmware web-installer` from web/ to dist/web: one file per page, and shared chunks, with
// digests in their names. Types are checked by `npm run types`.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { joined, joinedParts } from './inside.js';
import { webStampOf } from './stamp.js';
import { takeTurn, workFolder } from './turn.js';
import { zodInEnglish } from './zod-in-english.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
await takeTurn(root);
// Built in a private folder, then renamed into place, as in build.js.
const made = join(workFolder(root), `web-${process.pid}`);
process.on('exit', () => rmSync(made, { recursive: true, force: true }));
const stamp = webStampOf(root);
await buildWeb(join(made, 'web'));
writeFileSync(join(made, 'web/.stamp'), stamp);
mkdirSync('dist', { recursive: true });
if (existsSync('dist/web')) renameSync('dist/web', join(made, 'before'));
renameSync(join(made, 'web'), 'dist/web');

/** @param {string} out folder */
async function buildWeb(out) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: {
      main: 'web/main.tsx',
      installer: 'web/installer/installer.tsx',
      rehearsal: 'src/lib/fleet/rehearsal-worker.ts',
      icon: 'web/icon.svg',
    },
    // The build in one file: the package's other one loads each chip's data as a file of its own.
    alias: {
      'esptool-js': 'esptool-js/bundle.js',
      // The identity of a board is written by the same code as on the command line.
      ...Object.fromEntries(
        ['buffer', 'crypto', 'zlib'].map((name) => [`node:${name}`, `./web/node/${name}.ts`]),
      ),
      'node:timers/promises': './web/node/timers.ts',
    },
    define: { 'process.platform': '"browser"' },
    outdir: join(out, 'assets'),
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    loader: { '.svg': 'copy' },
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: ['es2022', 'chrome111', 'firefox114', 'safari16.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    metafile: true,
    logLevel: 'warning',
    plugins: [zodInEnglish],
  });
  const outputs = Object.entries(metafile.outputs);
  const icon = basename(outputs.find(([path]) => basename(path).startsWith('icon-'))?.[0] ?? '');
  const worker = basename(
    outputs.find(([, { entryPoint }]) => entryPoint === 'src/lib/fleet/rehearsal-worker.ts')?.[0] ?? '',
  );
  const pageOf = (template, entry, assets) => {
    const found = outputs.find(([, { entryPoint }]) => entryPoint === entry);
    if (!found) throw new Error(`esbuild created no file for ${entry}`);
    const [script, { cssBundle = '' }] = found;
    return readFileSync(template, 'utf8')
      .replace('{{icon}}', icon)
      .replace('{{rehearsal}}', worker)
      .replace('<!-- styles -->', `<link rel="stylesheet" href="${assets}${basename(cssBundle)}">`)
      .replace('<!-- script -->', `<script type="module" src="${assets}${basename(script)}"></script>`)
      .replace('<!-- preloads -->', preloads(metafile.outputs, script, assets));
  };
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'index.html'), pageOf('web/index.html', 'web/main.tsx', '/assets/'));
  // Its preload links also list the files that the command must copy.
  const installer = pageOf('web/installer/index.html', 'web/installer/installer.tsx', 'assets/');
  writeFileSync(join(out, 'installer.html'), installer);
  writeFileSync(join(out, 'assets', 'licences.txt'), licences());
}

/** Preload links for a script's imports, so that browsers load them together with the script instead of after parsing it. */
function preloads(outputs, script, assets) {
  const found = new Set();
  const add = (path) => {
    for (const { path: other, kind } of outputs[path].imports) {
      if (kind !== 'import-statement' || found.has(other)) continue;
      found.add(other);
      add(other);
    }
  };
  add(script);
  return [...found]
    .map((path) => `<link rel="modulepreload" href="${assets}${basename(path)}">`)
    .join('\n    ');
}

/** Licenses of the packages whose code is bundled. */
function licences() {
  const texts = [...joined, ...Object.keys(joinedParts)].map((name) => {
    const { version } = JSON.parse(readFileSync(join('node_modules', name, 'package.json'), 'utf8'));
    return `${name} ${version}\n\n${readFileSync(join('node_modules', name, joinedParts[name] ?? 'LICENSE'), 'utf8').trim()}\n`;
  });
  return texts.join(`\n${'-'.repeat(78)}\n\n`);
}
