import { Flags } from '@oclif/core';
import { shared } from './flags.js';

/** Flags of what goes to and comes from an OCI registry. */
export const ociFlags = {
  trust: shared.trust,
  'plain-http': Flags.boolean({
    summary: 'Ask an OCI registry without TLS; one on this machine is asked so anyway.',
    env: 'AIOT_PLAIN_HTTP',
  }),
};
