import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { parsedJson, printablePayload } from '../../core/text.js';
import type { Message } from '../message.js';
import { loadRoutes, type Variables } from './load.js';
import { processorNamed } from './processors.js';
import type { RouteCase } from './schema.js';
import { createTransform, type Made, topicAt } from './transform.js';
import { type Route, reasonOf } from './types.js';
import { stagesOf, windowsInMemory } from './window.js';

export const testedRoutesSchema = z.object({
  cases: z.array(
    z.object({
      route: z.string(),
      name: z.string(),
      passed: z.boolean(),
      /** The difference between the expectation and the result, such as `expected … got …`. */
      why: z.string().optional(),
    }),
  ),
  passed: z.int(),
  failed: z.int(),
  /** Names of the routes without a test case. */
  untested: z.array(z.string()),
});
export type TestedRoutes = z.output<typeof testedRoutesSchema>;

/**
 * Runs the test cases in a file of routes, without opening any connection, and compares payload, topic, key and headers of the results.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_ROUTE_INVALID
 */
export async function testRoutes(file: string, variables: Variables = {}): Promise<TestedRoutes> {
  const routes = await loadRoutes(file, variables);
  const cases: TestedRoutes['cases'] = [];
  for (const route of routes) {
    for (const one of route.tests) {
      const why = await tryCase(route, one);
      cases.push({
        route: route.name,
        name: one.name,
        passed: why === undefined,
        ...(why === undefined ? {} : { why }),
      });
    }
  }
  const failed = cases.filter(({ passed }) => !passed).length;
  return {
    cases,
    passed: cases.length - failed,
    failed,
    untested: routes.filter(({ tests }) => tests.length === 0).map(({ name }) => name),
  };
}

/** Runs one case. Returns the difference, or undefined if the case passes. */
async function tryCase(route: Route, one: RouteCase): Promise<string | undefined> {
  const processor = route.through
    ? await processorNamed(route.through.processor)(route.through.settings, {})
    : undefined;
  const { before, after } = route.window ? stagesOf(route) : { before: route, after: route };
  const transform = await createTransform(before, processor);
  const windows = route.window ? await windowsInMemory(route) : undefined;
  const afterWindows = route.window ? await createTransform(after) : undefined;
  const topicOf = topicAt(route.to[0] ?? '');
  const got: (Made & { sent: string })[] = [];
  try {
    const send = (made: Made) => got.push({ ...made, sent: made.topic ?? topicOf(made.of) });
    const sendResults = async (results: readonly Message[]) => {
      for (const result of results) for (const made of (await afterWindows?.(result)) ?? []) send(made);
    };
    for (const each of one.in) {
      for (const made of await transform(messageOf(each, route)))
        if (windows) await sendResults(await windows.add({ ...made.of, payload: made.payload }));
        else send(made);
    }
    // At the end of a case, all windows close.
    await sendResults(windows?.finish() ?? []);
  } catch (error) {
    const reason = reasonOf(error);
    if (one.error === undefined) return `expected no error, got ${reason}`;
    return reason.includes(one.error) ? undefined : `expected an error with "${one.error}", got ${reason}`;
  } finally {
    await processor?.close?.();
  }
  if (one.error !== undefined) return `expected an error with "${one.error}", got none`;
  if (got.length !== one.out.length) {
    const payloads = got.map(({ payload }) => printablePayload(payload)).join(' · ');
    return `expected ${one.out.length} out, got ${got.length}${payloads === '' ? '' : `: ${payloads}`}`;
  }
  for (const [index, expected] of one.out.entries()) {
    const made = got[index];
    const why = made && difference(expected, made);
    if (why) return one.out.length > 1 ? `message ${index + 1}: ${why}` : why;
  }
  return undefined;
}

function messageOf(given: RouteCase['in'][number], route: Route): Message {
  const { topic = 'test', key, headers, time = 0 } = given;
  return {
    topic,
    payload: payloadOf(given),
    time,
    source: route.from[0]?.replace(/^(\w+:\/\/)(?:[^@/]*@)?([^/?]*).*$/, '$1$2') ?? '',
    ...(key === undefined ? {} : { key: Buffer.from(key) }),
    ...(headers === undefined ? {} : { headers: Object.entries(headers) }),
  };
}

function payloadOf({ payload, hex }: { payload?: unknown; hex?: string | undefined }): Buffer {
  if (hex !== undefined) return Buffer.from(hex, 'hex');
  if (payload === undefined) return Buffer.alloc(0);
  return Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
}

function difference(expected: RouteCase['out'][number], made: Made & { sent: string }): string | undefined {
  const { topic, payload, hex, key, headers } = expected;
  if (topic !== undefined && topic !== made.sent) {
    return `topic: expected ${topic}, got ${made.sent === '' ? "the address's topic" : made.sent}`;
  }
  const gotKey = made.key && Buffer.from(made.key).toString();
  if (key !== undefined && key !== gotKey) return `key: expected ${key}, got ${gotKey ?? 'none'}`;
  for (const [name, value] of Object.entries(headers ?? {})) {
    const found = made.headers?.find(([had]) => had === name)?.[1];
    const text = found === undefined ? 'none' : Buffer.from(found as string).toString();
    if (text !== value) return `header ${name}: expected ${value}, got ${text}`;
  }
  if (payload === undefined && hex === undefined) return undefined;
  const bytes = Buffer.from(made.payload);
  if (bytes.equals(payloadOf(expected))) return undefined;
  // JSON is compared by value, regardless of white space.
  if (hex === undefined && typeof payload !== 'string' && isDeepStrictEqual(parsedJson(bytes), payload))
    return undefined;
  const shown = hex === undefined ? printablePayload(bytes) : bytes.toString('hex');
  return `payload: expected ${hex ?? (typeof payload === 'string' ? payload : JSON.stringify(payload))}, got ${shown}`;
}
