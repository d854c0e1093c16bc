import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { blocksOf } from '../support/documents/pages.js';
import { freePort } from '../support/free-port.js';
import { browse, clientSecret, type RunningProvider, startProvider } from '../support/oidc-provider.js';

const page = join(root, 'docs', 'how-to', 'log-in.md');

let provider: RunningProvider;
let home: string;
let ports: [http: number, mqtt: number];
const ran: string[] = [];

beforeAll(async () => {
  provider = await startProvider();
  provider.accounts.set('s-1', { name: 'ana', groups: ['staff'] });
  provider.next = 's-1';
  home = await mkdtemp(join(tmpdir(), 'aiot-log-in-'));
  ports = [await freePort(), await freePort()];
});
afterAll(async () => {
  if (home) await type('aiot down');
  await provider?.stop();
  await rm(home, { recursive: true, force: true });
});

/** Types a line in a shell, and follows a link to the provider as the user would. @returns the output and the exit code */
async function type(line: string): Promise<{ code: number | null; text: string }> {
  const { DISPLAY: _, WAYLAND_DISPLAY: __, ...env } = process.env;
  const shell = spawn('bash', ['-c', `aiot() { "$NODE" "$PROGRAM" "$@"; }\n${line}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: home,
    env: {
      ...{ ...env, HOME: home, AIOT_CONFIG_DIR: join(home, 'config'), AIOT_DATA: join(home, 'platform') },
      ...{ NODE: process.execPath, PROGRAM: join(root, 'bin', 'run.js'), AIOT_OIDC_SECRET: clientSecret },
      ...{ AIOT_HTTP_PORT: String(ports[0]), AIOT_MQTT_PORT: String(ports[1]) },
    },
  });
  let text = '';
  let followed = false;
  for (const stream of [shell.stdout, shell.stderr])
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more;
      const [, url] = /^Open (http\S+)\n/m.exec(text) ?? [];
      if (url === undefined || followed) return;
      followed = true;
      void browse(url);
    });
  const timer = setTimeout(() => shell.kill('SIGKILL'), 60_000);
  const [code] = (await once(shell, 'close')) as [number | null];
  clearTimeout(timer);
  return { code, text };
}

it('works as documented in docs/how-to/log-in.md', async () => {
  // Marked blocks need no provider; blocks.test.ts types them.
  const lines = blocksOf(await readFile(page, 'utf8'))
    .filter(({ run }) => run === null)
    .flatMap(({ text }) => text.split('\n'));
  const typed = lines
    .filter((line) => line.startsWith('aiot ') && !line.startsWith('aiot events'))
    .map((line) =>
      line
        .replace('https://sso.example/realms/plant', provider.issuer)
        .replace('https://plant.example:8443', `https://127.0.0.1:${ports[0]}`)
        .replace('ca.crt', join(home, 'platform', 'pki', 'ca.crt')),
    );
  for (const line of typed) {
    const { code, text } = await type(line.startsWith('aiot up') ? `${line} --detach` : line);
    expect(code, `${line}\n${text}`).toBe(0);
    ran.push(text);
  }
  expect(typed.map((line) => line.split(' ')[1])).toEqual(['up', 'login', 'status', 'logout']);
  expect(ran[1]).toMatch(/and enter the code \S+/);
  expect(ran[1]).toContain('Logged in to plant as ana (viewer)');
  expect(ran[3]).toContain('Logged out of plant');
}, 240_000);
