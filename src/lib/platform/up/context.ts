import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  AiotError,
  addContext,
  type PlatformContext,
  publicKeyOf,
  readContexts,
  readText,
} from '../../core/index.js';
import { trustRootOf } from '../../formats/index.js';
import { ensureOperatorKey } from '../../provision/index.js';
import { createClient } from '../../registry/index.js';
import type { Platform } from '../options.js';
import { isManaged } from './manager.js';

/**
 * Name under which this user knows (or is to know) the platform of a folder: the context that has its CA, or the wanted
 * name, or the first free one of local, local-2, …
 * @throws AIOT_CONTEXT_EXISTS when the wanted name stands for another platform
 */
export async function contextNameFor(dataDir: string, wanted?: string): Promise<string> {
  const { contexts } = await readContexts();
  const ca = join(dataDir, 'pki', 'ca.crt');
  const own = await contextOf(contexts, ca);
  if (own !== undefined && (wanted === undefined || wanted === own)) return own;
  const free = (name: string) => {
    const there = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
    // A platform whose CA file is gone was deleted: its name may be taken again.
    return !there || name === own || (there.ca !== undefined && !existsSync(there.ca));
  };
  if (wanted === undefined) {
    for (let i = 1; ; i++) {
      const name = i === 1 ? 'local' : `local-${i}`;
      if (free(name)) return name;
    }
  }
  if (free(wanted)) return wanted;
  throw new AiotError('AIOT_CONTEXT_EXISTS', `the context ${wanted} is for ${contexts[wanted]?.url}`);
}

/**
 * Makes the running platform known to this user. With a new token: the signing key (made when missing) becomes the trust
 * root unless there is one. Without: the context's URLs are brought up to date. In both cases it is the one in use from
 * now on: who starts a platform means that one with the commands that follow.
 * @returns the context's name, and the one that was in use instead of it until now; nothing when the user has none for it
 * and there is no token to make one with
 */
export async function rememberPlatform(
  platform: Platform,
  name: string,
): Promise<{ context?: string; replaced?: string; dashboard?: string }> {
  const { current, contexts } = await readContexts();
  const { urls, ca, token } = platform;
  const before = (await contextOf(contexts, ca)) === name ? contexts[name] : undefined;
  const known = token ?? before?.token;
  if (known === undefined) return {};
  const key = await ensureOperatorKey(name);
  if (token !== undefined) await trustKey(platform, token, key);
  await addContext(
    name,
    { url: urls.http, mqtt: urls.mqtts, ...(urls.mqtt ? { plain: urls.mqtt } : {}), ca, token: known },
    { replace: true, use: true },
  );
  // A manager's log is read by others.
  const dashboard = isManaged() ? null : await platform.loginLink(known);
  return {
    context: name,
    ...(current === undefined || current === name ? {} : { replaced: current }),
    ...(dashboard === null ? {} : { dashboard }),
  };
}

/** The context with this file as its CA, or else one with the same certificate: restored elsewhere, it is the same platform. */
async function contextOf(contexts: Record<string, PlatformContext>, ca: string): Promise<string | undefined> {
  const names = Object.keys(contexts);
  const here = names.find((name) => contexts[name]?.ca === ca);
  if (here !== undefined || !existsSync(ca)) return here;
  const own = await readText(ca);
  for (const name of names) {
    const there = contexts[name]?.ca;
    if (there !== undefined && existsSync(there) && (await readText(there)) === own) return name;
  }
  return undefined;
}

async function trustKey(platform: Platform, token: string, key: string): Promise<void> {
  const ca = await readText(platform.ca);
  const client = createClient({ url: platform.urls.http, ca, token });
  try {
    if ((await client.trust.get()) === null) await client.trust.put(trustRootOf(publicKeyOf(key)));
  } finally {
    await client.close();
  }
}
