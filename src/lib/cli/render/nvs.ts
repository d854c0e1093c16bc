import { plural, size } from '../../core/index.js';
import type { NvsMade, NvsRead } from '../../flash/images/nvs.js';
import { dim, yellow } from './style.js';
import { facts, table } from './text.js';

/** Keys whose values are most often secret. */
const secretKey = /pass|pswd|psk|secret|token|^key|_key$|priv/i;
const shownLength = 48;
/** A driver that writes needs three pages. */
const leastWritable = 0x3000;

export function nvsMadeText({
  bytes,
  version,
  entries,
  namespaces,
  pages,
  encrypted,
  keys,
}: NvsMade): string {
  return facts([
    ['Holds', `${plural(entries, 'value')} in ${plural(namespaces, 'namespace')}`],
    [
      'Size',
      `${size(bytes)} (0x${bytes.toString(16)}), ${pages.used} of ${plural(pages.total, 'page')} used`,
    ],
    ...(bytes < leastWritable
      ? [['', 'smaller than 0x3000: flag its partition readonly'] as [string, string]]
      : []),
    ['Version', version],
    ['Encrypted', encrypted ? 'yes, XTS-AES-256' : 'no'],
    ...(keys === null
      ? []
      : [['Keys', `${keys}: flash it as nvs_keys, and keep it secret`] as [string, string]]),
  ]);
}

/** Secrets are left out unless asked for. */
export function nvsText(nvs: NvsRead, showSecrets: boolean): string {
  const used = nvs.pages.filter(({ state }) => state !== 'empty').length;
  const rows = nvs.entries.map((entry) => {
    const secret = !showSecrets && isSecret(entry);
    return [entry.namespace, entry.key, entry.type, entry.bytes, secret ? dim('(secret)') : short(entry)];
  });
  const hidden = nvs.entries.some((entry) => !showSecrets && isSecret(entry));
  return [
    facts([
      ['Version', nvs.version ?? 'nothing was ever written'],
      [
        'Size',
        `${size(nvs.bytes)} (0x${nvs.bytes.toString(16)}), ${used} of ${plural(nvs.pages.length, 'page')} used`,
      ],
      ['Encrypted', nvs.encrypted ? 'yes' : 'no'],
    ]),
    '',
    table(['Namespace', 'Key', 'Type', 'Bytes', 'Value'], rows, 'no values'),
    ...(hidden ? [dim('\nSecrets are hidden: --show-secrets prints them, --json always does.')] : []),
    ...nvs.problems.map(({ offset, reason }) => `${yellow('!')} offset 0x${offset.toString(16)}: ${reason}`),
  ].join('\n');
}

function isSecret({ key, type, value }: NvsRead['entries'][number]): boolean {
  if (type !== 'string' && type !== 'blob') return false;
  const text = type === 'blob' ? Buffer.from(String(value), 'base64').toString('latin1') : String(value);
  return text.includes('PRIVATE KEY') || (secretKey.test(key) && !/^key\d+$/.test(key));
}

function short({ type, value }: NvsRead['entries'][number]): string {
  if (type === 'blob') {
    const hex = Buffer.from(String(value), 'base64').toString('hex');
    return hex.length > shownLength ? `${hex.slice(0, shownLength)}…` : hex;
  }
  const line = type === 'string' ? JSON.stringify(value).slice(1, -1) : String(value);
  return line.length > shownLength ? `${line.slice(0, shownLength)}…` : line;
}
