#!/usr/bin/env node
// `--version` is handled before any module is loaded, because shells and scripts call it often.
const [first, ...rest] = process.argv.slice(2);
if (rest.length === 0 && (first === '--version' || first === '-v')) {
  const { readFileSync } = await import('node:fs');
  const { name, version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  process.stdout.write(`${name}/${version} ${process.platform}-${process.arch} node-${process.version}\n`);
} else {
  const { existsSync } = await import('node:fs');
  const program = new URL('../dist/lib/cli/main.js', import.meta.url);
  if (!existsSync(program)) {
    // In a fresh clone, which may be on the PATH because of `npm link`, the program is built first, as by npm's scripts. The npm package
    // contains its build.
    const { spawnSync } = await import('node:child_process');
    const { fileURLToPath } = await import('node:url');
    const ready = fileURLToPath(new URL('../scripts/ready.js', import.meta.url));
    const { status } = spawnSync(process.execPath, [ready], { stdio: ['ignore', 2, 2] });
    if (status !== 0) process.exit(1);
  } else {
    await warnIfOutdated();
  }
  const { homedir, userInfo } = await import('node:os');
  try {
    homedir();
  } catch {
    // The user ID is not in the user database, as is common in containers. As in Docker, the home folder is / in this case.
    process.env.HOME = '/';
  }
  try {
    // If SHELL is not set, as in a service or a build, oclif calls userInfo().
    if (process.env.SHELL === undefined) userInfo();
  } catch {
    process.env.SHELL = '/bin/sh';
  }
  try {
    const { main } = await import(program.href);
    await main(process.argv.slice(2), import.meta.url);
  } catch (error) {
    // A process that cannot open any more files cannot load the code that shows errors either. The error is printed here, in the same form.
    if (error?.code !== 'EMFILE' && error?.code !== 'ENFILE') throw error;
    const [code, next] = ['AIOT_FILE_NOT_READABLE', 'Raise the limit of open files (ulimit -n), and repeat.'];
    const { message } = error;
    const line = JSON.stringify({ error: { code, message, next, exit: 1 } });
    if (process.argv.includes('--json')) process.stdout.write(`${line}\n`);
    else process.stderr.write(`✗ ${code}: ${message}\n  Try: ${next}\n`);
    process.exitCode = 1;
  }
}

/**
 * In a clone, prints a warning if the sources have changed since the build. Git writes its index on a pull, a checkout, a commit and
 * `git status`, so comparing it with the build takes microseconds. Only if it is newer, the sources themselves are compared. A package contains
 * no .git, and is never checked.
 */
async function warnIfOutdated() {
  const { statSync, utimesSync } = await import('node:fs');
  const stamp = new URL('../dist/.stamp', import.meta.url);
  try {
    const built = statSync(stamp).mtimeMs;
    if (statSync(new URL('../.git/index', import.meta.url)).mtimeMs <= built) return;
    const { fileURLToPath } = await import('node:url');
    const { isBuilt } = await import('../scripts/stamp.js');
    const root = fileURLToPath(new URL('..', import.meta.url));
    if (isBuilt(root)) utimesSync(stamp, new Date(), new Date());
    else
      process.stderr.write(
        `! The build is older than the sources. To update it: npm run build --prefix ${root}\n`,
      );
  } catch {
    // Without a stamp or a Git repository, there is nothing to compare.
  }
}
