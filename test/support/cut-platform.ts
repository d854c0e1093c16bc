import { once } from 'node:events';
import { createServer } from 'node:https';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { makeCertificates } from './certificates.js';

/** Calls `use` with a client whose platform disconnects in the middle of each response. */
export async function withCutPlatform(use: (client: RegistryClient) => Promise<void>): Promise<void> {
  const certificates = await makeCertificates();
  const [key, cert] = [await certificates.read('server.key'), await certificates.read('server.crt')];
  const server = createServer({ key, cert }, (_request, answer) => {
    answer.write(Buffer.alloc(100_000));
    setTimeout(() => answer.destroy(), 50);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = createClient({ url: `https://127.0.0.1:${port}`, ca: await certificates.read('ca.crt') });
  try {
    await use(client);
  } finally {
    await client.close();
    server.close();
    await certificates.remove();
  }
}
