import { useSignal } from '@preact/signals';
import type { DeviceInfo } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { useAsked } from '../../app/asked.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';
import { LevelFields, levelWords, setLevel, usualLevel } from './log-level.js';

/** Commands for a device that is online. */
export function Commands({ device, onNotice }: { device: DeviceInfo; onNotice: (text: string) => void }) {
  const { name, online } = device;
  const asking = useSignal(false);
  const leveling = useSignal(false);
  const level = useSignal(usualLevel);
  const busy = useSignal(false);
  useAsked((verb) => {
    if (verb !== 'restart' || !online) return false;
    asking.value = true;
    return true;
  });
  const command = async (what: 'ping' | 'reboot') => {
    busy.value = true;
    onNotice(`Sending ${what} …`);
    try {
      const { ms } = await send(at('POST /devices/:name/commands', { name }), { command: what });
      onNotice(`${name} responded to ${what} in ${Math.round(ms)} ms.`);
    } finally {
      busy.value = false;
    }
  };
  const changeLevel = async () => {
    await setLevel(name, level.value);
    const { level: chosen, span } = level.value;
    onNotice(`${name} logs from level ${chosen}${span === '' ? '' : ` for ${span}`}.`);
  };
  const ping = () => command('ping').catch((error: ApiError) => onNotice(`${error.message} (${error.code})`));
  return (
    <>
      <button type="button" disabled={!online || busy.value} onClick={ping}>
        Ping
      </button>
      <button type="button" disabled={!online || busy.value} onClick={() => (asking.value = true)}>
        Restart
      </button>
      <button type="button" disabled={!online || busy.value} onClick={() => (leveling.value = true)}>
        Log level
      </button>
      {leveling.value && (
        <Confirm
          title={`Log level of ${name}`}
          action="Set the level"
          run={changeLevel}
          onClose={() => (leveling.value = false)}
        >
          <p>The device leaves out lines below this level. After a restart, its level is info again.</p>
          <LevelFields
            value={level.value}
            onChange={(next) => {
              level.value = next;
            }}
          />
          <Command line={`aiot device log-level ${shellWord(name)} ${levelWords(level.value)}`} />
        </Confirm>
      )}
      {asking.value && (
        <Confirm
          title={`Restart ${name}?`}
          action="Restart"
          run={() => command('reboot')}
          onClose={() => (asking.value = false)}
        >
          <p>
            The device acknowledges the command and restarts. Samples measured during the restart are lost.
          </p>
          <Command line={`aiot device call ${shellWord(name)} reboot`} />
        </Confirm>
      )}
    </>
  );
}
