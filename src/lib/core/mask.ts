/** Replacement for a secret in text that is stored or shown. */
const hidden = '***';

/** Names whose values are secrets, as they appear in logs, URLs and environment variables. */
const secretName = String.raw`[\w.-]{0,40}(?:passw(?:or)?d|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential|psk)s?`;

const rules: readonly [RegExp, string][] = [
  // Keys and certificates in PEM, even if the end is missing.
  [/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,8192}(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?/g, hidden],
  // User and password in a URL.
  [/(\b[a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@]{1,256}@/gi, `$1${hidden}@`],
  [
    /\b(authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:bearer|basic)?)\s{0,4}[^\s"',;]{1,4096}/gi,
    `$1 ${hidden}`,
  ],
  [/\b(bearer|basic)\s{1,4}[\w.~+/=-]{8,4096}/gi, `$1 ${hidden}`],
  [
    new RegExp(
      String.raw`(\b${secretName}["']?\s{0,4}[:=]\s{0,4})(?:"[^"]{0,4096}"?|'[^']{0,4096}'?|[^\s"'&,;]{1,4096})`,
      'gi',
    ),
    `$1${hidden}`,
  ],
  // JSON Web Tokens.
  [/\beyJ[\w-]{8,4096}\.[\w-]{8,4096}\.[\w-]{0,4096}/g, hidden],
];

/**
 * Hides values that are likely secrets: passwords, tokens and keys by their names, credentials in URLs and HTTP headers, private keys, and
 * JSON Web Tokens. A secret without any of these indications cannot be recognized.
 */
export function maskSecrets(text: string): string {
  return rules.reduce((masked, [pattern, by]) => masked.replace(pattern, by), text);
}
