import { size } from '../../core/index.js';
import type { OciPushed, PushResult } from '../../model/index.js';
import { facts } from './text.js';

export function pushedText(
  { name, version, bytes, digest, sameAs, sequence }: PushResult,
  url: string,
): string {
  const same = sameAs === null ? '' : `, the same as ${name}@${sameAs} and stored once`;
  return facts([
    ['Pushed', `${name}@${version} to ${url}`],
    ['Bundle', `${size(bytes)}, ${digest}${same}`],
    ['Signed', `manifest ${sequence}`],
  ]);
}

export function ociPushedText(pushed: OciPushed): string {
  const { name, version, reference, bytes, digest, manifest, unchanged } = pushed;
  return facts([
    ['Pushed', `${name}@${version} to ${reference}${unchanged ? ', which had its bundle' : ''}`],
    ['Bundle', `${size(bytes)}, ${digest}`],
    ['Artifact', manifest],
  ]);
}
