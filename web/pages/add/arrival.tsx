import type { ComponentChildren } from 'preact';
import { at } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { Badge } from '../../parts/badge.js';

/** Shows when a device goes online. @param children hints for a device that is not online yet */
export function Arrival({
  name,
  claims = false,
  children,
}: {
  name: string;
  /** Whether the device gets its certificate with a claim, before it connects. */
  claims?: boolean;
  children?: ComponentChildren;
}) {
  const device = useResource(at('GET /devices/:name', { name }), { events: ['device.*'], subject: name });
  const isOnline = device.value?.online === true;
  return (
    <>
      <p role="status">
        <a href={linkTo(['devices', name])}>{name}</a>{' '}
        {isOnline ? (
          <Badge tone="good">online</Badge>
        ) : (
          <Badge tone="soft">
            {claims && device.value?.fingerprint
              ? 'has claimed its certificate'
              : 'waiting for it to connect'}
          </Badge>
        )}
      </p>
      {!isOnline && children}
    </>
  );
}
