import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { DeviceMessage } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import { onDevice } from '../../app/live.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { selectorOf, shellWord } from '../../app/text.js';
import { Badge, type Tone } from '../../parts/badge.js';
import { Empty, Failure, Loading } from '../../parts/page.js';
import { When } from '../../parts/when.js';

const tones: Record<string, Tone> = { error: 'bad', warn: 'warn', info: 'blue' };
const dayMs = 86_400_000;
/** Maximum number of lines stored in the page. */
const most = 2000;

/** The device's log of the last 24 hours, newest first, with new lines as they arrive. */
export function Log({ name }: { name: string }) {
  const since = useSignal(Date.now() - dayMs);
  const query = { channel: 'log', limit: 1000, since: since.value };
  const { value, error } = useResource(at('GET /devices/:name/messages', { name }, query));
  const heard = useSignal<DeviceMessage[]>([]);
  useEffect(
    () =>
      onDevice(name, ['log'], (_, message) => {
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
      <Empty
        title="No log messages in the last 24 hours"
        command={`aiot device call ${shellWord(name)} ping`}
      >
        <p>New messages appear here as they arrive. To check that the device responds, run:</p>
      </Empty>
    );
  }
  return (
    <>
      <p>
        <a href={linkTo(['logs'], { selector: selectorOf([name]) })}>Search and follow</a>
      </p>
      <ol class="log">
        {lines.reverse().map(({ at, payload }) => (
          <li key={`${at} ${JSON.stringify(payload)}`}>
            <When at={at} />
            <Badge tone={tones[String(payload.level)] ?? 'soft'}>{String(payload.level)}</Badge>
            <span>{String(payload.message)}</span>
            {payload.code !== undefined && <code>{String(payload.code)}</code>}
          </li>
        ))}
      </ol>
    </>
  );
}

function keyOf({ at, payload }: DeviceMessage): string {
  return `${at} ${String(payload.t)} ${String(payload.message)}`;
}
