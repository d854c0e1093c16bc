import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { DeviceMessage } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { moment } from '../../app/text.js';
import { Badge, type Tone } from '../../parts/badge.js';
import { Empty, Failure, Loading } from '../../parts/page.js';
import { listen } from './listen.js';

const tones: Record<string, Tone> = { error: 'bad', warn: 'warn', info: 'blue' };
const dayMs = 86_400_000;
/** Lines that are kept in the page. */
const most = 2000;

/** Its log of the last day, newest first, and what it says meanwhile. */
export function Log({ name }: { name: string }) {
  const since = useSignal(Date.now() - dayMs);
  const path = `/devices/${encodeURIComponent(name)}/messages?channel=log&limit=1000&since=${since.value}`;
  const { value, error } = useResource<{ messages: DeviceMessage[] }>(path);
  const heard = useSignal<DeviceMessage[]>([]);
  useEffect(
    () =>
      listen(name, ['log'], (_, message) => {
        heard.value = [...heard.value, message].slice(-most);
      }),
    [name],
  );
  if (error) return <Failure error={error} />;
  if (!value) return <Loading />;
  const known = new Set(value.messages.map(keyOf));
  const lines = [...value.messages, ...heard.value.filter((message) => !known.has(keyOf(message)))];
  if (lines.length === 0) {
    return (
      <Empty title="It has logged nothing in a day" command={`aiot device command ${name} ping`}>
        <p>What it logs from now on is shown here as it comes.</p>
      </Empty>
    );
  }
  return (
    <ol class="log">
      {lines.reverse().map(({ at, payload }) => (
        <li key={`${at} ${JSON.stringify(payload)}`}>
          <time dateTime={new Date(at).toISOString()}>{moment(at)}</time>
          <Badge tone={tones[String(payload.level)] ?? 'soft'}>{String(payload.level)}</Badge>
          <span>{String(payload.message)}</span>
          {payload.code !== undefined && <code>{String(payload.code)}</code>}
        </li>
      ))}
    </ol>
  );
}

function keyOf({ at, payload }: DeviceMessage): string {
  return `${at} ${String(payload.t)} ${String(payload.message)}`;
}
