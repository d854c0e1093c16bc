import { Flags } from '@oclif/core';
import { size } from '../core/index.js';
import type { OciPushed } from '../model/index.js';
import { shared } from './flags.js';
import { facts } from './render/text.js';

/** Flags of what goes to and comes from an OCI registry. */
export const ociFlags = {
  trust: shared.trust,
  'plain-http': Flags.boolean({
    summary: 'Ask an OCI registry without TLS; one on this machine is asked so anyway.',
    env: 'AIOT_PLAIN_HTTP',
  }),
};

export function ociPushedText({
  name,
  version,
  reference,
  bytes,
  digest,
  manifest,
  unchanged,
}: OciPushed): string {
  return facts([
    ['Pushed', `${name}@${version} to ${reference}${unchanged ? ', which had its bundle' : ''}`],
    ['Bundle', `${size(bytes)}, ${digest}`],
    ['Artifact', manifest],
  ]);
}
