import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { request } from 'undici';
import { expect, it } from 'vitest';
import { guideAgent } from '../../src/lib/api/guide/connect.js';
import { makeCertificates } from '../support/certificates.js';

it('the server’s fingerprint is checked on each connection, even if a TLS session is resumed', async () => {
  const certificates = await makeCertificates();
  const [key, cert] = [await certificates.read('server.key'), await certificates.read('server.crt')];
  const server = createServer({ key, cert }, (_request, answer) => {
    answer.setHeader('connection', 'close');
    answer.end('there');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const agent = await guideAgent({ fingerprint: new X509Certificate(cert).fingerprint256 });
  try {
    for (let i = 0; i < 3; i++) {
      const { body } = await request(`https://127.0.0.1:${port}/`, { dispatcher: agent });
      expect(await body.text()).toBe('there');
      // The TLS session ticket for the next connection arrives after the response.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    await agent.destroy();
    server.close();
    await certificates.remove();
  }
});
