import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';

/** Runs a program with its output on stderr. @throws if it fails */
export function must(program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 2, 2], ...options });
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}`);
}

/**
 * Timestamp of every file of a package, s since 1970, by default the commit's, so that the same sources yield the same
 * bytes.
 */
export function epoch() {
  if (process.env.SOURCE_DATE_EPOCH) return process.env.SOURCE_DATE_EPOCH;
  const options = { cwd: import.meta.dirname, encoding: 'utf8' };
  const { stdout } = spawnSync('git', ['log', '-1', '--format=%ct'], options);
  return stdout?.trim() || String(Math.floor(Date.now() / 1000));
}

/** Packs a folder as NAME/… into a .tar.xz. Owners and times are fixed, so the same sources give the same bytes. */
export function tar(folder, name, file, fast) {
  must(
    'tar',
    [
      ...['--create', '--file', file, '--use-compress-program', `xz -T2 -${fast ? 0 : 6}`],
      ...['--sort=name', '--format=gnu', `--mtime=@${epoch()}`, '--owner=0', '--group=0', '--numeric-owner'],
      ...['--mode=u+rwX,go+rX,go-w', '--transform', `s,^\\./\\?,${name}/,S`, '--directory', folder, '.'],
    ],
    { cwd: dirname(file), env: { ...process.env, LC_ALL: 'C' } },
  );
}
