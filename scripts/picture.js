// Draws a terminal picture of a command's real output: node scripts/picture.js OUT.svg [ARGUMENTS of aiot…]. `npm run picture` draws the
// picture in README.md. Runs dist/, so build first.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { terminalSvg } from './picture/svg.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [out = 'docs/images/demo.svg', ...given] = process.argv.slice(2);
const args = given.length > 0 ? given : ['demo'];
const home = mkdtempSync(join(tmpdir(), 'aiot-picture-'));

/** Records the output of both streams in the order of writing. Progress is on stderr, and the result on stdout. */
function record() {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, HOME: home, FORCE_COLOR: '1', NO_COLOR: '', COLUMNS: '100' };
    for (const name of Object.keys(env)) if (/^(XDG_|AIOT_|INIT_CWD)/.test(name)) delete env[name];
    // Simulates an installation, so that the suggested commands are `aiot …` instead of a path on this machine.
    const installed = join(home, 'bin');
    mkdirSync(installed);
    symlinkSync(join(root, 'bin', 'run.js'), join(installed, 'aiot'));
    env.PATH = `${installed}:${env.PATH}`;
    // Runs in its own folder, because paths outside the working directory are shown in full.
    const cwd = join(home, 'work');
    mkdirSync(cwd);
    const child = spawn(process.execPath, [join(installed, 'aiot'), ...args], { env, cwd });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
    }
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`exit ${code}\n${text}`))));
  });
}

try {
  const text = await record();
  const lines = text.replaceAll(home, '~').trimEnd().split('\n');
  writeFileSync(join(root, out), terminalSvg(`aiot ${args.join(' ')}`, lines));
} finally {
  rmSync(home, { recursive: true, force: true });
}
