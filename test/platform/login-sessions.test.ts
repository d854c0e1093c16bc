import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { loginLinkSchema, loginSessionSchema } from '../../src/lib/api/contract/access.js';
import { runCli } from '../support/cli.js';
import { testPlatform } from '../support/platform.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';
import { testLoginSessions } from './login-sessions-suite.js';

describe('logins on one platform', () => {
  testLoginSessions(async () => {
    const { platform, client, ca, folder, stop } = await testPlatform();
    return { first: platform.urls.http, second: platform.urls.http, client, ca, folder, stop };
  });
});

describe('aiot session', () => {
  let own: UpForTests;
  let agent: Agent;
  beforeAll(async () => {
    own = await upForTests();
    agent = new Agent({ connect: { ca: readFileSync(own.ca, 'utf8') } });
  });
  afterAll(async () => {
    await agent.close();
    await own.stop();
  });

  it('lists a login by a link, and ends it', async () => {
    expect((await runCli(['session', 'list'])).stdout).toContain('No logins.');
    const { url } = await ok(loginLinkSchema, ['dashboard']);
    const { statusCode, body } = await request(`${own.url}/api/v1/session`, {
      ...{ method: 'POST', dispatcher: agent, headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ code: url.split('/').at(-1) }),
    });
    await body.dump();
    expect(statusCode).toBe(200);
    const [session] = await ok(z.array(loginSessionSchema), ['session', 'list']);
    expect(session).toMatchObject({ kind: 'dashboard', method: 'link', owner: null, current: false });
    const { stdout } = await runCli(['session', 'list']);
    expect(stdout).toMatch(/^ses_[0-9a-f]{12} +dashboard +operator token +operator +all +127\.0\.0\.1/m);
    expect(stdout).toContain('aiot session revoke ID');
    const id = session?.id ?? '';
    // Without a terminal, the command does not ask.
    expect((await runCli(['session', 'revoke', id])).code).toBe(2);
    expect(await ok(loginSessionSchema, ['session', 'revoke', id, '--yes'])).toMatchObject({ id });
    expect(await ok(z.array(loginSessionSchema), ['session', 'list'])).toEqual([]);
    const gone = await runCli(['session', 'revoke', id, '--yes']);
    expect(gone.code).toBe(4);
    expect(gone.stderr).toContain('aiot session list');
    const { stdout: audit } = await runCli(['audit', 'list', '--type', 'session.revoke']);
    expect(audit).toContain(id);
  });
});
