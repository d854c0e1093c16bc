// Compiles src/ to dist/ and writes oclif's manifest, without which each start would read every command file. Each source becomes a module
// in dist/.modules, which the tests import. dist/ itself has one file per command, and shared chunks, because a short
// command spent most of its time finding, reading and compiling several hundred separate modules.
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';
import { build } from 'esbuild';
import { stampOf } from './stamp.js';
import { takeTurn, workFolder } from './turn.js';
import { vendor } from './vendor.js';
import { zodInEnglish } from './zod-in-english.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

await takeTurn(root);
// Everything is built in a private folder and then renamed into place, so an interrupted or failed build changes nothing.
const made = join(workFolder(root), `build-${process.pid}`);
process.on('exit', () => rmSync(made, { recursive: true, force: true }));
const stamp = stampOf(root);
const sources = readdirSync('src', { recursive: true })
  .map(String)
  .filter((path) => path.endsWith('.ts'));
// esbuild only removes the types. `npm run types` checks them, which takes ten times as long.
await build({
  // By default, esbuild uses the folder from which it was loaded.
  absWorkingDir: root,
  entryPoints: sources.map((path) => join('src', path)),
  outdir: join(made, 'dist/.modules'),
  outbase: 'src',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
});
// Packages that are bundled too. Every start needs Zod, which has 94 files. Every platform needs kysely: loading its 263 files took 0.13 s,
// and loading the bundled code takes 0.01 s. Bundling the other packages had no benefit, or made loading slower.
const bundled = ['zod', 'kysely'];
const { dependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const packages = Object.keys({ ...dependencies, ...peerDependencies }).filter(
  (name) => !bundled.includes(name),
);
await build({
  // Names of chunks depend on the paths of their modules, which must not depend on the private folder's name.
  absWorkingDir: made,
  entryPoints: entries(),
  // At the same depth as the modules, so that paths relative to a module remain valid.
  outdir: 'dist',
  outbase: 'dist/.modules',
  chunkNames: 'lib/shared/[name]-[hash]',
  bundle: true,
  splitting: true,
  external: packages,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  keepNames: true,
  // Makes dist/lib a quarter smaller. Names stay, and lines stay short, so that stack traces remain useful.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  logLevel: 'warning',
  plugins: [zodInEnglish],
});
// Commands look for aiot's package.json above them.
copyFileSync('package.json', join(made, 'package.json'));
const manifest = await commandManifest();
vendor(root, join(made, 'dist/vendor'));
moveIntoPlace();

/**
 * The package's entry, every command, and the files that are loaded by path: by bin/run.js and oclif (cli/main, cli/help), by the program's
 * own threads and processes (formats, loop), and by scripts and tests (the other modules). More entries would split the shared code further:
 * with an entry for each module of src/lib, the package had 60 files more.
 */
function entries() {
  const modules = 'api|cli|core|formats|loop|model|platform|provision';
  const wanted = new RegExp(`^(index|commands/.*|lib/(${modules})/index|lib/cli/main|lib/cli/help)\\.ts$`);
  return sources
    .filter((path) => wanted.test(path.replaceAll('\\', '/')))
    .map((path) => join('dist/.modules', path.replace(/ts$/, 'js')));
}

/**
 * Creates oclif's manifest. oclif fails if a command does not load, but not if commands are missing, so the result is compared
 * with the files.
 */
async function commandManifest() {
  const plugin = new Plugin({ root: made, type: 'core', ignoreManifest: true, errorOnManifestCreate: true });
  await plugin.load();
  const { manifest } = plugin;
  const commands = Object.values(manifest.commands);
  const found = new Set(commands.map(({ relativePath }) => relativePath.join('/')));
  const files = sources
    .map((path) => `dist/${path.replaceAll('\\', '/').replace(/ts$/, 'js')}`)
    .filter((path) => path.startsWith('dist/commands/'));
  const missing = files.filter((path) => !found.has(path));
  if (files.length === 0 || missing.length > 0)
    throw new Error(
      `The build has ${commands.length} of ${files.length} commands; missing: ${missing.slice(0, 3).join(', ')}. Nothing was replaced.`,
    );
  // oclif's manifest would also contain the result schemas, which are not used. They made up three quarters of the data that each start
  // parses.
  for (const command of commands) delete command.result;
  return manifest;
}

/** Moves the build into place. The stamp, which marks it as complete, is written last. The dashboard has its own build. */
function moveIntoPlace() {
  writeFileSync(join(made, 'manifest.json'), `${JSON.stringify(manifest)}\n`);
  if (existsSync('dist/web')) renameSync('dist/web', join(made, 'dist/web'));
  if (existsSync('dist')) renameSync('dist', join(made, 'before'));
  renameSync(join(made, 'dist'), 'dist');
  renameSync(join(made, 'manifest.json'), 'oclif.manifest.json');
  writeFileSync(join(made, 'stamp'), stamp);
  renameSync(join(made, 'stamp'), 'dist/.stamp');
}
