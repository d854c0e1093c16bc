import { AiotError } from '../../core/errors.js';

/** Location of an artifact in an OCI registry. */
export interface OciReference {
  /** HOST or HOST:PORT */
  host: string;
  repository: string;
  tag: string | null;
  /** `sha256:…` of the manifest. */
  digest: string | null;
}

// The OCI Distribution Specification 1.1, "Pulling manifests".
const repositoryPattern =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;
const longestRepository = 255;

export function isOciReference(text: string): boolean {
  return /^oci:\/\//i.test(text);
}

/** `oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]`. @throws AIOT_USAGE */
export function parseOciReference(text: string): OciReference {
  const match = /^oci:\/\/([^/@\s]+)\/([^:@\s]+)(?::([^@\s]*))?(?:@(\S*))?$/i.exec(text);
  const [, host = '', repository = '', tag = null, digest = null] = match ?? [];
  const wrong =
    !match || !isHost(host)
      ? 'oci://HOST/REPOSITORY:TAG'
      : !repositoryPattern.test(repository) || repository.length > longestRepository
        ? 'a repository of small letters, digits and . _ - between slashes'
        : tag !== null && !tagPattern.test(tag)
          ? 'a tag of letters, digits and . _ -, at most 128'
          : digest !== null && !digestPattern.test(digest)
            ? 'a digest such as sha256:9f86…'
            : null;
  if (wrong === null) return { host, repository, tag, digest };
  throw new AiotError('AIOT_USAGE', `expected ${wrong}, got "${text}"`, {
    next: 'Use the form oci://registry.example:5000/models/motor:3, or @sha256:… instead of the tag.',
  });
}

export function ociText({ host, repository, tag, digest }: OciReference): string {
  return `oci://${host}/${repository}${tag === null ? '' : `:${tag}`}${digest === null ? '' : `@${digest}`}`;
}

function isHost(text: string): boolean {
  return (
    URL.canParse(`https://${text}/`) && new URL(`https://${text}/`).host.length > 0 && !/[?#\\]/.test(text)
  );
}
