import type { DeviceHistoryEntry } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { moment } from '../../app/text.js';
import { Failure, Loading } from '../../parts/page.js';
import { Values } from './values.js';

/** What was changed of it, when and by whom, newest first. */
export function History({ name }: { name: string }) {
  const path = `/devices/${encodeURIComponent(name)}/history?limit=200`;
  const { value, error } = useResource<{ entries: DeviceHistoryEntry[] }>(path, {
    events: ['device.*'],
    subject: name,
  });
  if (error) return <Failure error={error} />;
  if (!value) return <Loading />;
  return (
    <ol class="log">
      {value.entries.map(({ id, at, type, who, data }) => (
        <li key={id}>
          <time dateTime={new Date(at).toISOString()}>{moment(at)}</time>
          <strong>{type.replace(/^device\./, '')}</strong>
          <span class="soft">by {who}</span>
          <Values of={data} />
        </li>
      ))}
    </ol>
  );
}
