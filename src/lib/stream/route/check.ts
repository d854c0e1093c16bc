import type { Problem } from '../../core/index.js';
import { AiotError } from '../../core/index.js';
import { decoderNames } from '../decode/index.js';
import { compileExpression } from '../expression/index.js';
import { requireScheme } from '../open.js';
import { parseStreamUrl } from '../url.js';
import { processorNamed } from './processors.js';
import type { RouteConfig } from './schema.js';

/** What one field of a route alone cannot tell: addresses, expressions, decoders and processors are tried. */
export function checkRoute(route: RouteConfig, path: PropertyKey[]): Problem[] {
  const problems: Problem[] = [];
  const attempt = (at: PropertyKey[], work: () => unknown) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      problems.push({ path: [...path, ...at], message: error.message });
    }
  };
  const address = (at: PropertyKey[], url: string, side: 'source' | 'sink') =>
    attempt(at, () => requireScheme(parseStreamUrl(url), side));
  const expression = (at: PropertyKey[], text: string | undefined) => {
    if (text !== undefined) attempt(at, () => compileExpression(text));
  };
  route.from.forEach((url, index) => {
    address(['from', index], url, 'source');
  });
  route.to.forEach((url, index) => {
    address(['to', index], url, 'sink');
  });
  if (route.onError.deadLetter !== undefined) {
    address(['onError', 'dead-letter'], route.onError.deadLetter, 'sink');
  }
  for (const field of ['where', 'map', 'topic', 'key'] as const) expression([field], route[field]);
  for (const [name, text] of Object.entries(route.headers)) expression(['headers', name], text);
  expression(['dedupe', 'key'], route.dedupe?.key);
  const { format } = route.decode;
  if (!(decoderNames as readonly string[]).includes(format)) {
    problems.push({
      path: [...path, 'decode'],
      message: `expected one of ${decoderNames.join(', ')}; got ${format}`,
    });
  }
  if (route.through) {
    const { processor } = route.through;
    attempt(['through'], () => processorNamed(processor));
  }
  if (route.each && route.map === undefined) {
    problems.push({
      path: [...path, 'each'],
      message: 'expected a map beside it, which gives the several messages',
    });
  }
  return problems;
}
