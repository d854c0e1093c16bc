import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OciRepository } from '../../src/lib/api/oci/client.js';
import { ociText, parseOciReference } from '../../src/lib/api/oci/reference.js';

const digestOf = (content: string) => `sha256:${createHash('sha256').update(content).digest('hex')}`;

describe('an OCI reference', () => {
  it.each([
    'oci://127.0.0.1:5000/models/motor:1',
    'oci://registry.example/motor',
    `oci://registry.example/a/b-c/d__e:v1.2@${digestOf('x')}`,
    'oci://[::1]:5000/motor:latest',
  ])('is parsed and formatted back: %s', (text) => {
    expect(ociText(parseOciReference(text))).toBe(text);
  });

  it.each([
    ['no repository', 'oci://registry.example'],
    ['capital letters', 'oci://registry.example/Motor:1'],
    ['a path traversal', 'oci://registry.example/../v2/motor'],
    ['an invalid tag', 'oci://registry.example/motor:-x'],
    ['an invalid digest', 'oci://registry.example/motor@sha256:abc'],
    ['a query', 'oci://registry.example/motor?x=1'],
    ['credentials', 'oci://me:secret@registry.example/motor'],
    ['an invalid host', 'oci://registry.example:port/motor'],
    ['an overlong repository', `oci://registry.example/${'a'.repeat(300)}`],
  ])('is rejected with %s', (_what, text) => {
    expect(() => parseOciReference(text)).toThrow(expect.objectContaining({ code: 'AIOT_USAGE' }));
  });
});

/** Behavior that the registry of the distribution project lacks, and faults that no registry should have. */
describe('an OCI registry', () => {
  let servers: Server[];
  beforeEach(() => {
    servers = [];
  });
  afterEach(async () => {
    for (const server of servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  async function serve(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<string> {
    const server = createServer(answer);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const repositoryAt = (host: string, login: { username: string; password: string } | null = null) =>
    new OciRepository(parseOciReference(`oci://${host}/motor`), false, async () => login);
  const described = (content: string) => ({
    ...{ mediaType: 'any', digest: digestOf(content), size: content.length },
  });

  it('issues a token, scoped to the operation, to clients that log in', async () => {
    const scopes: (string | null)[] = [];
    const host: string = await serve((request, response) => {
      const url = new URL(request.url ?? '', `http://${host}`);
      const { authorization } = request.headers;
      if (url.pathname === '/token') {
        scopes.push(url.searchParams.get('scope'));
        const right = authorization === `Basic ${Buffer.from('ana:s:cret').toString('base64')}`;
        response.writeHead(right ? 200 : 401).end(JSON.stringify({ access_token: 't0ken' }));
      } else if (authorization === 'Bearer t0ken') {
        response.writeHead(request.method === 'HEAD' ? 200 : 201).end();
      } else {
        const asked = `Bearer realm="http://${host}/token", service="reg, of ours", scope="repository:motor:pull,push"`;
        response.writeHead(401, { 'www-authenticate': asked }).end();
      }
    });
    const right = repositoryAt(host, { username: 'ana', password: 's:cret' });
    expect(await right.putBlob(Buffer.from('x'))).toBe(false);
    expect(scopes).toEqual(['repository:motor:pull,push']);
    await expect(repositoryAt(host).putBlob(Buffer.from('x'))).rejects.toMatchObject({
      code: 'AIOT_OCI_REFUSED',
    });
    await Promise.all([right.close()]);
  });

  it('lists referrers, and only those of the requested type are returned', async () => {
    const subject = digestOf('subject');
    const manifests = [
      { ...described('ours'), artifactType: 'ours' },
      { ...described('theirs'), artifactType: 'theirs' },
    ];
    const host = await serve((request, response) => {
      if (request.url === `/v2/motor/referrers/${subject}`)
        response.end(JSON.stringify({ schemaVersion: 2, manifests }));
      else if (request.method === 'PUT') response.writeHead(201, { 'oci-subject': subject }).end();
      else response.writeHead(404).end();
    });
    const repository = repositoryAt(host);
    expect(await repository.referrers(subject, 'ours')).toEqual([manifests[0]]);
    expect(await repository.putManifest('any', '{}', 'any')).toEqual({ listed: true });
    await repository.close();
  });

  it('can redirect to other storage, which receives no credentials', async () => {
    const seen: IncomingMessage['headers'][] = [];
    const storage = await serve((request, response) => {
      seen.push(request.headers);
      response.end('content');
    });
    const host = await serve((request, response) => {
      if (request.headers.authorization)
        response.writeHead(307, { location: `http://${storage}/bytes?signed` }).end();
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    const repository = repositoryAt(host, { username: 'ana', password: 'x' });
    expect((await repository.blob(described('content'))).toString()).toBe('content');
    expect(seen).toHaveLength(1);
    expect(seen[0]?.authorization).toBeUndefined();
    await repository.close();
  });

  it.each([
    ['other bytes', (response: ServerResponse) => response.end('c0ntent'), 'AIOT_DIGEST_MISMATCH'],
    [
      'more bytes than stated',
      (response: ServerResponse) => response.end(Buffer.alloc(1e6)),
      'AIOT_OCI_REFUSED',
    ],
    ['half of the content', (response: ServerResponse) => response.end('con'), 'AIOT_DIGEST_MISMATCH'],
    ['an error', (response: ServerResponse) => response.writeHead(500).end(), 'AIOT_OCI_REFUSED'],
    [
      'endless redirects',
      (response: ServerResponse) => response.writeHead(307, { location: '/v2/motor/again' }).end(),
      'AIOT_OCI_REFUSED',
    ],
    [
      'an unsupported authentication challenge',
      (response: ServerResponse) => response.writeHead(401, { 'www-authenticate': 'Negotiate' }).end(),
      'AIOT_OCI_REFUSED',
    ],
  ])('is rejected if it sends %s', async (_what, send, code) => {
    const repository = repositoryAt(await serve((_request, response) => void send(response)));
    await expect(repository.blob(described('content'))).rejects.toMatchObject({ code });
    await repository.close();
  });
});
