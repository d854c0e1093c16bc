import { join } from 'node:path';
import { configFolder, withLock } from '../../core/index.js';
import type { Platform } from '../options.js';
import { startPlatform } from '../start.js';
import { contextNameFor, rememberPlatform } from './context.js';
import { boundLog } from './log-file.js';
import { tellManager } from './manager.js';
import { platformFolder, type UpOptions, type UpResult } from './options.js';

export interface UpPlatform {
  result: UpResult;
  streams: Platform['streams'];
  stop(): Promise<void>;
}

/** Starts a platform in this process and makes it known to the user. @throws as startPlatform, AIOT_CONTEXT_EXISTS */
export async function up(options: UpOptions, log?: (line: string) => void): Promise<UpPlatform> {
  // From the choice of a name to the context that has it: two that start at once would choose the same, and the signing
  // key of one would be written over.
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
    },
    secret: process.env.AIOT_PLATFORM_SECRET || undefined,
    caPassphrase: process.env.AIOT_CA_PASSPHRASE || undefined,
    ...(log ? { log } : {}),
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
    const stop = async () => {
      await ending();
      await platform.stop();
      boundless();
    };
    return { result, streams: platform.streams, stop };
  } catch (error) {
    await platform.stop();
    throw error;
  }
}
