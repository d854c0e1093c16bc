import type { Agent, Dispatcher } from 'undici';
import * as z from 'zod';
import { digestOf } from '../../core/crypto.js';
import { AiotError, isUntrusted, systemCode } from '../../core/errors.js';
import { httpAgent } from '../../core/http-agent.js';
import { parsedJson } from '../../core/text.js';
import { challengeOf, tokenRequest } from './auth.js';
import { credentialsFor, type OciCredentials } from './credentials.js';
import { type Descriptor, indexSchema, indexType, manifestTypes } from './manifest.js';
import { type OciReference, ociText } from './reference.js';

type Headers = Record<string, string | string[] | undefined>;

interface Answer {
  status: number;
  headers: Headers;
  body: Buffer;
}

interface Call {
  headers?: Record<string, string>;
  body?: Uint8Array | string;
  /** Maximum size of a body, bytes. */
  most?: number;
}

/**
 * Maximum size of a manifest. Registries must accept manifests up to this size (OCI Distribution Specification 1.1, "Pushing manifests").
 */
const largestManifest = 4 * 1024 ** 2;
const mostRedirects = 5;

/** One repository of an OCI registry (Distribution Specification 1.1). TLS is always verified. */
export class OciRepository {
  private authorization: string | undefined;
  private agent: Promise<Agent> | undefined;

  /** @param plainHttp whether to connect without TLS; as in other clients, connections to loopback addresses never use it */
  constructor(
    private readonly reference: OciReference,
    private readonly plainHttp = false,
    private readonly credentials: (host: string) => Promise<OciCredentials | null> = credentialsFor,
  ) {}

  /** Uploads a blob unless it exists. Resolves to whether it was uploaded. */
  async putBlob(content: Uint8Array): Promise<boolean> {
    const digest = digestOf(content);
    if ((await this.call('HEAD', `blobs/${digest}`)).status === 200) return false;
    const begun = await this.expect([202], 'POST', 'blobs/uploads/');
    const place = new URL(text(begun.headers.location), this.url('blobs/uploads/'));
    place.searchParams.set('digest', digest);
    await this.expect([201], 'PUT', place, {
      headers: { 'content-type': 'application/octet-stream' },
      body: content,
    });
    return true;
  }

  /** @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH */
  async blob({ digest, size }: Descriptor): Promise<Buffer> {
    const { body } = await this.expect([200], 'GET', `blobs/${digest}`, { most: size });
    return this.checked(body, digest);
  }

  /** @param at the manifest's tag or digest @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH */
  async manifest(at: string): Promise<{ content: Buffer; digest: string }> {
    const headers = { accept: manifestTypes.join(', ') };
    const { body } = await this.expect([200], 'GET', `manifests/${at}`, { headers, most: largestManifest });
    return { content: at.startsWith('sha256:') ? this.checked(body, at) : body, digest: digestOf(body) };
  }

  /**
   * Stores a manifest. Resolves to whether the registry lists it under its subject. If not, the caller must update the
   * fallback tag.
   */
  async putManifest(at: string, content: string, mediaType: string): Promise<{ listed: boolean }> {
    const sent = { headers: { 'content-type': mediaType }, body: content };
    const { headers } = await this.expect([201], 'PUT', `manifests/${at}`, sent);
    return { listed: headers['oci-subject'] !== undefined };
  }

  /** Manifests that refer to a manifest, from the referrers API or else from the specification's fallback tag. */
  async referrers(digest: string, artifactType: string): Promise<Descriptor[]> {
    const answer = await this.call('GET', `referrers/${digest}`, { most: largestManifest });
    const kept =
      answer.status === 200
        ? answer
        : await this.call('GET', `manifests/${fallbackTag(digest)}`, {
            headers: { accept: indexType },
            most: largestManifest,
          });
    if (kept.status === 404) return [];
    if (kept.status !== 200) throw this.refused(kept, 'GET referrers');
    const index = indexSchema.safeParse(parsedJson(kept.body));
    if (!index.success) throw this.malformed(`the list of referrers of ${digest}`);
    return index.data.manifests.filter((each) => each.artifactType === artifactType);
  }

  /** Adds a referrer to the list under the fallback tag, for registries without a referrers API. */
  async listReferrer(digest: string, referrer: Descriptor): Promise<void> {
    const at = fallbackTag(digest);
    const before = await this.call('GET', `manifests/${at}`, {
      headers: { accept: indexType },
      most: largestManifest,
    });
    if (before.status !== 200 && before.status !== 404) throw this.refused(before, 'GET manifests');
    const index = before.status === 404 ? undefined : indexSchema.safeParse(parsedJson(before.body));
    if (index && !index.success) throw this.malformed(`the tag ${at}`);
    const manifests = index?.data.manifests ?? [];
    if (manifests.some((each) => each.digest === referrer.digest)) return;
    const next = { schemaVersion: 2, mediaType: indexType, manifests: [...manifests, referrer] };
    await this.putManifest(at, JSON.stringify(next), indexType);
  }

  async close(): Promise<void> {
    await (await this.agent)?.destroy();
  }

  private get endpoint(): string {
    return `oci://${this.reference.host}`;
  }

  private url(path: string): URL {
    const { host, repository } = this.reference;
    const plain = this.plainHttp || isLoopback(host);
    return new URL(`${plain ? 'http' : 'https'}://${host}/v2/${repository}/${path}`);
  }

  private async expect(
    wanted: number[],
    method: Dispatcher.HttpMethod,
    at: string | URL,
    call: Call = {},
  ): Promise<Answer> {
    const answer = await this.call(method, at, call);
    if (wanted.includes(answer.status)) return answer;
    throw this.refused(answer, `${method} ${typeof at === 'string' ? at : 'upload'}`);
  }

  /** Sends a request, with the credentials that the registry requires, and follows redirects to the registry's storage. */
  private async call(method: Dispatcher.HttpMethod, at: string | URL, call: Call = {}): Promise<Answer> {
    const url = typeof at === 'string' ? this.url(at) : at;
    let answer = await this.send(method, url, call);
    if (answer.status === 401) {
      this.authorization = await this.authorize(answer.headers, method);
      if (this.authorization !== undefined) answer = await this.send(method, url, call);
    }
    for (let hops = 0; method === 'GET' && answer.status >= 300 && answer.status < 400; hops++) {
      const next = new URL(text(answer.headers.location), url);
      if (hops === mostRedirects || (next.protocol !== 'https:' && url.protocol === 'https:')) break;
      answer = await this.send(method, next, call);
    }
    return answer;
  }

  private async send(
    method: Dispatcher.HttpMethod,
    url: URL,
    { headers, body, most = 64 * 1024 }: Call,
  ): Promise<Answer> {
    const { request } = await import('undici');
    this.agent ??= httpAgent({ connections: 4, connect: { timeout: 10_000 } });
    // A registry's token must not be sent to the storage to which the registry redirects.
    const own = url.host === this.reference.host && this.authorization !== undefined;
    try {
      const answer = await request(url, {
        ...{ method, dispatcher: await this.agent, headersTimeout: 30_000, bodyTimeout: 30_000 },
        headers: { ...headers, ...(own ? { authorization: this.authorization! } : {}) },
        ...(body === undefined ? {} : { body }),
      });
      return { status: answer.statusCode, headers: answer.headers, body: await bounded(answer.body, most) };
    } catch (error) {
      if (error instanceof AiotError) throw error;
      const code = systemCode(error) ?? 'unknown error';
      const told = isUntrusted(code) ? 'AIOT_PLATFORM_UNTRUSTED' : 'AIOT_OCI_UNREACHABLE';
      throw new AiotError(told, `no response from ${url.origin} (${code})`, {
        cause: error,
        endpoint: url.origin,
        retryable: true,
        ...(isUntrusted(code) && {
          next: 'Check the address. To trust the CA of the registry, set NODE_EXTRA_CA_CERTS to its file.',
        }),
      });
    }
  }

  /** The Authorization header; undefined = no credentials are available, although the registry requires them. */
  private async authorize(headers: Headers, method: string): Promise<string | undefined> {
    const challenge = challengeOf(text(headers['www-authenticate']));
    const known = await this.credentials(this.reference.host);
    if (challenge.scheme === 'basic') {
      if (!known || !('username' in known)) return undefined;
      return basic(known);
    }
    const actions = method === 'GET' || method === 'HEAD' ? 'pull' : 'pull,push';
    const scope = challenge.scope ?? `repository:${this.reference.repository}:${actions}`;
    const { url, ...asked } = tokenRequest({ ...challenge, scope }, known);
    const before = this.authorization;
    this.authorization = undefined;
    const answer = await this.send(asked.method, url, asked).finally(() => {
      this.authorization = before;
    });
    if (answer.status !== 200) throw this.refused(answer, 'the token');
    const token = tokenSchema.safeParse(parsedJson(answer.body));
    const made = token.success ? (token.data.token ?? token.data.access_token) : undefined;
    if (made === undefined) throw this.malformed('its response to the token request');
    return `Bearer ${made}`;
  }

  private checked(content: Buffer, digest: string): Buffer {
    if (digestOf(content) === digest) return content;
    throw new AiotError('AIOT_DIGEST_MISMATCH', `expected ${digest}, got ${digestOf(content)}`, {
      endpoint: this.endpoint,
    });
  }

  private malformed(what: string): AiotError {
    return new AiotError(
      'AIOT_OCI_REFUSED',
      `${this.endpoint}: ${what} does not follow the OCI distribution specification`,
      {
        endpoint: this.endpoint,
      },
    );
  }

  private refused({ status, body }: Answer, what: string): AiotError {
    const errors = errorsSchema.safeParse(parsedJson(body));
    const said = errors.success
      ? `: ${errors.data.errors.map(({ code, message }) => `${code} ${message ?? ''}`.trim()).join(', ')}`
      : '';
    const shown = ociText(this.reference);
    if (status === 404)
      return new AiotError('AIOT_NOT_FOUND', `${shown} does not exist${said}`, {
        endpoint: this.endpoint,
        next: 'Check its tags in the registry.',
      });
    return new AiotError(
      'AIOT_OCI_REFUSED',
      `${this.endpoint} responded to ${what} with status ${status}${said}`,
      {
        endpoint: this.endpoint,
        retryable: status === 429 || status >= 500,
      },
    );
  }
}

const tokenSchema = z.looseObject({ token: z.string().optional(), access_token: z.string().optional() });
const errorsSchema = z.looseObject({
  errors: z.array(z.looseObject({ code: z.string(), message: z.string().optional() })).min(1),
});

/** The fallback tag for referrers (the specification's "Referrers Tag Schema"). */
function fallbackTag(digest: string): string {
  return digest.replace(':', '-');
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host);
}

function text(header: string | string[] | undefined): string {
  return Array.isArray(header) ? (header[0] ?? '') : (header ?? '');
}

async function bounded(body: AsyncIterable<Uint8Array>, most: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > most)
      throw new AiotError('AIOT_OCI_REFUSED', `expected a response of at most ${most} bytes, got more`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
