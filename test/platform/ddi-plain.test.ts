import { afterAll, beforeAll, expect, it } from 'vitest';
import { anyBundle, ddiClient, pushBundle, rollOut } from '../support/ddi.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { rolloutEnd } from '../support/rollout.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform({ ddiPort: 0 });
});
afterAll(() => own.stop());

// biome-ignore lint/suspicious/noExplicitAny: only the assertions know the members of hawkBit's responses
const json = (answer: Response): Promise<any> => answer.json();
const plain = () => own.platform.urls.ddi ?? '';

it('a client without TLS is updated', async () => {
  const device = await ddiClient(own, 'zephyr-1', 'zephyr');
  const content = anyBundle('plain');
  const rollout = await rollOut(own, await pushBundle(own, 'plain', content, ['zephyr']), 'name=zephyr-1');
  const headers = { authorization: `TargetToken ${device.secret}` };
  const base = `${plain()}/default/controller/v1/zephyr-1`;
  const poll = await json(await fetch(base, { headers }));
  const action: string = poll._links.deploymentBase.href;
  expect(action).toMatch(new RegExp(`^${plain()}/DEFAULT/controller/v1/zephyr-1/deploymentBase/\\d+$`));
  const { deployment } = await json(await fetch(action, { headers }));
  const file: string = deployment.chunks[0].artifacts[0]._links['download-http'].href;
  expect(Buffer.from(await (await fetch(file, { headers })).arrayBuffer())).toEqual(content);
  const status = { execution: 'closed', result: { finished: 'success' }, details: [] };
  const said = await fetch(`${action}/feedback`, {
    ...{ method: 'POST', body: JSON.stringify({ id: 'x', status }) },
    headers: { ...headers, 'content-type': 'application/json' },
  });
  expect(said.status).toBe(200);
  expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({ state: 'done' });
});

it.each([
  '/api/v1/status',
  '/healthz',
  '/openapi.json',
  '/default/controller/v1/../../../api/v1/status',
  '/',
])('the listener without TLS exposes nothing else of the API: %s', async (path) => {
  const answer = await fetch(`${plain()}${path}`, { headers: { authorization: `Bearer ${own.token}` } });
  expect(answer.status).toBe(404);
});

it('the listener without TLS rejects clients without a valid token', async () => {
  await ddiClient(own, 'shut');
  for (const authorization of ['TargetToken wrong', `Bearer ${own.token}`, '']) {
    const headers = authorization === '' ? undefined : { authorization };
    const answer = await fetch(`${plain()}/default/controller/v1/shut`, headers && { headers });
    expect(answer.status).toBe(401);
  }
});

it('the status warns about update clients without TLS', async () => {
  const { warnings, urls } = await own.client.status();
  expect(urls.ddi).toBe(plain());
  expect(warnings.map(({ message }) => message)).toContain(
    `${plain()} accepts update clients without TLS: anyone on the network can read their tokens`,
  );
});
