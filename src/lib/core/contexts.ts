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

/** A context points to a platform of this project or to an installation of the guide's services. */
export const contextKinds = ['platform', 'architects-guide'] as const;

export type ContextKind = (typeof contextKinds)[number];

/** A platform, and this user's settings for connecting to it. */
export const contextSchema = z.strictObject({
  /** Kind of the context; absent = a platform of this project. */
  kind: z.enum(contextKinds).optional(),
  /** https URL of the API. */
  url: z.url(),
  /** mqtts URL of the broker. */
  mqtt: z.url().optional(),
  /** mqtt URL of the broker's plaintext listener, if `aiot up --plain` provides one. */
  plain: z.url().optional(),
  /** PEM file of the CA that signed the server's certificate. */
  ca: z.string().optional(),
  /** SHA-256 of the only accepted certificate, 64 hex digits (the guide's installations). */
  fingerprint: z.string().optional(),
  /** Operator token (secret). */
  token: z.string().optional(),
  /** Whether the token is from `aiot login`, or absent after `aiot logout`. */
  login: z.boolean().optional(),
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

/** Reads the user's contexts. Returns an empty set if there are none yet. @throws AIOT_FILE_MALFORMED */
export async function readContexts(folder = configFolder()): Promise<Contexts> {
  const path = contextsFile(folder);
  const value = (await unless('AIOT_FILE_NOT_FOUND', readJson(path))) ?? { contexts: {} };
  const result = fileSchema.safeParse(value);
  if (result.success) return result.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${path}: ${issueText(result.error, 'the file')}`, {
    next: `Correct or delete ${path}. \`aiot context add\` creates it again.`,
  });
}

/** Writes the contexts with mode 0600 in a folder of mode 0700, because the file contains tokens. */
export async function writeContexts(contexts: Contexts, folder = configFolder()): Promise<void> {
  await makeFolder(folder, 0o700);
  await writeJsonAtomic(contextsFile(folder), contexts, 0o600);
}

/** Environment variables that describe a platform without a context. */
const variables = ['AIOT_URL', 'AIOT_TOKEN', 'AIOT_CA', 'AIOT_MQTT'] as const;

/** The platform that a command uses. */
export interface ChosenContext extends PlatformContext {
  /** Name of the context; a platform given by AIOT_URL is named after its host, such as `lab.example-8443`. */
  name: string;
  kind: ContextKind;
  /** How the platform was chosen: by name (from the caller or AIOT_CONTEXT), by AIOT_URL, or as the current context. */
  from: 'name' | 'environment' | 'current';
  /** Names of the user's other contexts. */
  others: string[];
}

/**
 * The platform that a command uses: the named context, else the platform that AIOT_URL describes (with AIOT_TOKEN, AIOT_CA and AIOT_MQTT),
 * else the current context. AIOT_CONTEXT can also name a context. AIOT_TOKEN without AIOT_URL overrides the token of the current context.
 * @returns null if no platform is named, set in the environment, or current
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
  // Callers may pass a name that this function returned earlier, so the name of the environment's platform selects that platform
  // again.
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
        next:
          names.length > 0
            ? `Choose one with \`aiot context use NAME\` or --context NAME: ${names.join(', ')}.`
            : 'To start a platform, run `aiot up`.',
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

/**
 * The platform that AIOT_URL describes. A context with the same URL provides its name, and all values that the environment does not set.
 */
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
 * Checks a platform's URL that a person typed, which must not contain credentials.
 * @param source the variable that contains the URL; undefined = a flag
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
    throw new AiotError('AIOT_USAGE', `${prefix}expected ${shown} without a user name or password`, {
      next:
        source === undefined ? 'Provide the token with --token-file.' : 'Provide the token in AIOT_TOKEN.',
    });
  }
  return url;
}

/**
 * Data folder of a platform on this machine, derived from the path of its CA file, which `aiot up` stores there as pki/ca.crt. Undefined
 * for a CA that was copied from another machine.
 */
export function platformFolderOfCa(ca: string | undefined): string | undefined {
  return ca?.match(/^(.+)[/\\]pki[/\\]ca\.crt$/)?.[1];
}

/** A context without its token, so that it can be displayed. */
export const shownContextSchema = z.object({
  name: z.string(),
  kind: z.enum(contextKinds),
  url: z.string(),
  mqtt: z.string().nullable(),
  /** Certificate file of the platform's CA; null = the system's CAs. */
  ca: z.string().nullable(),
  /** Whether there is a token. */
  token: z.boolean(),
  /** Whether commands use this context by default. */
  current: z.boolean(),
});

export type ShownContext = z.output<typeof shownContextSchema>;

function showContext(name: string, context: PlatformContext, current: boolean): ShownContext {
  const { kind = 'platform', url, mqtt = null, ca = null, token } = context;
  return { name, kind, url, mqtt, ca, token: token !== undefined, current };
}

/** Lists all contexts, sorted by name. @throws AIOT_FILE_MALFORMED */
export async function listContexts(folder?: string): Promise<ShownContext[]> {
  const { current, contexts } = await readContexts(folder);
  return Object.entries(contexts)
    .sort(([a], [b]) => a.localeCompare(b, 'en'))
    .map(([name, context]) => showContext(name, context, name === current));
}

export interface AddOptions {
  /** Whether to make the context current even if another one is. The first context always becomes current. */
  use?: boolean;
  /** Whether to overwrite a context of the same name. */
  replace?: boolean;
  folder?: string;
}

/** @throws AIOT_USAGE (name), AIOT_ALREADY_EXISTS, AIOT_FILE_NOT_WRITABLE */
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
    throw new AiotError('AIOT_ALREADY_EXISTS', `the context ${name} already exists, for ${before.url}`, {
      subject: 'context',
      next: `Replace it with \`aiot context add ${name} --replace …\`, or choose another name.`,
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
 * Deletes a context and its token. If it was the current one, no context is current afterward, because the platform for the next command
 * cannot be guessed. Returns the name of the current context. @throws AIOT_CONTEXT_NOT_FOUND
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

/** Serializes changes of contexts. Of two concurrent read-modify-write cycles, the second would undo the first and lose its tokens. */
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
        ? `Use one of ${names.join(', ')}. To list the contexts, run \`aiot context list\`.`
        : 'To add one, run `aiot context add NAME --url URL`.',
  });
}

/**
 * Before anything is written, checks a context that a person typed: https and mqtts URLs without credentials, and a CA file that
 * contains a certificate.
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

/** Requires the fields with which this kind of context identifies its server. @throws AIOT_USAGE */
function checkKind(
  kind: ContextKind,
  typed: { mqtt?: string | undefined; token?: string | undefined; fingerprint?: string | undefined },
): void {
  if (kind === 'platform') {
    if (typed.fingerprint === undefined) return;
    throw new AiotError(
      'AIOT_USAGE',
      '--fingerprint needs --kind architects-guide; a platform is identified by its CA: --ca FILE',
    );
  }
  const [what] = [typed.mqtt && '--mqtt', typed.token && 'a token'].filter(Boolean);
  if (what === undefined) return;
  throw new AiotError(
    'AIOT_USAGE',
    `an installation of the guide has no authentication, so ${what} cannot be used`,
  );
}

/** Checks a fingerprint in the form that OpenSSL and browsers display, with or without colons. @throws AIOT_USAGE */
function checkFingerprint(text: string): string {
  const fingerprint = text
    .replace(/^sha-?256[:=]/i, '')
    .replaceAll(':', '')
    .toLowerCase();
  if (/^[0-9a-f]{64}$/.test(fingerprint)) return fingerprint;
  throw new AiotError('AIOT_USAGE', `expected a SHA-256 fingerprint of 64 hex digits, got ${text}`);
}
