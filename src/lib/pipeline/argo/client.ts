import type { Agent, Dispatcher } from 'undici';
import * as z from 'zod';
import { AiotError, isUntrusted, systemCode, unless } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { parsedJson } from '../../core/text.js';
import type { WorkflowRef } from '../run/record.js';
import { type Workflow, workflowSchema } from './workflow.js';

/** Parameters of a workflow submission. */
interface Submission {
  labels: Record<string, string>;
  parameters: Record<string, string>;
}

/** Address and credentials of an Argo server. */
export interface ArgoAccess {
  /** https URL of the server; http is allowed on loopback only. */
  server: string;
  namespace: string;
  /** PEM file with the server's certificate or its CA's certificate; null = the system's CAs. */
  ca: string | null;
  /** Token of a service account (secret); absent if the server requires none. */
  token?: string;
}

/** Access to the server to which a run was submitted. */
export function accessOf({ server, namespace, ca }: WorkflowRef, token: string | undefined): ArgoAccess {
  return { server, namespace, ca, ...(token === undefined ? {} : { token }) };
}

/** The fields that identify a version of a WorkflowTemplate. */
const templateSchema = z.object({
  metadata: z.object({
    name: z.string(),
    resourceVersion: z.string().optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
});

export type FoundTemplate = z.output<typeof templateSchema>;

const eventSchema = z.union([
  z.object({ result: z.object({ type: z.string(), object: workflowSchema }) }),
  z.object({ error: z.object({ message: z.string().default(''), http_code: z.int().default(500) }) }),
]);

const logSchema = z.object({ result: z.object({ content: z.string(), podName: z.string() }) });
const errorSchema = z.object({ code: z.int(), message: z.string() });

/**
 * Size limit for a response and for a line in a stream, bytes. etcd stores at most 1.5 MB of a workflow; the server adds offloaded data.
 */
const largestAnswer = 32 * 1024 ** 2;

/** Maximum total size of a workflow's logs, bytes. */
const largestLogs = 64 * 1024 ** 2;

const connectMs = 10_000;
const answerMs = 30_000;

/** A watch that has received no events for this time is restarted, ms. */
const silenceMs = 60_000;

interface Call {
  body?: unknown;
  signal?: AbortSignal | undefined;
  stream?: boolean;
}

/** The parts of the REST API of Argo Workflows (3.6, 3.7 and 4.x) that a pipeline run needs. TLS certificates are always verified. */
export class ArgoClient {
  private agent: Promise<Agent> | undefined;
  private readonly origin: URL;

  /** @throws AIOT_USAGE for an invalid URL, or for a URL over which the token would be sent unencrypted */
  constructor(private readonly access: ArgoAccess) {
    const { server } = access;
    const url = URL.canParse(server) ? new URL(server) : null;
    const local = url?.protocol === 'http:' && isLoopback(url.hostname);
    if (!url || (url.protocol !== 'https:' && !local) || url.username !== '' || url.password !== '') {
      throw new AiotError(
        'AIOT_USAGE',
        'expected an Argo server URL without credentials, such as https://HOST:2746 (http:// is allowed only on this machine)',
      );
    }
    this.origin = url;
  }

  /** @throws AIOT_NOT_FOUND */
  async template(name: string): Promise<FoundTemplate> {
    return await this.json('GET', `workflow-templates/${this.at(name)}`, templateSchema);
  }

  /** Creates a template, or replaces the existing one (`before`). */
  async putTemplate(name: string, template: object, before: FoundTemplate | null): Promise<void> {
    const { namespace } = this.access;
    const { metadata } = template as { metadata: object };
    const resourceVersion = before?.metadata.resourceVersion;
    const sent = { ...template, metadata: { ...metadata, ...(resourceVersion ? { resourceVersion } : {}) } };
    const body = { namespace, template: sent };
    if (before) await this.json('PUT', `workflow-templates/${this.at(name)}`, templateSchema, { body });
    else
      await this.json('POST', `workflow-templates/${encodeURIComponent(namespace)}`, templateSchema, {
        body,
      });
  }

  /**
   * Submits a workflow under a given name, so that the workflow cannot exist twice. @throws AIOT_NOT_FOUND (no such template),
   * AIOT_ARGO_CONFLICT
   */
  async submit(template: string, name: string, more: Submission): Promise<Workflow> {
    const { namespace } = this.access;
    const pairs = (record: Record<string, string>) =>
      Object.entries(record).map(([key, value]) => `${key}=${value}`);
    const body = {
      ...{ namespace, resourceKind: 'WorkflowTemplate', resourceName: template },
      submitOptions: { name, labels: pairs(more.labels).join(','), parameters: pairs(more.parameters) },
    };
    const path = `workflows/${encodeURIComponent(namespace)}/submit`;
    return await this.json('POST', path, workflowSchema, { body });
  }

  /** @throws AIOT_NOT_FOUND */
  async workflow(name: string, signal?: AbortSignal): Promise<Workflow> {
    return await this.json('GET', `workflows/${this.at(name)}`, workflowSchema, { signal });
  }

  /**
   * Yields a workflow's states until the server or the network ends the watch. The end of a watch is not an error. `null` = the workflow
   * was deleted.
   */
  async *changes(name: string, signal: AbortSignal): AsyncGenerator<Workflow | null> {
    const selector = encodeURIComponent(`metadata.name=${name}`);
    const path = `workflow-events/${encodeURIComponent(this.access.namespace)}?listOptions.fieldSelector=${selector}`;
    for await (const value of this.stream(path, largestAnswer, signal)) {
      const event = this.checked(eventSchema, value, 'workflow-events');
      if ('error' in event) throw this.refused(event.error.http_code, event.error.message, 'workflow-events');
      yield event.result.type === 'DELETED' ? null : event.result.object;
    }
  }

  /** Yields the output of the steps' containers line by line, from pods that still exist. */
  async *log(name: string, signal: AbortSignal): AsyncGenerator<{ content: string; podName: string }> {
    const path = `workflows/${this.at(name)}/log?logOptions.container=main&logOptions.tailLines=2000`;
    let bytes = 0;
    for await (const value of this.stream(path, largestAnswer, signal)) {
      const line = logSchema.safeParse(value);
      if (!line.success) continue;
      bytes += line.data.result.content.length;
      if (bytes > largestLogs) return;
      yield line.data.result;
    }
  }

  async terminate(name: string): Promise<Workflow> {
    return await this.json('PUT', `workflows/${this.at(name)}/terminate`, workflowSchema, { body: {} });
  }

  /** Runs the steps that failed or were not run. */
  async retry(name: string): Promise<Workflow> {
    return await this.json('PUT', `workflows/${this.at(name)}/retry`, workflowSchema, { body: {} });
  }

  async close(): Promise<void> {
    await (await this.agent)?.destroy();
  }

  private at(name: string): string {
    return `${encodeURIComponent(this.access.namespace)}/${encodeURIComponent(name)}`;
  }

  private async json<T>(
    method: Dispatcher.HttpMethod,
    path: string,
    schema: z.ZodType<T>,
    call: Call = {},
  ): Promise<T> {
    const answer = await this.send(method, path, call);
    const text = await this.text(answer.body);
    return this.checked(schema, parsedJson(text), `${method} ${path}`);
  }

  private async *stream(path: string, most: number, signal: AbortSignal): AsyncGenerator<unknown> {
    const { body } = await this.send('GET', path, { signal, stream: true });
    try {
      yield* jsonLines(body, most);
    } catch (error) {
      if (error instanceof AiotError) throw error;
      signal.throwIfAborted();
      throw this.unreachable(error);
    }
  }

  private async send(method: Dispatcher.HttpMethod, path: string, { body, signal, stream }: Call) {
    const { request } = await import('undici');
    const { token } = this.access;
    const dispatcher = await this.pool();
    const answer = await request(new URL(`api/v1/${path}`, `${this.origin.origin}/`), {
      ...{ method, dispatcher, headersTimeout: answerMs, bodyTimeout: stream ? silenceMs : answerMs },
      headers: {
        accept: stream ? 'text/event-stream' : 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw this.unreachable(error);
    });
    if (answer.statusCode < 300) return answer;
    const said = errorSchema.safeParse(parsedJson(await this.text(answer.body)));
    const [what = ''] = path.split('?');
    throw this.refused(answer.statusCode, said.success ? said.data.message : '', `${method} ${what}`);
  }

  private pool(): Promise<Agent> {
    this.agent ??= (async () => {
      const { Agent } = await import('undici');
      const { ca } = this.access;
      const trusted = ca === null ? {} : { ca: await readText(ca) };
      return new Agent({ connections: 4, connect: { timeout: connectMs, ...trusted } });
    })();
    return this.agent;
  }

  private async text(body: AsyncIterable<Uint8Array>): Promise<string> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of body) {
        bytes += chunk.length;
        if (bytes > largestAnswer) throw this.unfit(`the response exceeds ${largestAnswer} bytes`);
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof AiotError) throw error;
      throw this.unreachable(error);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  private checked<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
    const read = schema.safeParse(value);
    if (read.success) return read.data;
    throw this.unfit(`${what}: ${issueText(read.error, 'body', value)}`);
  }

  private unfit(what: string): AiotError {
    const { origin: endpoint } = this.origin;
    return new AiotError('AIOT_ARGO_FAILED', `${endpoint} does not respond like an Argo server: ${what}`, {
      endpoint,
    });
  }

  private unreachable(cause: unknown): AiotError {
    const { origin: endpoint } = this.origin;
    const code = systemCode(cause) ?? 'unknown error';
    const untrusted = isUntrusted(code);
    return new AiotError(
      untrusted ? 'AIOT_PLATFORM_UNTRUSTED' : 'AIOT_ARGO_UNREACHABLE',
      `no response from ${endpoint} (${code})`,
      {
        ...{ cause, endpoint, retryable: !untrusted },
        ...(untrusted ? { next: 'Specify the CA of the server, or its own certificate: --ca FILE' } : {}),
      },
    );
  }

  private refused(status: number, message: string, what: string): AiotError {
    const { origin: endpoint } = this.origin;
    const said = message === '' ? '' : `: ${message.slice(0, 1000)}`;
    const told = `${endpoint} responded to ${what} with status ${status}${said}`;
    if (status === 401 || status === 403) return new AiotError('AIOT_ARGO_DENIED', told, { endpoint });
    if (status === 404) return new AiotError('AIOT_NOT_FOUND', told, { endpoint });
    if (status === 409) return new AiotError('AIOT_ARGO_CONFLICT', told, { endpoint });
    return new AiotError('AIOT_ARGO_FAILED', told, { endpoint, retryable: status === 429 || status >= 500 });
  }
}

/** The promise's value, or null if it rejects with AIOT_NOT_FOUND. */
export async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  return (await unless('AIOT_NOT_FOUND', promise)) ?? null;
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/i.test(host);
}

/**
 * Parses each line of a stream as JSON. Argo's server sends `data: {…}` separated by empty lines (server-sent events), or only the object.
 * Lines that are not JSON, such as comments and a truncated last line, are skipped.
 * @param most maximum length of a line, characters @throws AIOT_ARGO_FAILED
 */
async function* jsonLines(body: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  for await (const chunk of body) {
    const [first = '', ...more] = decoder.decode(chunk, { stream: true }).split('\n');
    parts.push(first);
    length += first.length;
    if (length > most)
      throw new AiotError('AIOT_ARGO_FAILED', `the server sent a line of more than ${most} characters`);
    for (const next of more) {
      const value = jsonIn(parts.join(''));
      if (value !== undefined) yield value;
      parts = [next];
      length = next.length;
    }
  }
  const value = jsonIn(parts.join(''));
  if (value !== undefined) yield value;
}

function jsonIn(line: string): unknown {
  const text = line.replace(/^data:/, '').trim();
  return text.startsWith('{') ? parsedJson(text) : undefined;
}
