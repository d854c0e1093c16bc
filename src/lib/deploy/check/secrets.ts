import { at, type DeployFolder, type DeployObject, type Finding, finding, listAt, walk } from './objects.js';

const secretName = /(PASSWORD|PASSWD|TOKEN|SECRET|PRIVATE_KEY|ACCESS_KEY|API_KEY)$/i;

/** Names of settings that refer to a file or another name, not to a secret. */
const harmless = /(_FILE|_PATH|_NAME|_ID)$/i;

/** Matches `scheme://user:password@host` with a literal password rather than a variable. */
const inUrl = /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:([^\s/@$<{][^\s/@]*)@/i;

const pem = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** Findings about secrets that everyone with access to the files could read. The findings do not contain the secrets. */
export function secretFindings({ objects, texts }: DeployFolder): Finding[] {
  return [
    ...objects.flatMap((object) => [...plainSecret(object), ...inEnvironment(object), ...inValues(object)]),
    ...[...texts].flatMap(([file, text]) => inText(file, text)),
  ];
}

function plainSecret(object: DeployObject): Finding[] {
  if (object.kind !== 'Secret') return [];
  return (['data', 'stringData'] as const).flatMap((key) => {
    const values = at(object.data, key);
    const filled = Object.entries((values as object | undefined) ?? {}).filter(
      ([, value]) => value !== '' && value !== null,
    );
    return filled.length === 0
      ? []
      : [
          finding(
            object,
            [key],
            'plain-secret',
            `its ${key} (${filled.map(([name]) => name).join(', ')}) is readable by anyone who can read this file: base64 is not encryption`,
          ),
        ];
  });
}

function inEnvironment(object: DeployObject): Finding[] {
  const told = (path: PropertyKey[], name: string) =>
    finding(
      object,
      path,
      'plain-secret',
      `${name} is in plain text here: reference a Secret (secretKeyRef, env_file, *_FILE)`,
    );
  const found: Finding[] = [];
  for (const { path, value } of walk(object.data)) {
    const key = path.at(-1);
    if (key === 'env' && Array.isArray(value)) {
      for (const [index, { name, value: text }] of listAt(value).entries()) {
        if (isSecret(name, text)) found.push(told([...path, index, 'value'], String(name)));
      }
    }
    if (key === 'environment' && value !== null && typeof value === 'object') {
      const entries = Array.isArray(value)
        ? value.map((line, index) => [index, ...String(line).split(/=(.*)/s, 2)] as const)
        : Object.entries(value).map(([name, text]) => [name, name, text] as const);
      for (const [place, name, text] of entries)
        if (isSecret(name, text)) found.push(told([...path, place], String(name)));
    }
  }
  return found;
}

function isSecret(name: unknown, text: unknown): boolean {
  if (typeof name !== 'string' || typeof text !== 'string' || text === '') return false;
  return secretName.test(name) && !harmless.test(name) && !/^\$[({]/.test(text) && !text.startsWith('/');
}

function inValues(object: DeployObject): Finding[] {
  const found: Finding[] = [];
  for (const { path, value } of walk(object.data)) {
    if (typeof value !== 'string' || value.length > 100_000) continue;
    if (inUrl.test(value))
      found.push(finding(object, path, 'plain-secret', 'an address contains a password'));
    else if (pem.test(value))
      found.push(finding(object, path, 'plain-secret', 'a private key is in plain text here'));
  }
  return found;
}

/** Findings in files other than YAML, such as scripts and configurations. */
function inText(file: string, text: string): Finding[] {
  if (/\.ya?ml$/.test(file)) return [];
  return text.split('\n').flatMap((line, index): Finding[] => {
    const what = pem.test(line)
      ? 'a private key is in plain text here'
      : inUrl.test(line)
        ? 'an address contains a password'
        : undefined;
    return what === undefined
      ? []
      : [{ level: 'error', rule: 'plain-secret', file, line: index + 1, object: file, message: what }];
  });
}
