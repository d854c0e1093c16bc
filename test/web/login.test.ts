import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loginLinkSchema, type Session } from '../../src/lib/api/contract/access.js';
import { systemClock } from '../../src/lib/core/time.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, upForTests } from '../support/up.js';

let platform: TestPlatform;
let agent: Agent;
let clock = Date.now();

beforeAll(async () => {
  platform = await testPlatform({ clock: { ...systemClock, now: () => clock } });
  agent = new Agent({ connect: { ca: platform.ca } });
});
afterAll(async () => {
  await agent.close();
  await platform.stop();
});

async function call(
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  headers: Record<string, string> = {},
  body?: unknown,
) {
  const answer = await request(`${platform.platform.urls.http}${path}`, {
    method,
    dispatcher: agent,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.body.text();
  const json = () => JSON.parse(text) as Session & { devices: unknown[]; code: string };
  return { status: answer.statusCode, headers: answer.headers, text, json };
}

async function freshCode(token = platform.token): Promise<string> {
  return (await platform.platform.loginLink(token))?.split('/').at(-1) ?? '';
}

async function logIn(token = platform.token) {
  const answer = await call('POST', '/api/v1/session', {}, { code: await freshCode(token) });
  const cookie = String(answer.headers['set-cookie']).split(';')[0] ?? '';
  return { answer, cookie, csrf: answer.json().user?.csrf ?? '' };
}

describe('the dashboard without a login', () => {
  it('returns a page without data, and loads nothing from elsewhere', async () => {
    const page = await call('GET', '/');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers['content-security-policy']).toContain("script-src 'self'; style-src 'self'");
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect(page.text).toContain('<div id="app"></div>');
    const [, script] = /src="(\/assets\/[^"]+)"/.exec(page.text) ?? [];
    const file = await call('GET', script ?? '', { 'accept-encoding': 'br' });
    expect(file.headers['content-encoding']).toBe('br');
    expect(file.headers['cache-control']).toContain('immutable');
    expect((await call('GET', '/assets/..%2findex.html')).status).toBe(404);
    expect((await call('GET', '/assets/%2e%2e%2f%2e%2e%2fpackage.json')).status).toBe(404);
  });

  it('reports that no user is logged in, and nothing else', async () => {
    expect((await call('GET', '/api/v1/session')).json().user).toBeNull();
    expect((await call('GET', '/api/v1/devices')).status).toBe(401);
    expect((await call('POST', '/api/v1/session/links', {}, {})).status).toBe(401);
  });
});

describe('a login', () => {
  it('is a cookie that scripts cannot read and other sites cannot use', async () => {
    const { answer, cookie } = await logIn();
    expect(String(answer.headers['set-cookie'])).toMatch(
      /^__Host-aiot-[0-9a-f]{8}=[\w-]{43}; Max-Age=604\d{3}; Path=\/; Secure; HttpOnly; SameSite=Strict$/,
    );
    expect(answer.json().user).toMatchObject({ role: 'operator', scopes: null });
    expect((await call('GET', '/api/v1/devices', { cookie })).json().devices).toEqual([]);
    expect((await call('GET', '/api/v1/session', { cookie })).json().user?.role).toBe('operator');
  });

  it('accepts a link only once, even if used twice at the same time, and only for 15 minutes', async () => {
    const code = await freshCode();
    const both = await Promise.all([1, 2].map(() => call('POST', '/api/v1/session', {}, { code })));
    expect(both.map(({ status }) => status).sort()).toEqual([200, 401]);
    const late = await freshCode();
    clock += 15 * 60_000 + 1;
    const refused = await call('POST', '/api/v1/session', {}, { code: late });
    expect(refused.status).toBe(401);
    expect(refused.json().code).toBe('AIOT_TOKEN_INVALID');
  });

  it('accepts a valid token and no other secret', async () => {
    expect((await call('POST', '/api/v1/session', {}, { token: platform.token })).status).toBe(200);
    expect((await call('POST', '/api/v1/session', {}, { token: `aiot_${'A'.repeat(43)}` })).status).toBe(401);
    const { cookie } = await logIn();
    const secret = cookie.split('=')[1] ?? '';
    expect((await call('GET', '/api/v1/devices', { authorization: `Bearer ${secret}` })).status).toBe(401);
    expect((await call('POST', '/api/v1/session', {}, { code: secret })).status).toBe(401);
  });

  it('rejects changes without the CSRF token of its session', async () => {
    const { cookie, csrf } = await logIn();
    const user = { name: 'eve', role: 'viewer' };
    expect((await call('POST', '/api/v1/users', { cookie }, user)).status).toBe(403);
    expect((await call('POST', '/api/v1/users', { cookie, 'x-aiot-csrf': 'guessed' }, user)).status).toBe(
      403,
    );
    const other = await logIn();
    expect((await call('POST', '/api/v1/users', { cookie, 'x-aiot-csrf': other.csrf }, user)).status).toBe(
      403,
    );
    expect((await call('POST', '/api/v1/users', { cookie, 'x-aiot-csrf': csrf }, user)).status).toBe(201);
  });

  it('has the permissions of its token, and ends with it', async () => {
    const narrow = await platform.client.tokens.create({
      name: 'screen',
      role: 'viewer',
      scopes: ['devices:read'],
    });
    const { cookie, csrf } = await logIn(narrow.token);
    expect((await call('GET', '/api/v1/devices', { cookie })).status).toBe(200);
    expect((await call('GET', '/api/v1/models', { cookie })).status).toBe(403);
    const made = { name: 'd1', type: 'virtual' };
    expect((await call('POST', '/api/v1/devices', { cookie, 'x-aiot-csrf': csrf }, made)).status).toBe(403);
    await platform.client.tokens.revoke(narrow.id);
    expect((await call('GET', '/api/v1/devices', { cookie })).status).toBe(401);
    expect(await platform.platform.loginLink(narrow.token)).toBeNull();
  });

  it('ends on logout or after a week, but survives a restart', async () => {
    const first = await logIn();
    const gone = await call('DELETE', '/api/v1/session', { cookie: first.cookie, 'x-aiot-csrf': first.csrf });
    expect(String(gone.headers['set-cookie'])).toContain('Max-Age=0');
    expect((await call('GET', '/api/v1/devices', { cookie: first.cookie })).status).toBe(401);
    const { cookie } = await logIn();
    await platform.restart();
    expect((await call('GET', '/api/v1/devices', { cookie })).status).toBe(200);
    clock += 7 * 24 * 3600_000;
    expect((await call('GET', '/api/v1/devices', { cookie })).status).toBe(401);
  });

  it('is recorded as an event without secrets', async () => {
    const { events } = await platform.client.events.page({ from: 0, types: ['session.*'] });
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['session.link', 'session.begin', 'session.end']),
    );
    expect(JSON.stringify(events)).not.toMatch(/[\w-]{43}/);
  });
});

describe('aiot dashboard', () => {
  it('prints a login link, as the platform does at startup', async () => {
    const up = await upForTests();
    try {
      const link = await ok(loginLinkSchema, ['dashboard']);
      expect(link.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/#\/login\/[\w-]{43}$/);
      expect(link.expires - Date.now()).toBeGreaterThan(14 * 60_000);
      expect(up.dashboard).toMatch(/\/#\/login\/[\w-]{43}$/);
      const text = (await runCli(['dashboard'])).stdout;
      expect(text).toContain('works once, for 15 minutes');
      // Without a display, there is no browser. With one, the browser's command line contains no login link.
      const [display, wayland, path] = [process.env.DISPLAY, process.env.WAYLAND_DISPLAY, process.env.PATH];
      try {
        delete process.env.DISPLAY;
        delete process.env.WAYLAND_DISPLAY;
        expect((await runCli(['dashboard', '--open'])).stderr).toContain('No browser is available');
        const told = join(up.folder, 'told');
        const opener = join(up.folder, 'bin', 'xdg-open');
        await mkdir(dirname(opener));
        await writeFile(opener, `#!/bin/sh\necho "$1" > ${told}.new && mv ${told}.new ${told}\n`, {
          mode: 0o755,
        });
        process.env.DISPLAY = ':7';
        process.env.PATH = `${dirname(opener)}:${path}`;
        const opened = await runCli(['dashboard', '--open', '--json']);
        await expect.poll(() => existsSync(told)).toBe(true);
        const page = (await readFile(told, 'utf8')).trim();
        expect(page).not.toContain('login');
        expect((await stat(page)).mode & 0o777).toBe(0o600);
        expect(await readFile(page, 'utf8')).toContain(`url=${(opened.json as { url: string }).url}`);
        await rm(dirname(page), { recursive: true });
      } finally {
        const before = { DISPLAY: display, WAYLAND_DISPLAY: wayland, PATH: path };
        for (const [name, value] of Object.entries(before)) {
          if (value === undefined) delete process.env[name];
          else process.env[name] = value;
        }
      }
    } finally {
      await up.stop();
    }
  });
});
