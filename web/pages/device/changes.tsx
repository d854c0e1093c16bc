import { useSignal } from '@preact/signals';
import type { DeviceInfo } from '../../../src/lib/api/index.js';
import { at, send } from '../../app/api.js';
import { useAsked } from '../../app/asked.js';
import { goTo, linkTo } from '../../app/route.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';

interface Change {
  verb: 'suspend' | 'resume' | 'revoke' | 'remove';
  title: string;
  about: string;
  danger?: boolean;
  /** States in which the change is possible. */
  from: readonly DeviceInfo['state'][];
}

/** Changes of a device's state. */
export const changes: readonly Change[] = [
  {
    verb: 'suspend',
    title: 'Suspend',
    about:
      'The device is disconnected and its certificate is rejected until you resume it. Its data is kept.',
    from: ['provisioned', 'active'],
  },
  { verb: 'resume', title: 'Resume', about: 'The device can connect again.', from: ['suspended'] },
  {
    verb: 'revoke',
    title: 'Revoke',
    about:
      'The certificate is rejected permanently. To use a new board under this name, run aiot device replace.',
    danger: true,
    from: ['provisioned', 'active', 'suspended'],
  },
  {
    verb: 'remove',
    title: 'Remove',
    about: 'The device is deleted. Its telemetry and history are kept.',
    danger: true,
    from: ['registered', 'revoked'],
  },
];

/** Changes available for a device in its state; each asks for confirmation. */
export function Changes({ device }: { device: DeviceInfo }) {
  const { name, state } = device;
  const asked = useSignal<Change | null>(null);
  useAsked((verb) => {
    asked.value = changes.find((each) => each.verb === verb && each.from.includes(state)) ?? asked.value;
    return asked.value?.verb === verb;
  });
  const change = asked.value;
  const run = async () => {
    if (change?.verb === 'remove') {
      await send(at('DELETE /devices/:name', { name }));
      goTo(linkTo(['devices']));
    } else if (change) await send(at('POST /devices/:name/state', { name }), { action: change.verb });
  };
  return (
    <>
      {changes
        .filter(({ from }) => from.includes(state))
        .map((one) => (
          <button
            key={one.verb}
            type="button"
            class={one.danger ? 'danger' : undefined}
            onClick={() => (asked.value = one)}
          >
            {one.title}
          </button>
        ))}
      {change && (
        <Confirm
          title={`${change.title} ${name}?`}
          action={change.title}
          danger={change.danger ?? false}
          run={run}
          onClose={() => (asked.value = null)}
        >
          <p>{change.about}</p>
          <Command line={`aiot device ${change.verb} ${shellWord(name)}`} />
        </Confirm>
      )}
    </>
  );
}
