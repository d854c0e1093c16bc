import { useSignal } from '@preact/signals';
import type { DeviceInfo } from '../../../src/lib/registry/index.js';
import { send } from '../../app/api.js';
import { goTo, linkTo } from '../../app/route.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';

interface Change {
  verb: 'suspend' | 'resume' | 'revoke' | 'remove';
  title: string;
  about: string;
  danger?: boolean;
  /** In which states it can be done. */
  from: readonly DeviceInfo['state'][];
}

const changes: readonly Change[] = [
  {
    verb: 'suspend',
    title: 'Suspend',
    about:
      'Its connections end at once and its certificate is refused, until it is resumed. Nothing is forgotten.',
    from: ['provisioned', 'active'],
  },
  { verb: 'resume', title: 'Resume', about: 'It is let in again.', from: ['suspended'] },
  {
    verb: 'revoke',
    title: 'Revoke',
    about:
      'Its certificate is never taken again: for good. A new board under its name is made with aiot device replace.',
    danger: true,
    from: ['provisioned', 'active', 'suspended'],
  },
  {
    verb: 'remove',
    title: 'Remove',
    about: 'It is forgotten; its telemetry and its history stay.',
    danger: true,
    from: ['registered', 'revoked'],
  },
];

/** What can be made of a device in its state; each asks first. */
export function Changes({ device }: { device: DeviceInfo }) {
  const { name, state } = device;
  const asked = useSignal<Change | null>(null);
  const change = asked.value;
  const at = `/devices/${encodeURIComponent(name)}`;
  const run = async () => {
    if (change?.verb === 'remove') {
      await send('DELETE', at);
      goTo(linkTo(['devices']));
    } else await send('POST', `${at}/state`, { action: change?.verb });
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
