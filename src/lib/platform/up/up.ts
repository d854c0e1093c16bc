import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '../../api/client.js';
import { addContext, type PlatformContext, readContexts } from '../../core/contexts.js';
import { publicKeyOf } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { configFolder } from '../../core/folders.js';
import { withLock } from '../../core/lock.js';
import { otlpOptionsOf } from '../../core/otlp-options.js';
import { fitHeap } from '../../core/process.js';
import { notifierFor } from '../../core/systemd.js';
import { shellWord } from '../../core/text.js';
import { trustRootOf } from '../../formats/manifest/envelope.js';
import { ensureOperatorKey } from '../../provision/operator-key.js';
import type { Platform } from '../options.js';
import { nextBeside } from '../running.js';
import { startPlatform } from '../start.js';
import { boundLog } from './logs.js';
import { platformFolder, restartOf, type UpOptions, type UpResult } from './options.js';

export interface UpPlatform {
  result: UpResult;
  streams: Platform['streams'];
  applyAlarms: Platform['applyAlarms'];
  applyCommands: Platform['applyCommands'];
  applySettings: Platform['applySettings'];
  applyHomeAssistant: Platform['applyHomeAssistant'];
  applySparkplug: Platform['applySparkplug'];
  tracer: Platform['tracer'];
  stop(): Promise<void>;
}

/** Starts a platform in this process and creates a context for it. @throws AIOT_ALREADY_EXISTS, and as startPlatform */
export async function up(options: UpOptions, log?: (line: string) => void): Promise<UpPlatform> {
  // Locked until the context is saved under the chosen name, because two concurrent starts could otherwise choose the same name and
  // overwrite a signing key.
  return withLock(join(configFolder(), 'up.lock'), 60_000, () => upAlone(options, log));
}

async function upAlone(options: UpOptions, log?: (line: string) => void): Promise<UpPlatform> {
  const dataDir = platformFolder(options.data);
  const name = await contextNameFor(dataDir, options.context);
  const { host, httpPort, mqttPort, plainPort, newToken, compat = [], boards, readers } = options;
  const {
    engines,
    wsPort,
    names,
    noToken,
    serverCertificate,
    compatPorts,
    compatMaxRows,
    compatQuota,
    compatDeleteAll,
    ddiPort,
    ddiPollMs,
    rates,
    provider,
    recordShells,
    replicaUrl,
  } = options;
  const platform: Platform = await startPlatform({
    ...{ dataDir, host, httpPort, mqttPort, newToken, compat },
    ...(plainPort === undefined ? {} : { plain: { port: plainPort } }),
    ...{
      boards,
      readers,
      engines,
      wsPort,
      names,
      noToken,
      serverCertificate,
      compatPorts,
      compatMaxRows,
      compatQuota,
      compatDeleteAll,
      ddiPort,
      ddiPollMs,
      rates,
      recordShells,
      replicaUrl,
    },
    otlp: (await otlpOptionsOf(options.otlp, process.env)) ?? undefined,
    provider: provider && {
      ...provider,
      clientSecret: provider.secretFile
        ? (await readText(provider.secretFile)).trim()
        : process.env.AIOT_OIDC_SECRET || undefined,
    },
    restart: options.restart ?? restartOf(options),
    secret: process.env.AIOT_PLATFORM_SECRET || undefined,
    caPassphrase: process.env.AIOT_CA_PASSPHRASE || undefined,
    ...(log ? { log } : {}),
  }).catch(async (error: unknown) => {
    throw hasCode(error, 'AIOT_PLATFORM_RUNNING') ? await withStatus(error, dataDir) : error;
  });
  try {
    const known = await rememberPlatform(platform, name);
    const { urls, ca, token } = platform;
    const result = {
      ...{ pid: process.pid, urls, ca },
      ...(token === undefined ? {} : { token }),
      ...known,
    };
    const boundless = boundLog(process.env.AIOT_LOG_FILE);
    const ending = await tellManager(platform.urls.http);
    const endFitting = fitHeap(platform.load);
    const stop = async () => {
      await ending();
      endFitting();
      await platform.stop();
      boundless();
    };
    const { streams, applyAlarms, applyCommands, applySettings, tracer } = platform;
    const { applyHomeAssistant, applySparkplug } = platform;
    const apply = { applyAlarms, applyCommands, applySettings, applyHomeAssistant, applySparkplug };
    return { result, streams, ...apply, tracer, stop };
  } catch (error) {
    await platform.stop();
    throw error;
  }
}

/** Adds the name of the running platform's context to the error's advice, unless it is the current context. */
async function withStatus(error: AiotError, dataDir: string): Promise<AiotError> {
  const { current, contexts } = await readContexts();
  const name = await contextOf(contexts, join(dataDir, 'pki', 'ca.crt'));
  if (name === undefined || name === current) return error;
  const next = nextBeside(dataDir, `aiot status --context ${shellWord(name)}`);
  return error.reworded(error.message, { next });
}

/**
 * Name of this user's (existing or new) context for a folder's platform: the context with the platform's CA, the requested name, or the first free name of local, local-2, …
 * @throws AIOT_ALREADY_EXISTS when the requested name refers to another platform
 */
async function contextNameFor(dataDir: string, wanted?: string): Promise<string> {
  const { contexts } = await readContexts();
  const ca = join(dataDir, 'pki', 'ca.crt');
  const own = await contextOf(contexts, ca);
  if (own !== undefined && (wanted === undefined || wanted === own)) return own;
  const free = (name: string) => {
    const there = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
    // A platform whose CA file is gone was deleted, so its name may be reused.
    return !there || name === own || (there.ca !== undefined && !existsSync(there.ca));
  };
  if (wanted === undefined) {
    for (let i = 1; ; i++) {
      const name = i === 1 ? 'local' : `local-${i}`;
      if (free(name)) return name;
    }
  }
  if (free(wanted)) return wanted;
  throw new AiotError('AIOT_ALREADY_EXISTS', `the context ${wanted} is for ${contexts[wanted]?.url}`, {
    subject: 'context',
  });
}

/**
 * Saves the running platform in this user's contexts. With a new token, the signing key (created if missing) becomes
 * the trust root unless there is one. Without a token, the context's URLs are updated. In both cases, the context
 * becomes the current one, because later commands are meant for the platform just started.
 * @returns the context's name, and the previous current one; nothing if the user has no context for the platform and
 * there is no token for a new one
 */
async function rememberPlatform(
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
  // No login link is printed for a service, because other users may read the service manager's log.
  const dashboard = isManaged() ? null : await platform.loginLink(known);
  return {
    context: name,
    ...(current === undefined || current === name ? {} : { replaced: current }),
    ...(dashboard === null ? {} : { dashboard }),
  };
}

/**
 * The context whose CA is this file, or else one with the same certificate, because a platform restored elsewhere is
 * still the same platform.
 */
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

/** Whether systemd started this process and stores its output. */
function isManaged(environment: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return notifierFor(environment) !== undefined;
}

/**
 * If systemd started this process, reports that the platform is ready, and then that it is alive, so that the watchdog
 * detects a blocked event loop. An unavailable database does not affect these reports, because a restart would not
 * help.
 * @returns a function that reports that the platform is stopping
 */
async function tellManager(
  url: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<() => Promise<void>> {
  const manager = notifierFor(environment);
  if (!manager) return async () => {};
  const { notify, watchdogMs } = manager;
  await notify('READY=1', `STATUS=${url}`);
  const beat =
    watchdogMs === undefined ? undefined : setInterval(() => void notify('WATCHDOG=1'), watchdogMs / 3);
  return async () => {
    clearInterval(beat);
    await notify('STOPPING=1');
  };
}
