import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { build } from 'esbuild';
import { counted } from './counted.js';

const root = dirname(import.meta.dirname);
const from = join(root, 'dist', '.modules');
const to = join(root, 'dist', '.fuzz');

/**
 * The modules of the build, with counters, in `dist/.fuzz`, and the worker with all targets beside it. Only when something
 * has changed.
 * @returns where the worker is, and how many places are counted
 */
export async function buildWorker(): Promise<{ worker: string; places: number }> {
  const stamp =
    readFileSync(join(root, 'dist', '.stamp'), 'utf8') +
    readFileSync(join(import.meta.dirname, 'counted.ts'), 'utf8');
  const stampFile = join(to, '.stamp');
  if (!existsSync(stampFile) || JSON.parse(readFileSync(stampFile, 'utf8')).stamp !== stamp) {
    rmSync(to, { recursive: true, force: true });
    const places = countAll();
    writeFileSync(stampFile, JSON.stringify({ stamp, places }));
  }
  const worker = join(to, 'worker.js');
  await build({
    entryPoints: [join(import.meta.dirname, 'worker.ts')],
    outdir: to,
    bundle: true,
    // What the worker imports when it is there: the counters come first.
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
    plugins: [
      {
        name: 'counted',
        setup({ onResolve }) {
          onResolve({ filter: /\/src\/.*\.js$/ }, ({ path, resolveDir }) => {
            const inside = resolve(resolveDir, path).slice(join(root, 'src').length + 1);
            return { path: `./${inside}`, external: true };
          });
        },
      },
    ],
  });
  return { worker, places: JSON.parse(readFileSync(stampFile, 'utf8')).places };
}

function countAll(): number {
  let places = 0;
  for (const path of (readdirSync(from, { recursive: true }) as string[]).sort()) {
    if (!path.endsWith('.js')) continue;
    const source = readFileSync(join(from, path), 'utf8');
    const { text, next } = path.startsWith('lib') ? counted(source, places) : { text: source, next: places };
    places = next;
    mkdirSync(dirname(join(to, path)), { recursive: true });
    writeFileSync(join(to, path), text);
  }
  return places;
}
