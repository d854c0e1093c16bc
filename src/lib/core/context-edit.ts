import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import {
  type ContextKind,
  type Contexts,
  contextKinds,
  type PlatformContext,
  platformUrl,
  readContexts,
  writeContexts,
} from './contexts.js';
import { AiotError } from './errors/index.js';
import { readBytes } from './files.js';
import { configFolder } from './folders.js';
import { namePattern } from './ids.js';
import { withLock } from './lock.js';
import { didYouMean } from './nearest.js';

/** A context as it may be shown: its token stays out. */
export const shownContextSchema = z.object({
  name: z.string(),
  kind: z.enum(contextKinds),
  url: z.string(),
  mqtt: z.string().nullable(),
  /** Certificate file of the platform's CA; null = the system's CAs. */
  ca: z.string().nullable(),
  /** Whether there is a token. */
  token: z.boolean(),
  /** Whether commands use it unless told otherwise. */
  current: z.boolean(),
});
export type ShownContext = z.output<typeof shownContextSchema>;

export function showContext(name: string, context: PlatformContext, current: boolean): ShownContext {
  const { kind = 'platform', url, mqtt = null, ca = null, token } = context;
  return { name, kind, url, mqtt, ca, token: token !== undefined, current };
}

/** Sorted by name. @throws AIOT_FILE_MALFORMED */
export async function listContexts(folder?: string): Promise<ShownContext[]> {
  const { current, contexts } = await readContexts(folder);
  return Object.entries(contexts)
    .sort(([a], [b]) => a.localeCompare(b, 'en'))
    .map(([name, context]) => showContext(name, context, name === current));
}

export interface AddOptions {
  /** Make it the one in use, though another is; the first is in any case. */
  use?: boolean;
  /** Overwrite one of the same name. */
  replace?: boolean;
  folder?: string;
}

/** @throws AIOT_USAGE (name), AIOT_CONTEXT_EXISTS, AIOT_FILE_NOT_WRITABLE */
export async function addContext(
  name: string,
  context: PlatformContext,
  options: AddOptions = {},
): Promise<ShownContext> {
  if (!namePattern.test(name)) {
    throw new AiotError(
      'AIOT_USAGE',
      `expected a name of letters, digits, dot, dash or underscore, at most 64; got "${name}"`,
    );
  }
  return editing(options.folder, async () => add(name, context, options));
}

async function add(name: string, context: PlatformContext, options: AddOptions): Promise<ShownContext> {
  const { current, contexts } = await readContexts(options.folder);
  const before = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (before && !options.replace) {
    throw new AiotError('AIOT_CONTEXT_EXISTS', `there is a context ${name} already, for ${before.url}`, {
      next: `aiot context add ${name} --replace …, or choose another name.`,
    });
  }
  const used = options.use || current === undefined ? name : current;
  await writeContexts({ current: used, contexts: { ...contexts, [name]: context } }, options.folder);
  return showContext(name, context, used === name);
}

/** @throws AIOT_CONTEXT_NOT_FOUND */
export async function useContext(name: string, folder?: string): Promise<ShownContext> {
  return editing(folder, async () => {
    const { contexts } = await readContexts(folder);
    const context = known(contexts, name);
    await writeContexts({ current: name, contexts }, folder);
    return showContext(name, context, true);
  });
}

/**
 * Forgets a platform, its token with it. When it was the one in use, none is in use then: which other platform gets the
 * next command is not to be guessed. Returns the one in use. @throws AIOT_CONTEXT_NOT_FOUND
 */
export async function removeContext(name: string, folder?: string): Promise<string | null> {
  return editing(folder, async () => {
    const { current, contexts } = await readContexts(folder);
    known(contexts, name);
    const { [name]: _removed, ...rest } = contexts;
    const used = current === name ? undefined : current;
    await writeContexts({ ...(used === undefined ? {} : { current: used }), contexts: rest }, folder);
    return used ?? null;
  });
}

/** One at a time: what two read at once, the second to write would undo for the first, tokens with it. */
function editing<T>(folder: string | undefined, edit: () => Promise<T>): Promise<T> {
  return withLock(join(folder ?? configFolder(), 'contexts.lock'), 10_000, edit);
}

function known(contexts: Contexts['contexts'], name: string): PlatformContext {
  const context = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (context) return context;
  const names = Object.keys(contexts);
  throw new AiotError('AIOT_CONTEXT_NOT_FOUND', `no context is named ${name}${didYouMean(name, names)}`, {
    next:
      names.length > 0
        ? `aiot context list: there is ${names.join(', ')}.`
        : 'aiot context add NAME --url URL',
  });
}

/**
 * A context as a person typed it, checked before anything is written: https and mqtts URLs without credentials, and a CA
 * file that holds a certificate.
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function checkContext(typed: {
  url: string;
  mqtt?: string | undefined;
  ca?: string | undefined;
  token?: string | undefined;
  kind?: ContextKind | undefined;
  fingerprint?: string | undefined;
}): Promise<PlatformContext> {
  const { url, mqtt, ca, token, kind = 'platform', fingerprint } = typed;
  checkKind(kind, { mqtt, token, fingerprint });
  if (ca !== undefined) {
    const pem = await readBytes(ca);
    try {
      new X509Certificate(pem);
    } catch (error) {
      throw new AiotError('AIOT_FILE_MALFORMED', `${ca}: expected a PEM certificate`, { cause: error });
    }
  }
  return {
    ...(kind === 'platform' ? {} : { kind }),
    url: platformUrl(url, 'https:').origin,
    ...(mqtt === undefined ? {} : { mqtt: platformUrl(mqtt, 'mqtts:').href }),
    ...(ca === undefined ? {} : { ca }),
    ...(fingerprint === undefined ? {} : { fingerprint: checkFingerprint(fingerprint) }),
    ...(token === undefined ? {} : { token }),
  };
}

/** Each kind has its own ways of being known. @throws AIOT_USAGE */
function checkKind(
  kind: ContextKind,
  typed: { mqtt?: string | undefined; token?: string | undefined; fingerprint?: string | undefined },
): void {
  if (kind === 'platform') {
    if (typed.fingerprint === undefined) return;
    throw new AiotError(
      'AIOT_USAGE',
      '--fingerprint is for --kind architects-guide; a platform is known by its CA: --ca FILE',
    );
  }
  const [what] = [typed.mqtt && '--mqtt', typed.token && 'a token'].filter(Boolean);
  if (what === undefined) return;
  throw new AiotError('AIOT_USAGE', `an installation of the guide has no use for ${what}: it knows nobody`);
}

/** As OpenSSL and browsers show it, with or without colons. @throws AIOT_USAGE */
function checkFingerprint(text: string): string {
  const fingerprint = text
    .replace(/^sha-?256[:=]/i, '')
    .replaceAll(':', '')
    .toLowerCase();
  if (/^[0-9a-f]{64}$/.test(fingerprint)) return fingerprint;
  throw new AiotError('AIOT_USAGE', `expected a SHA-256 fingerprint of 64 hex digits, got ${text}`);
}
