#!/usr/bin/env node
// `--version` is answered before anything is loaded: shells and scripts ask for it often.
const [first, ...rest] = process.argv.slice(2);
if (rest.length === 0 && (first === '--version' || first === '-v')) {
  const { readFileSync } = await import('node:fs');
  const { name, version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  process.stdout.write(`${name}/${version} ${process.platform}-${process.arch} node-${process.version}\n`);
} else {
  const { existsSync } = await import('node:fs');
  const program = new URL('../dist/lib/cli/main.js', import.meta.url);
  if (!existsSync(program)) {
    // A fresh clone, also one on the PATH by `npm link`: it is made ready as npm's scripts do it. The package has its build.
    const { spawnSync } = await import('node:child_process');
    const { fileURLToPath } = await import('node:url');
    const ready = fileURLToPath(new URL('../scripts/ready.js', import.meta.url));
    const { status } = spawnSync(process.execPath, [ready], { stdio: ['ignore', 2, 2] });
    if (status !== 0) process.exit(1);
  }
  const { homedir, userInfo } = await import('node:os');
  try {
    homedir();
  } catch {
    // A user whom the system does not know, as in a container: the home that Docker gives such a one.
    process.env.HOME = '/';
  }
  try {
    // oclif asks for it where SHELL is not set, as in a service or a build.
    if (process.env.SHELL === undefined) userInfo();
  } catch {
    process.env.SHELL = '/bin/sh';
  }
  try {
    const { main } = await import(program.href);
    await main(process.argv.slice(2), import.meta.url);
  } catch (error) {
    // A process that may open no more files cannot load what shows errors either: it is shown here, in the same form.
    if (error?.code !== 'EMFILE' && error?.code !== 'ENFILE') throw error;
    const [code, next] = ['AIOT_FILE_NOT_READABLE', 'Raise the limit of open files (ulimit -n), and repeat.'];
    const { message } = error;
    const line = JSON.stringify({ error: { code, message, next, exit: 1 } });
    if (process.argv.includes('--json')) process.stdout.write(`${line}\n`);
    else process.stderr.write(`✗ ${code}: ${message}\n  Try: ${next}\n`);
    process.exitCode = 1;
  }
}
