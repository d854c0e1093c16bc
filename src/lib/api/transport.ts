import type { Readable } from 'node:stream';
import type { Agent, Dispatcher } from 'undici';
import type { ZodType } from 'zod';
import type { ErrorCode } from '../core/catalogue.js';
import { AiotError } from '../core/errors.js';
import { httpAgent } from '../core/http-agent.js';
import { issueText } from '../core/issues.js';
import { errorOfAnswer, errorOfTransport, withAdvice } from './errors.js';

export interface ClientOptions {
  /** https URL of the platform, without a path. */
  url: string;
  /** PEM of the CA that signed the server's certificate; absent = the system's CAs. */
  ca?: string;
  /** Operator token. */
  token?: string;
  /** A device's certificate and private key, PEM. */
  cert?: string;
  key?: string;
  /** Next steps by error code, in place of the catalogue's next steps. */
  advice?: Advice;
}

export type Advice = Partial<Record<ErrorCode, string>>;

export interface CallOptions {
  body?: Uint8Array | Readable | string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Maximum pause while the response body arrives, ms. */
  bodyTimeoutMs?: number;
  /** Maximum time until the response begins, ms. */
  headersTimeoutMs?: number;
  /** Path of the API on the platform [default: /api/v1]. */
  api?: string;
  /** Converts the body of a failure with a form of its own. */
  errorOf?: (body: string, endpoint: string) => AiotError | undefined;
}

const prefix = '/api/v1';

/** A pool of HTTPS connections to one platform. Certificates are always verified. */
export class Transport {
  private agent: Promise<Agent> | undefined;

  constructor(private readonly options: ClientOptions) {
    if (!URL.canParse(options.url) || new URL(options.url).protocol !== 'https:') {
      throw new AiotError('AIOT_USAGE', `expected the platform's URL to be https://…, got ${options.url}`);
    }
  }

  get url(): string {
    return new URL(this.options.url).origin;
  }

  /** Sends one request. Responses outside 2xx are thrown. @throws AiotError */
  async call(method: Dispatcher.HttpMethod, path: string, options: CallOptions = {}) {
    const { request } = await import('undici');
    const { token } = this.options;
    try {
      const answer = await request(`${this.url}${options.api ?? prefix}${path}`, {
        method,
        dispatcher: await this.pool(),
        headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...options.headers },
        ...(options.body === undefined ? {} : { body: options.body }),
        ...(options.signal ? { signal: options.signal } : {}),
        headersTimeout: options.headersTimeoutMs ?? 30_000,
        bodyTimeout: options.bodyTimeoutMs ?? 30_000,
      });
      if (answer.statusCode < 300) return answer;
      const { statusCode, headers } = answer;
      const body = await answer.body.text();
      throw (
        options.errorOf?.(body, this.url) ?? errorOfAnswer(statusCode, body, this.url, headers['retry-after'])
      );
    } catch (error) {
      options.signal?.throwIfAborted();
      throw withAdvice(errorOfTransport(error, this.url), this.options.advice);
    }
  }

  /** Sends a request with a JSON body and validates the JSON response. @throws AIOT_PLATFORM_FAILED if the response does not match */
  async json<T>(
    method: Dispatcher.HttpMethod,
    path: string,
    schema: ZodType<T>,
    body?: unknown,
    options: Pick<CallOptions, 'api' | 'errorOf'> = {},
  ): Promise<T> {
    const accept = { accept: 'application/json' };
    const sent =
      body === undefined
        ? { headers: accept }
        : { body: JSON.stringify(body), headers: { ...accept, 'content-type': 'application/json' } };
    const answer = await this.call(method, path, { ...sent, ...options });
    const value = await answer.body.json().catch((error: unknown) => {
      throw errorOfTransport(error, this.url);
    });
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new AiotError(
      'AIOT_PLATFORM_FAILED',
      `${method} ${path}: unexpected response: ${issueText(parsed.error, 'body', value)}`,
      { endpoint: this.url, next: 'Use the same version of aiot on this machine and on the platform.' },
    );
  }

  async close(): Promise<void> {
    const agent = await this.agent;
    this.agent = undefined;
    await agent?.destroy();
  }

  private pool(): Promise<Agent> {
    const { ca, cert, key } = this.options;
    this.agent ??= httpAgent({
      connections: 8,
      connect: { timeout: 10_000, ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}) },
    });
    return this.agent;
  }
}
