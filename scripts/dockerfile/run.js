// Runs the steps of the Dockerfile without a container engine: node scripts/dockerfile/run.js [--tarball FILE]. Each stage is a separate
// root with this machine's /usr in place of its base image. The last one contains only Node and libraries, like distroless, and runs as
// its USER. With --tarball, the first stage is skipped and FILE is used as its result. Needs root, or sudo, and
// scripts/parts/dockerfile.sh.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Runs a program with its output on stderr. @throws if it fails */
function must(program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 2, 2], ...options });
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}`);
}

// Mounts visible only to this process and its children; they disappear with them.
if (!process.env.AIOT_OWN_MOUNTS) {
  const words = ['-m', process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const { status } = spawnSync('unshare', words, {
    stdio: 'inherit',
    env: { ...process.env, AIOT_OWN_MOUNTS: '1' },
  });
  process.exit(status ?? 1);
}

const work = mkdtempSync(join(tmpdir(), 'aiot-dockerfile-'));
const mounted = [];

function bind(from, to) {
  if (statSync(from).isDirectory()) mkdirSync(to, { recursive: true });
  else {
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, '');
  }
  must('mount', ['--rbind', from, to]);
  mounted.push(to);
}

/** Creates a root folder that shows `parts` of this machine. */
function makeRoot(name, parts) {
  const folder = join(work, name);
  for (const part of ['etc', 'dev', 'proc', ...parts]) bind(`/${part}`, join(folder, part));
  for (const link of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${link}`, join(folder, link));
  mkdirSync(join(folder, 'tmp'), { mode: 0o1777 });
  return folder;
}

function copy({ words, from, chown }, stage, cwd, roots, sent) {
  const target = words.at(-1);
  const to = join(stage, resolve(cwd, target));
  for (const word of words.slice(0, -1)) {
    if (from !== undefined) {
      const source = join(roots.get(from), word);
      const whole = statSync(source).isDirectory();
      mkdirSync(whole ? to : dirname(to), { recursive: true });
      must('cp', ['-al', ...(whole ? [`${source}/.`] : [source]), to]);
      continue;
    }
    const files = sent.filter((file) => word === '.' || file === word);
    if (files.length === 0) throw new Error(`COPY ${word}: excluded by .dockerignore, or missing`);
    for (const file of files) cpSync(join(root, file), join(to, file), { verbatimSymlinks: true });
  }
  if (chown) must('chown', ['--recursive', chown, to]);
}

function build(stage, folder, roots, sent) {
  let cwd = '/';
  for (const command of stage.commands) {
    const { name, words } = command;
    console.error(`── ${stage.name || 'the image'}: ${name} ${words.join(' ')}`);
    if (name === 'WORKDIR') {
      cwd = resolve(cwd, words[0]);
      mkdirSync(join(folder, cwd), { recursive: true });
    } else if (name === 'COPY') copy(command, folder, cwd, roots, sent);
    else if (name === 'RUN')
      must('unshare', ['--root', folder, '--wd', cwd, '/bin/sh', '-c', ...words], {
        env: { ...process.env, npm_config_prefer_offline: 'true' },
      });
  }
}

/** Adds the base image's users to the root: distroless has a user named nonroot. */
function nameUser(folder) {
  const file = join(work, 'passwd');
  writeFileSync(
    file,
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n',
  );
  must('mount', ['--bind', file, join(folder, 'etc/passwd')]);
}

/** Runs a container's command as Docker does: ENTRYPOINT and the words, as USER without other groups, in WORKDIR, with only ENV. */
function start(folder, { User, WorkingDir, Entrypoint, Env }, words, stdio) {
  const [user, group] = User.split(':');
  const place = ['--root', folder, '--wd', WorkingDir, '--setgid', group, '--setuid', user];
  const env = Object.fromEntries(Env.map((each) => each.split(/=(.*)/s)));
  return spawn('/usr/bin/setpriv', ['--clear-groups', 'unshare', ...place, ...Entrypoint, ...words], {
    stdio,
    env,
  });
}
const ended = (child) => new Promise((done) => child.once('exit', (code, signal) => done(code ?? signal)));

async function tryOut(folder, image) {
  const help = start(folder, image, image.Cmd, ['ignore', 'pipe', 2]);
  let text = '';
  help.stdout.on('data', (bytes) => {
    text += bytes;
  });
  const code = await ended(help);
  if (code !== 0 || !text.includes('USAGE')) throw new Error(`${image.Cmd.join(' ')}: ${code}, ${text}`);
  const words = ['up', '--json', '--no-token', '--http-port', '0', '--mqtt-port', '0'];
  const up = start(folder, image, words, ['ignore', 'pipe', 2]);
  const end = ended(up);
  try {
    // The platform's log also goes to stdout, as JSON lines without `urls`.
    const lines = createInterface(up.stdout);
    const { urls } = await Promise.race([
      new Promise((done) => lines.on('line', (line) => 'urls' in JSON.parse(line) && done(JSON.parse(line)))),
      end.then((status) => Promise.reject(new Error(`aiot up exited with ${status}`))),
    ]);
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    const answer = await fetch(new URL('/healthz', urls.http), { signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(`${answer.url} answered with status ${answer.status}`);
    const owner = statSync(`/proc/${up.pid}`);
    if (`${owner.uid}:${owner.gid}` !== image.User)
      throw new Error(`aiot up runs as ${owner.uid}:${owner.gid}`);
    up.kill('SIGTERM');
    const late = setTimeout(() => up.kill('SIGKILL'), 20_000);
    const status = await end;
    clearTimeout(late);
    if (status !== 0) throw new Error(`aiot up exited with ${status}`);
    console.log(`aiot up ran as ${image.User} and exited with 0`);
  } finally {
    up.kill('SIGKILL');
  }
}

try {
  const { tarball } = parseArgs({ options: { tarball: { type: 'string' } } }).values;
  const program = join(root, '.venv/dockerfile/bin/dockerfile-check');
  const { stdout, status } = spawnSync(program, [root], { maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`${program} failed`);
  const { stages, image, sent } = JSON.parse(stdout);
  const roots = new Map();
  for (const stage of stages) {
    const last = stage === stages.at(-1);
    const folder = makeRoot(stage.name || 'image', last ? ['usr/lib', 'usr/lib64'] : ['usr']);
    roots.set(stage.name, folder);
    if (last) {
      bind(process.execPath, join(folder, image.Entrypoint[0]));
      nameUser(folder);
    } else bind(homedir(), join(folder, homedir()));
    if (tarball && stage === stages[0]) cpSync(tarball, join(folder, 'tmp/aiot.tgz'));
    else build(stage, folder, roots, sent);
  }
  await tryOut(roots.get(''), image);
} finally {
  for (const each of mounted.reverse()) spawnSync('umount', ['--recursive', '--lazy', each]);
  // None of this machine's folders are still mounted below it; otherwise, `--one-file-system` would keep rm out of them.
  spawnSync('rm', ['-rf', '--one-file-system', work]);
}
