import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { build } from 'esbuild';
import { counted } from './counted.js';

const root = dirname(import.meta.dirname);
const from = join(root, 'dist', '.modules');
const to = join(root, 'dist', '.fuzz');

/**
 * Builds the instrumented modules and the worker with all targets in `dist/.fuzz`, if anything has changed since the last build.
 * @returns path of the worker, and the number of counters
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
    // The worker imports the modules dynamically, because the counters must exist first.
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
