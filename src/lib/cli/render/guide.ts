import { size } from '../../core/index.js';
import type { GuidePushed } from '../../model/index.js';
import type { GuideProvisioned } from '../../registry/index.js';
import { bold, yellow } from './style.js';
import { facts, next } from './text.js';

/** A board that an installation of the guide's services knows now. */
export function guideProvisionedText({ chipId, url, confirmed }: GuideProvisioned): string {
  const begins = confirmed
    ? 'its firmware may begin'
    : yellow('its firmware is not confirmed: was it revoked?');
  return `${bold(chipId)} is known at ${new URL(url).origin}, and ${begins}.`;
}

/** A model that an installation of the guide's services has now, and how its boards are told. */
export function guidePushedText({ name, url, bytes, digest, whole, message }: GuidePushed): string {
  const lines = facts([
    ['Uploaded', `${name} to ${new URL(url).origin}`],
    ['Network', `${size(bytes)}, ${digest}`],
    ...(whole
      ? []
      : [['', yellow('longer than the 11,148 bytes that the guide’s firmware reads')] as [string, string]]),
  ]);
  return `${lines}\n${next(`aiot stream pub kafka://HOST:PORT/control-message '${message}'`)}`;
}
