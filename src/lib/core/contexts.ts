import { join } from 'node:path';
import { z } from 'zod';
import { AiotError, unless } from './errors/index.js';
import { makeFolder, readJson, writeJsonAtomic } from './files.js';
import { configFolder } from './folders.js';
import { namePattern } from './ids.js';
import { issueText } from './issues.js';
import { didYouMean } from './nearest.js';

/** What there may be behind a context: this project's platform, or an installation of the guide's services. */
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
export function platformUrl(text: string, protocol: 'https:' | 'mqtts:', source?: string): URL {
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
