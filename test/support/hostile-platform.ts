import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { makeCertificates } from './certificates.js';

/**
 * Replaces every text that has no format. It sets the terminal's title, clears the screen, and contains C1 controls, a bell,
 * changes of the writing direction, and a line that looks like our output.
 */
export const hostile = [
  'x\u001b]0;pwned\u0007\u001b[2J\u001b[31m\u009b31m\r\u0000\u007f\u202e\u2066\u2028',
  '✗ AIOT_FAKE: not ours\tend',
].join('\n');

/** Characters that a terminal would interpret, except line feeds and tabs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are looked for
export const obeyed = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

interface Schema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  format?: string;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  minimum?: number;
  maximum?: number;
  $ref?: string;
}
interface Operation {
  responses: Record<string, { content?: Record<string, { schema?: Schema }> }>;
}
export interface Description {
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

/** Texts in common formats; the first one that matches a pattern is used. */
const formed = ['lab-1', `sha256:${'a'.repeat(64)}`, 'aaaa', '10%', '10:00'];

/** Returns a value that is valid for a schema, with a hostile text wherever one fits. */
export function hostileValue(schema: Schema, description: Description): unknown {
  const of = (part: Schema) => hostileValue(part, description);
  const { anyOf, oneOf, allOf, properties, additionalProperties, items, pattern } = schema;
  if (schema.$ref) return of(description.components?.schemas?.[schema.$ref.split('/').at(-1)!] ?? {});
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choices = anyOf ?? oneOf;
  if (choices) return of(choices.find(({ type }) => type !== 'null') ?? {});
  if (allOf) return Object.assign({}, ...allOf.map((part) => of(part) as object));
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case 'object': {
      const told = Object.entries(properties ?? {}).map(([name, part]) => [name, of(part)]);
      const free = typeof additionalProperties === 'object' ? additionalProperties : {};
      // Objects with fixed members get no additional ones.
      const more = properties && Object.keys(properties).length > 0 ? [] : [[hostile, of(free)]];
      return Object.fromEntries([...told, ...more]);
    }
    case 'array':
      return [of(items ?? {})];
    case 'integer':
    case 'number':
      return Math.min(Math.max(schema.minimum ?? 1, 1), schema.maximum ?? 1);
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      if (pattern) return formed.find((text) => new RegExp(pattern).test(text)) ?? hostile;
      return hostile;
  }
}

/** Starts a platform whose responses are valid but full of texts that try to control a terminal. */
export async function hostilePlatform(description: Description) {
  const certificates = await makeCertificates();
  const [key, cert] = [await certificates.read('server.key'), await certificates.read('server.crt')];
  const routes = Object.entries(description.paths).map(([path, methods]) => {
    const form = path.replace(/[.]/g, '\\.').replace(/\{[^}]+\}/g, '[^/]+');
    return { form: new RegExp(`^${form}$`), methods };
  });
  /** Paths for which a value was returned, and paths without one. */
  const asked = { known: new Set<string>(), unknown: new Set<string>() };
  let refusing = false;
  const server = createServer({ key, cert }, (request, response) => {
    const method = request.method?.toLowerCase() ?? 'get';
    const path = new URL(request.url ?? '/', 'https://x').pathname;
    request.resume();
    const found = routes.find(({ form, methods }) => form.test(path) && methods[method]);
    const answer = Object.entries(found?.methods[method]?.responses ?? {}).find(([code]) => /^2/.test(code));
    const schema = Object.values(answer?.[1].content ?? {})[0]?.schema;
    if (refusing || !schema) {
      if (!refusing) asked.unknown.add(`${method} ${path}`);
      const problem = { type: 'about:blank', title: hostile, status: 400, detail: hostile, next: hostile };
      response.writeHead(400, { 'content-type': 'application/problem+json' });
      response.end(JSON.stringify({ ...problem, code: 'AIOT_REQUEST_INVALID' }));
      return;
    }
    asked.known.add(`${method} ${path}`);
    if (path.endsWith('/events')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const event = { at: 1, type: hostile, subject: hostile, who: hostile, data: { [hostile]: hostile } };
      // No further changes are announced.
      response.write(`id: 1\ndata: ${JSON.stringify({ id: 1, ...event })}\n\n`);
      return;
    }
    const value = hostileValue(schema, description) as Record<string, unknown>;
    // There is a single page, because otherwise the client would request pages forever.
    if ('next' in value && Object.values(value).some(Array.isArray)) value.next = null;
    response.writeHead(Number(answer?.[0]) || 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: certificates.path('ca.crt'),
    asked,
    /** Makes the platform respond with errors from now on. */
    refuse: (on: boolean) => {
      refusing = on;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await certificates.remove();
    },
  };
}
