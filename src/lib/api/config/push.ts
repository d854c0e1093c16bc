import * as z from 'zod';
import { digestOf } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { namePattern } from '../../core/names.js';
import { readDeviceConfig } from '../../formats/device-config.js';
import type { RegistryClient } from '../client.js';
import { configVersionSchema } from '../contract/releases.js';
import { pushAttempts, signedRelease, type TrustReader, waitForTurn } from '../signatures.js';

export const pushedConfigSchema = configVersionSchema.extend({
  /** The pushed file. */
  file: z.string(),
});
export type PushedConfig = z.output<typeof pushedConfigSchema>;

export interface PushConfigOptions {
  client: TrustReader & {
    configs: Pick<RegistryClient['configs'], 'next' | 'push'>;
    blobs: Pick<RegistryClient['blobs'], 'put'>;
  };
  /** Path of a JSON document. */
  path: string;
  name: string;
  /** Device types for which the configuration is released. */
  deviceTypes: string[];
  /** The operator's signing key, PKCS#8 PEM. It is used for signing here and never sent. */
  privatePem: string;
  /** Time after which devices reject the manifest, ms from now; absent = no expiry. */
  validMs?: number | undefined;
}

/**
 * Checks a configuration, uploads it, and pushes a manifest of kind `config`, which is signed here, as the next version.
 * @throws AIOT_CONFIG_MALFORMED, AIOT_USAGE (an invalid name or type), AIOT_VERSION_CONFLICT
 */
export async function pushConfig(options: PushConfigOptions): Promise<PushedConfig> {
  const { client, path, name, deviceTypes, privatePem, validMs } = options;
  const content = await readBytes(path);
  readDeviceConfig(content, path);
  checkNames(name, deviceTypes);
  const artifact = { name: 'config.json', digest: digestOf(content), bytes: content.length };
  await client.blobs.put(artifact.digest, content);
  for (let attempt = 1; ; attempt++) {
    const next = await client.configs.next(name);
    const issued = Date.now();
    const envelope = await signedRelease(
      client,
      {
        ...{ spec: 'aiot-manifest/1', role: 'release', kind: 'config', name, ...next, floor: 0, issued },
        expires: validMs === undefined ? null : issued + validMs,
        deviceTypes,
        artifacts: [artifact],
      },
      privatePem,
    );
    try {
      return { ...(await client.configs.push(name, envelope)), file: path };
    } catch (error) {
      if (attempt === pushAttempts || !hasCode(error, 'AIOT_VERSION_CONFLICT')) throw error;
    }
    await waitForTurn(attempt);
  }
}

function checkNames(name: string, deviceTypes: string[]): void {
  const wrong = [name, ...deviceTypes].find((text) => !namePattern.test(text));
  if (wrong === undefined) return;
  throw new AiotError(
    'AIOT_USAGE',
    `expected names and types of letters, digits, dot, dash or underscore, got "${wrong}"`,
  );
}

/** `NAME@3`, `NAME@latest` or `NAME` (the newest). @throws AIOT_USAGE, AIOT_NOT_FOUND */
export async function resolveConfig(
  client: { configs: Pick<RegistryClient['configs'], 'versions'> },
  text: string,
): Promise<{ name: string; version: number }> {
  const [, name, which] = /^([^@]+)(?:@([1-9]\d{0,8}|latest))?$/.exec(text) ?? [];
  if (name === undefined) {
    throw new AiotError('AIOT_USAGE', `expected a configuration such as slow@3 or slow@latest, got ${text}`, {
      next: 'For the names and versions, run `aiot device config list`.',
    });
  }
  if (which !== undefined && which !== 'latest') return { name, version: Number(which) };
  const [newest] = await client.configs.versions(name);
  if (newest) return { name, version: newest.version };
  throw new AiotError('AIOT_NOT_FOUND', `the configuration ${name} does not exist`, {
    next: 'To see the configurations, run `aiot device config list`.',
  });
}
