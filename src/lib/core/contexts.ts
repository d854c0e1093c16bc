import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from './errors.js';
import { makeFolder, readBytes, readJson, writeJsonAtomic } from './files.js';
import { configFolder } from './folders.js';
import { issueText } from './issues.js';
import { withLock } from './lock.js';
import { namePattern } from './names.js';
import { didYouMean } from './text.js';

/** A context leads to this project's platform, or to an installation of the guide's services. */
export const contextKinds = ['platform', 'architects-guide'] as const;

export type ContextKind = (typeof contextKinds)[number];

/** One platform, as this user reaches it. */
export const contextSchema = z.strictObject({
  /** Absent = a platform of this project. */
  kind: z.enum(contextKinds).optional(),
  /** https URL of the API. */
  url: z.url(),
  /** mqtts URL of the broker. */
  mqtt: z.url().optional(),
  /** mqtt URL of its plain listener, where `aiot up --plain` has one. */
  plain: z.url().optional(),
  /** PEM file of the CA that signed the server's certificate. */
  ca: z.string().optional(),
  /** SHA-256 of the only certificate that is taken, 64 hex digits (the guide's installations). */
  fingerprint: z.string().optional(),
  /** Operator token (secret). */
  token: z.string().optional(),
});

export type PlatformContext = z.output<typeof contextSchema>;

const fileSchema = z.strictObject({
  current: z.string().optional(),
  contexts: z.record(z.string().regex(namePattern), contextSchema),
});

export type Contexts = z.output<typeof fileSchema>;

function contextsFile(folder: string): string {
  return join(folder, 'contexts.json');
}

/** The user's contexts; none yet is an empty set. @throws AIOT_FILE_MALFORMED */
export async function readContexts(folder = configFolder()): Promise<Contexts> {
  const path = contextsFile(folder);
  const value = (await unless('AIOT_FILE_NOT_FOUND', readJson(path))) ?? { contexts: {} };
  const result = fileSchema.safeParse(value);
  if (result.success) return result.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${path}: ${issueText(result.error, 'the file')}`, {
    next: `Mend or delete ${path}; aiot context add makes it again.`,
  });
}

/** Mode 0600 in a folder of mode 0700: it holds tokens. */
export async function writeContexts(contexts: Contexts, folder = configFolder()): Promise<void> {
  await makeFolder(folder, 0o700);
  await writeJsonAtomic(contextsFile(folder), contexts, 0o600);
}

/** Variables that describe a platform without a context. */
const variables = ['AIOT_URL', 'AIOT_TOKEN', 'AIOT_CA', 'AIOT_MQTT'] as const;

/** A platform that commands talk to. */
export interface ChosenContext extends PlatformContext {
  /** The context's; that of AIOT_URL is called by its host, such as `lab.example-8443`. */
  name: string;
  kind: ContextKind;
  /** Why this one: named by the caller, AIOT_URL, or the context in use. */
  from: 'name' | 'environment' | 'current';
  /** The user's other contexts. */
  others: string[];
}

/**
 * The platform that a command talks to: the named context (AIOT_CONTEXT names one, too), else the one that AIOT_URL describes (with AIOT_TOKEN, AIOT_CA and AIOT_MQTT),
 * else the context in use. AIOT_TOKEN without AIOT_URL replaces the token of the context in use.
 * @returns null where nothing is named, in the environment or in use
 * @throws AIOT_CONTEXT_NOT_FOUND, AIOT_USAGE (AIOT_URL or AIOT_MQTT is malformed), AIOT_FILE_MALFORMED
 */
export async function chosenContext(
  given?: string,
  env: Record<string, string | undefined> = process.env,
): Promise<ChosenContext | null> {
  const name = given ?? (env.AIOT_CONTEXT || undefined);
  const { current, contexts } = await readContexts(configFolder(env));
  const names = Object.keys(contexts);
  const othersOf = (chosen: string) => names.filter((other) => other !== chosen);
  const unnamed = contextOfEnvironment(contexts, env);
  // Callers pass the name on that they were given here, so the name of this one means this one.
  if (unnamed && (name ?? unnamed.name) === unnamed.name)
    return { ...unnamed, from: 'environment', others: othersOf(unnamed.name) };
  const wanted = name ?? current;
  if (wanted === undefined) return null;
  const context = Object.hasOwn(contexts, wanted) ? contexts[wanted] : undefined;
  if (!context)
    throw new AiotError(
      'AIOT_CONTEXT_NOT_FOUND',
      `no context is named ${wanted}${didYouMean(wanted, names)}`,
      {
        next: names.length > 0 ? `aiot context use NAME, or --context NAME: ${names.join(', ')}` : 'aiot up',
      },
    );
  const token = wanted === current && !env.AIOT_URL ? env.AIOT_TOKEN : undefined;
  return {
    ...context,
    ...(token ? { token } : {}),
    name: wanted,
    kind: context.kind ?? 'platform',
    from: name === undefined ? 'current' : 'name',
    others: othersOf(wanted),
  };
}

/** A context of the same URL lends its name, and what the environment does not say. */
function contextOfEnvironment(
  contexts: Contexts['contexts'],
  env: Record<string, string | undefined>,
): (PlatformContext & Pick<ChosenContext, 'name' | 'kind'>) | undefined {
  const [address, token, ca, mqtt] = variables.map((variable) => env[variable]);
  if (!address) return undefined;
  const url = platformUrl(address, 'https:', 'AIOT_URL');
  const [name, same] = Object.entries(contexts).find(([, context]) => context.url === url.origin) ?? [];
  return {
    ...same,
    name: name ?? url.host.replace(/[^\w.-]+/g, '-').replace(/^-|-$/g, ''),
    kind: same?.kind ?? 'platform',
    url: url.origin,
    ...(token ? { token } : {}),
    ...(ca ? { ca } : {}),
    ...(mqtt ? { mqtt: platformUrl(mqtt, 'mqtts:', 'AIOT_MQTT').href } : {}),
  };
}

/**
 * A platform's URL as a person typed it, without a name and password in it.
 * @param source variable that it comes from; undefined = a flag
 * @throws AIOT_USAGE
 */
function platformUrl(text: string, protocol: 'https:' | 'mqtts:', source?: string): URL {
  const prefix = source === undefined ? '' : `${source}: `;
  const shown = text.replace(/\/\/[^/@]*@/, '//…@');
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== protocol || url.hostname === '')
    throw new AiotError(
      'AIOT_USAGE',
      `${prefix}expected a URL such as ${protocol}//host:port; got ${shown}`,
      source === undefined ? {} : { next: `Set ${source} to such a URL, or unset it to use a context.` },
    );
  if (url.username || url.password) {
    throw new AiotError('AIOT_USAGE', `${prefix}expected ${shown} without a name and password in it`, {
      next: source === undefined ? 'Give the token with --token-file.' : 'Give the token in AIOT_TOKEN.',
    });
  }
  return url;
}

/** Data folder of a platform on this machine, where `aiot up` keeps its CA as pki/ca.crt; a copied CA of another machine has none. */
export function platformFolderOfCa(ca: string | undefined): string | undefined {
  return ca?.match(/^(.+)[/\\]pki[/\\]ca\.crt$/)?.[1];
}

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

function showContext(name: string, context: PlatformContext, current: boolean): ShownContext {
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
