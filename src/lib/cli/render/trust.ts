import { printable, size } from '../../core/index.js';
import type { TrustChange, TrustStatus } from '../../provision/index.js';
import type { SignatureResult, ToSign } from '../../registry/index.js';
import { yellow } from './style.js';
import { facts, table } from './text.js';
import { day, minute } from './time.js';

const short = (ids: readonly string[]) => ids.map((id) => id.slice(0, 8)).join(' ') || 'none';

export function trustStatusText(status: TrustStatus): string {
  const { version, apart, expires, signedBy, roles, timestamp, warnings } = status;
  const rows = roles.map(({ role, threshold, keyids }) => [
    role,
    `${threshold} of ${keyids.length}`,
    short(keyids),
  ]);
  const about = facts([
    ['Root', version === null ? 'none' : apart ? String(version) : `${version}, of one key for everything`],
    ['Expires', expires === null ? 'never' : day(expires)],
    ...(apart ? [['Signed by', short(signedBy)] as [string, string]] : []),
    [
      'Timestamp',
      timestamp
        ? `${timestamp.version}, until ${minute(timestamp.expires)} UTC`
        : 'none: freezes go unnoticed',
    ],
  ]);
  const warned = warnings.map((text) => `${yellow('!')} ${text}`);
  return [about, table(['role', 'wanted', 'keys'], rows, 'No keys.'), ...warned].join('\n\n');
}

export function trustChangeText({ version, expires, added, removed, files }: TrustChange): string {
  return facts([
    ['Root', `${version}, until ${day(expires)}`],
    ['Added', short(added)],
    ['Removed', short(removed)],
    ...files.map((file, i): [string, string] => [i === 0 ? 'Written' : '', file]),
  ]);
}

export function signatureText(result: SignatureResult): string {
  const { kind, name, version, signed, wanted, published, dryRun, release } = result;
  const state = published ? 'published' : `not published: ${Math.max(0, wanted - signed)} more to come`;
  const counted = facts([
    ['Release', `${kind} ${name}@${version}`],
    ['Signatures', `${signed} of ${wanted}, ${state}`],
  ]);
  return dryRun ? `${toSignText(release)}\n\n${counted}` : counted;
}

const blobs: Record<ToSign['artifacts'][number]['blob'], string> = {
  right: 'the platform has these very bytes',
  wrong: yellow('the platform’s bytes are others'),
  missing: yellow('the platform has no such bytes: they were not looked at'),
};

/** What somebody has to have seen before signing it. */
export function toSignText(what: ToSign): string {
  const { kind, name, version, sequence, floor, artifacts, deviceTypes, issued, expires, signers } = what;
  const by = signers.map(
    ({ keyid, counts }) =>
      `${printable(keyid.slice(0, 8))}${counts ? '' : ' (not checked: no key of the trust root)'}`,
  );
  return facts([
    ['To sign', `${kind} ${name}@${version}`],
    ['Sequence', `${sequence}, floor ${floor}`],
    ...artifacts.flatMap(({ name: file, digest, bytes, blob }): [string, string][] => [
      ['File', `${printable(file)}, ${size(bytes)} (${bytes} bytes)`],
      ['Digest', digest],
      ['Content', blobs[blob]],
    ]),
    ['Device types', printable(deviceTypes.join(', '))],
    ['Issued', `${minute(issued)} UTC`],
    ['Expires', expires === null ? 'never' : `${minute(expires)} UTC`],
    ['Signed by', by.join(', ')],
  ]);
}
