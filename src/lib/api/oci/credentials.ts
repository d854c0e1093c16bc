import { homedir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../../core/errors.js';
import { readJson } from '../../core/files.js';
import { issueText } from '../../core/issues.js';

/** A user name with a password, or an identity token, which is exchanged for an access token. */
export type OciCredentials = { username: string; password: string } | { identityToken: string };

const configSchema = z.looseObject({
  auths: z
    .record(
      z.string(),
      z.looseObject({
        auth: z.string().optional(),
        username: z.string().optional(),
        password: z.string().optional(),
        identitytoken: z.string().optional(),
      }),
    )
    .optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});

/** The file that `docker login`, `oras login` and, with REGISTRY_AUTH_FILE, `podman login` write. */
function configFile(): string {
  const { REGISTRY_AUTH_FILE: podman, DOCKER_CONFIG: docker } = process.env;
  return podman || join(docker || join(homedir(), '.docker'), 'config.json');
}

/** Stored credentials of a registry; null = none. @throws AIOT_FILE_MALFORMED, AIOT_OCI_REFUSED (stored by a helper program) */
export async function credentialsFor(host: string): Promise<OciCredentials | null> {
  const file = configFile();
  const read = await unless('AIOT_FILE_NOT_FOUND', readJson(file));
  if (read === undefined) return null;
  const config = configSchema.safeParse(read);
  if (!config.success)
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(config.error, 'the file')}`);
  const { auths = {}, credHelpers = {}, credsStore } = config.data;
  const own = [host, `https://${host}`, `http://${host}`].map((key) => auths[key]).find(Boolean);
  if (own?.identitytoken) return { identityToken: own.identitytoken };
  if (own?.auth) {
    const [username = '', ...rest] = Buffer.from(own.auth, 'base64').toString('utf8').split(':');
    return { username, password: rest.join(':') };
  }
  if (own?.username !== undefined) return { username: own.username, password: own.password ?? '' };
  const helper = credHelpers[host] ?? (own ? credsStore : undefined);
  if (helper === undefined) return null;
  throw new AiotError(
    'AIOT_OCI_REFUSED',
    `${file}: the password for ${host} is stored by docker-credential-${helper}, which aiot does not use`,
    { next: `Log in with the password in a file: REGISTRY_AUTH_FILE=FILE podman login ${host}` },
  );
}
