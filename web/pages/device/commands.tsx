import { useSignal } from '@preact/signals';
import type { DeviceCommand, DeviceInfo, DeviceReply } from '../../../src/lib/registry/index.js';
import { type ApiError, send } from '../../app/api.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';

/** What a device that is online can be asked to do now. */
export function Commands({ device, onSaid }: { device: DeviceInfo; onSaid: (text: string) => void }) {
  const { name, online } = device;
  const asking = useSignal(false);
  const busy = useSignal(false);
  const command = async (what: DeviceCommand) => {
    busy.value = true;
    onSaid(`${what} …`);
    try {
      const { ms } = await send<DeviceReply>('POST', `/devices/${encodeURIComponent(name)}/commands`, {
        command: what,
      });
      onSaid(`${name} answered ${what} within ${Math.round(ms)} ms.`);
    } finally {
      busy.value = false;
    }
  };
  const ping = () => command('ping').catch((error: ApiError) => onSaid(`${error.message} (${error.code})`));
  return (
    <>
      <button type="button" disabled={!online || busy.value} onClick={ping}>
        Ping
      </button>
      <button type="button" disabled={!online || busy.value} onClick={() => (asking.value = true)}>
        Restart
      </button>
      {asking.value && (
        <Confirm
          title={`Restart ${name}?`}
          action="Restart"
          run={() => command('reboot')}
          onClose={() => (asking.value = false)}
        >
          <p>It answers, then starts from its flash. What it measures meanwhile is not sent.</p>
          <Command line={`aiot device command ${shellWord(name)} reboot`} />
        </Confirm>
      )}
    </>
  );
}
